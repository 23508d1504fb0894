import { z } from "zod";

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

/** A parameter that has one value; given more than once, the last one counts. */
export const textParam = one.optional();
/** As `textParam`, of a certain form. */
export const checkedParam = <S extends z.ZodType<string, string>>(schema: S) => one.pipe(schema).optional();
export const flagParam = one
  .pipe(z.enum(["true", "false"]))
  .transform((value) => value === "true")
  .optional();
export const numberParam = (min: number, max = Number.MAX_SAFE_INTEGER) =>
  one.pipe(z.string().regex(wholeNumber, "must be a whole number").transform(Number).pipe(z.int().min(min).max(max))).optional();
export const enumParam = <const T extends readonly string[]>(values: T) => one.pipe(z.enum(values)).optional();
export const listParam = <const T extends readonly string[]>(values: T, max = 100) => z.array(z.enum(values)).max(max).optional();
/** RFC 3339, with `Z` or an offset. */
export const timeParam = one
  .pipe(z.iso.datetime({ offset: true, error: "must be an RFC 3339 timestamp" }))
  .transform((text) => new Date(text))
  .optional();

/** `created_at[gte]` and its like, for the operators a list has. */
export const createdAtParams = {
  "created_at[gt]": timeParam,
  "created_at[gte]": timeParam,
  "created_at[lt]": timeParam,
  "created_at[lte]": timeParam,
};
