import { z } from "zod";
import { invalidRequest } from "./errors.ts";
import { describeMemoryPathProblem, describePathPrefixProblem } from "./memory-paths.ts";

/** Opaque page cursors (contract §1.6): `page_` and base64url of where the page begins. */
export const CURSOR_PREFIX = "page_";
/** The longest key is the path of a memory, of 1,024 bytes, in JSON and base64. */
const CURSOR_CHARS_MAX = 4_096;

export type Order = "asc" | "desc";

/** Where a page begins. `list` ties a cursor to the list that made it; `order` is the one it was made under. */
export interface Cursor {
  list: string;
  order: Order;
  /** The sort key of the last entry of the page before (or the first of the page after, for `prev`). */
  key: readonly (string | number)[];
  direction: "next" | "prev";
}

const TIME_MS_MAX = Date.UTC(9999, 11, 31);
/** What a key is made of: a cursor is given back by a client, and may be forged. */
const KEY_PARTS = {
  /** Milliseconds since 1970; -1 for none. */
  time: z.int().min(-1).max(TIME_MS_MAX),
  id: z.string().regex(/^[\x21-\x7e]{1,128}$/),
  /** A place in a log or a queue; -1 for none. */
  seq: z.int().min(-1),
  version: z
    .int()
    .min(1)
    .max(2 ** 31 - 1),
  /** Of a memory, or a prefix of some. */
  path: z.string().refine((path) => describeMemoryPathProblem(path) === null || describePathPrefixProblem(path) === null),
} as const;
type KeyPart = keyof typeof KEY_PARTS;

const payloadSchema = z.tuple([
  z.string(),
  z.enum(["asc", "desc"]),
  z.enum(["next", "prev"]),
  z.array(z.union([z.string(), z.number()])),
]);

export function encodeCursor(cursor: {
  list: string;
  order: Order;
  key: readonly (string | number)[];
  direction?: "next" | "prev";
}): string {
  const text = JSON.stringify([cursor.list, cursor.order, cursor.direction ?? "next", cursor.key]);
  const bytes = String.fromCharCode(...new TextEncoder().encode(text));
  return CURSOR_PREFIX + btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/**
 * Reads a cursor that a client gave back.
 * @throws ApiError when it is not one of ours, belongs to another list, or was made under another order
 */
export function decodeCursor(page: string, expected: { list: string; order: Order; key: readonly KeyPart[] }): Cursor {
  const payload = payloadSchema.safeParse(readPayload(page));
  if (!payload.success || payload.data[0] !== expected.list) throw invalidRequest("page: Invalid or expired cursor");
  const [list, order, direction, key] = payload.data;
  const isKey =
    key.length === expected.key.length && expected.key.every((kind, at) => KEY_PARTS[kind].safeParse(key[at]).success);
  if (!isKey) throw invalidRequest("page: Invalid or expired cursor");
  if (order !== expected.order)
    throw invalidRequest(`page: This cursor was made with order "${order}"; it cannot be used with order "${expected.order}"`);
  return { list, order, direction, key };
}

function readPayload(page: string): unknown {
  if (!page.startsWith(CURSOR_PREFIX) || page.length > CURSOR_CHARS_MAX) return undefined;
  try {
    const bytes = atob(page.slice(CURSOR_PREFIX.length).replaceAll("-", "+").replaceAll("_", "/"));
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(bytes, (char) => char.charCodeAt(0))));
  } catch (error) {
    // Not base64 or not JSON: the caller says so with the error every bad cursor gets.
    if (error instanceof SyntaxError || error instanceof DOMException) return undefined;
    throw error;
  }
}

const nextPage = { next_page: z.string().nullable() };
export const pageOf = <S extends z.ZodType>(item: S) => z.object({ data: z.array(item), ...nextPage });
export const bidirectionalPageOf = <S extends z.ZodType>(item: S) =>
  z.object({ data: z.array(item), ...nextPage, prev_page: z.string().nullable() });
export const idPageOf = <S extends z.ZodType>(item: S) =>
  z.object({ data: z.array(item), has_more: z.boolean(), first_id: z.string().nullable(), last_id: z.string().nullable() });

export interface Page<T> {
  data: T[];
  next_page: string | null;
}
