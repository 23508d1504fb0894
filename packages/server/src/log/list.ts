import { EVENTS_PAGE_SIZE_MAX, type EventListQuery, decodeCursor, encodeCursor } from "@sandbox0/protocol";
import { refuseOutside } from "../domain/cursor-filter.ts";
import { type EventFilter, eventJson, listEvents, listInbox, type StoredEvent, type StoredInput } from "../store/events.ts";
import type { Queryable } from "../store/query.ts";

const LIST = "events";
/** A page may be one event larger; then it is shorter than what was asked for, and has a next one. */
const PAGE_BYTES_MAX = 16 * 1024 * 1024;

/**
 * A page of the log and, at its young end, of what is admitted and not yet processed (semantics §5.7). The cursor is the
 * place in the log and in the inbox: an input that is taken up between two pages is seen again, on the log, never missed.
 */
export async function listSessionEvents(
  db: Queryable,
  sessionId: string,
  query: EventListQuery,
): Promise<{ data: string[]; next_page: string | null }> {
  const order = query.order ?? "asc";
  const limit = query.limit ?? EVENTS_PAGE_SIZE_MAX;
  const filter: EventFilter = {
    types: query.types,
    gt: query["created_at[gt]"],
    gte: query["created_at[gte]"],
    lt: query["created_at[lt]"],
    lte: query["created_at[lte]"],
  };
  // What is not processed has no time to compare.
  const timed = Boolean(filter.gt ?? filter.gte ?? filter.lt ?? filter.lte);
  const [seq, position] = readKey(query.page, order, filter);
  const page = order === "asc" ? oldestFirst : newestFirst;
  const { rows, more } = await page(db, sessionId, { seq, position, limit, filter, timed });
  const last = rows.at(-1);
  const key = [last?.seq ?? -1, last?.position ?? -1, last?.at?.getTime() ?? -1];
  const cursor = more ? encodeCursor({ list: LIST, order, key }) : null;
  return { data: rows.map((row) => row.json), next_page: cursor };
}

interface Place {
  seq: number | null;
  position: number | null;
  limit: number;
  filter: EventFilter;
  timed: boolean;
}
/** `seq` and `position` are what has been shown up to and with this row. */
interface Row {
  json: string;
  /** When it was processed; what is queued has no time. */
  at: Date | null;
  seq: number | null;
  position: number | null;
}

function readKey(page: string | undefined, order: "asc" | "desc", filter: EventFilter): [number | null, number | null] {
  if (!page) return [null, null];
  const { key } = decodeCursor(page, { list: LIST, order, key: ["seq", "seq", "time"] });
  const [seq = null, position = null, at = null] = key.map((part) => (typeof part === "number" && part >= 0 ? part : null));
  refuseOutside(at === null ? null : new Date(at), filter);
  return [seq, position];
}

async function oldestFirst(db: Queryable, sessionId: string, place: Place): Promise<{ rows: Row[]; more: boolean }> {
  const { queued, logged, more } = await readPage(db, sessionId, "asc", place);
  const seq = logged.at(-1)?.seq ?? place.seq;
  const rows = logged.map((event) => logRow(event, place));
  if (more) return { rows, more };
  rows.push(...queued.map((input) => inboxRow(input, seq)));
  return { rows: rows.slice(0, place.limit), more: rows.length > place.limit };
}

async function newestFirst(db: Queryable, sessionId: string, place: Place): Promise<{ rows: Row[]; more: boolean }> {
  // The inbox comes first; once a page has reached the log it is behind us.
  const ahead = { ...place, timed: place.timed || place.seq !== null };
  const { queued, logged, more } = await readPage(db, sessionId, "desc", ahead);
  const rows = [...queued.map((input) => inboxRow(input, null)), ...logged.map((event) => logRow(event, place))];
  return { rows: rows.slice(0, place.limit), more: more || rows.length > place.limit };
}

function logRow(event: StoredEvent, { position }: Place): Row {
  return { json: eventJson(event), at: event.processedAt, seq: event.seq, position };
}

function inboxRow(input: StoredInput, seq: number | null): Row {
  return { json: eventJson({ ...input, processedAt: null }), at: null, seq, position: input.position };
}

/** As much of both as fits. The inbox first: what is taken up before the second look is on the log by then, not lost. */
async function readPage(
  db: Queryable,
  sessionId: string,
  order: "asc" | "desc",
  { seq, position, limit, filter, timed }: Place,
): Promise<{ queued: StoredInput[]; logged: StoredEvent[]; more: boolean }> {
  const queued = timed ? [] : await listInbox(db, sessionId, { order, from: position, limit: limit + 1 }, filter.types);
  const most = { rows: limit, bytes: PAGE_BYTES_MAX };
  const { events, more } = await listEvents(db, sessionId, { order, from: seq, most }, filter);
  const taken = new Set(events.map((event) => event.id));
  return { queued: queued.filter((input) => !taken.has(input.id)), logged: events, more };
}
