import { z } from "zod";
import { JSON_FORMS, type JsonForm } from "./json-forms.ts";

/** Query strings as the SDKs write them (contract §1.4). Keys that are parsed and accepted, but mean nothing. */
const IGNORED_KEYS = new Set(["beta"]);
const ARRAY_SUFFIX = /\[\d*\]$/;
const QUERY_KEYS_MAX = 256;

/** What a query string says: every value of every key, in order. */
export type Query = Record<string, string[]>;

/**
 * Parses the part after `?`. `k[]=a`, `k[0]=a` and a repeated `k` are one list; an empty value is an absent one;
 * `created_at[gte]` is a literal key. Keys beyond `QUERY_KEYS_MAX` are ignored.
 */
export function parseQuery(search: string): Query {
  const query = new Map<string, string[]>();
  for (const [rawKey, value] of new URLSearchParams(search)) {
    const key = rawKey.replace(ARRAY_SUFFIX, "");
    if (value === "" || IGNORED_KEYS.has(key)) continue;
    const values = query.get(key);
    if (values) values.push(value);
    else if (query.size < QUERY_KEYS_MAX) query.set(key, [value]);
  }
  return Object.fromEntries(query);
}

const one = z.array(z.string()).transform((values) => values.at(-1) ?? "");
const wholeNumber = /^[0-9]{1,15}$/;

/** What a parameter is before it is read, for the API's description. */
function shown<S extends z.ZodType>(schema: S, form: JsonForm): S {
  JSON_FORMS.add(schema, form);
  return schema;
}

/** A parameter that has one value; given more than once, the last one counts. */
export const textParam = shown(one.optional(), { type: "string" });
/** As `textParam`, of a certain form. */
export const checkedParam = <S extends z.ZodType<string, string>>(schema: S, form: JsonForm = {}) =>
  shown(one.pipe(schema).optional(), { type: "string", ...form });
export const flagParam = shown(
  one
    .pipe(z.enum(["true", "false"]))
    .transform((value) => value === "true")
    .optional(),
  { type: "boolean" },
);
export const numberParam = (min: number, max = Number.MAX_SAFE_INTEGER) =>
  shown(
    one
      .pipe(z.string().regex(wholeNumber, "must be a whole number").transform(Number).pipe(z.int().min(min).max(max)))
      .optional(),
    { type: "integer", minimum: min, maximum: max },
  );
export const enumParam = <const T extends readonly string[]>(values: T) =>
  shown(one.pipe(z.enum(values)).optional(), { type: "string", enum: values });
export const listParam = <const T extends readonly string[]>(values: T, max = 100) =>
  shown(z.array(z.enum(values)).max(max).optional(), {
    type: "array",
    items: { type: "string", enum: values },
    maxItems: max,
  });
/** RFC 3339, with `Z` or an offset. */
export const timeParam = shown(
  one
    .pipe(z.iso.datetime({ offset: true, error: "must be an RFC 3339 timestamp" }))
    .transform((text) => new Date(text))
    .optional(),
  { type: "string", format: "date-time" },
);
/** A list of any texts, each counted once. */
export const textsParam = (max: number) =>
  shown(
    z
      .array(z.string())
      .transform((texts) => [...new Set(texts)])
      .pipe(z.array(z.string()).max(max))
      .optional(),
    { type: "array", items: { type: "string" }, maxItems: max },
  );

/** `created_at[gte]` and its like, for the operators a list has. */
export const createdAtParams = {
  "created_at[gt]": timeParam,
  "created_at[gte]": timeParam,
  "created_at[lt]": timeParam,
  "created_at[lte]": timeParam,
};
