import { isDeepStrictEqual } from "node:util";
import { shorten } from "../print.ts";

const VALUE_CHARS_MAX = 70;

/** One field that is not as the document says. */
export interface Difference {
  /** `tools[0].default_config.enabled`. */
  field: string;
  /** `undefined`: nothing is there. */
  before: unknown;
  after: unknown;
}

type Fields = Readonly<Record<string, unknown>>;

/**
 * What of `wanted` is not so in `stored`. Fields that `wanted` leaves out may be anything: the server fills them in. The
 * same goes for what is empty inside of a value, unless `exact`.
 */
export function findDifferences(wanted: Fields, stored: Fields, { exact = false } = {}): Difference[] {
  const compare = (value: unknown, there: unknown, field: string, emptyCounts: boolean): Difference[] => {
    if (isEmpty(value)) return emptyCounts && !isEmpty(there) ? [{ field, before: there, after: value }] : [];
    if (isDeepStrictEqual(value, there) || isShortFor(value, there)) return [];
    if (Array.isArray(value) && Array.isArray(there) && value.length === there.length)
      return value.flatMap((inner, index) => compare(inner, there[index], `${field}[${index}]`, exact));
    if (isFields(value) && isFields(there))
      return Object.entries(value).flatMap(([key, inner]) => compare(inner, there[key], `${field}.${key}`, exact));
    return [{ field, before: there, after: value }];
  };
  return Object.entries(wanted).flatMap(([key, value]) => compare(value, stored[key], key, true));
}

/** Metadata is the document's, all of it. */
export function findMetadataDifferences(wanted: Fields, stored: Fields): Difference[] {
  const keys = [...new Set([...Object.keys(stored), ...Object.keys(wanted)])];
  return keys.flatMap((key) =>
    wanted[key] === stored[key] ? [] : [{ field: `metadata.${key}`, before: stored[key], after: wanted[key] }],
  );
}

/** `claude-…` is `{id: "claude-…"}`, `high` is `{type: "high"}`. */
function isShortFor(wanted: unknown, stored: unknown): boolean {
  return typeof wanted === "string" && isFields(stored) && (stored.id === wanted || stored.type === wanted);
}

const isFields = (value: unknown): value is Fields => typeof value === "object" && value !== null && !Array.isArray(value);

/** Nothing, in each of the ways to write it. */
function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === "") return true;
  return Array.isArray(value) ? value.length === 0 : isFields(value) && Object.keys(value).length === 0;
}

/** `system: "You help." → "You help people."` */
export function describeDifference({ field, before, after }: Difference): string {
  const [from, to] = [format(before), format(after)];
  if (from === undefined) return `${field}: ${to ?? "nothing"}`;
  return to === undefined ? `${field}: ${from} → nothing` : `${field}: ${aroundChange(from, to)} → ${aroundChange(to, from)}`;
}

function format(value: unknown): string | undefined {
  return isEmpty(value) ? undefined : JSON.stringify(value);
}

/** The part of a long value in which it is another one. */
function aroundChange(text: string, other: string): string {
  if (text.length <= VALUE_CHARS_MAX) return text;
  let start = 0;
  while (start < text.length && text[start] === other[start]) start += 1;
  const from = Math.max(0, Math.min(start - 10, text.length - VALUE_CHARS_MAX));
  return `${from > 0 ? "…" : ""}${shorten(text.slice(from), VALUE_CHARS_MAX)}`;
}
