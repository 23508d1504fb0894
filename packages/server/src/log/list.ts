import { EVENTS_PAGE_SIZE_MAX, type EventListQuery, decodeCursor, encodeCursor } from "@sandbox0/protocol";
import { type EventFilter, eventJson, listEvents, listInbox } from "../store/events.ts";
import type { Queryable } from "../store/query.ts";

const LIST = "events";

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
  const [seq, position] = readKey(query.page, order);
  const page = order === "asc" ? oldestFirst : newestFirst;
  const { rows, more } = await page(db, sessionId, { seq, position, limit, filter, timed });
  const last = rows.at(-1);
  const cursor = more && last ? encodeCursor({ list: LIST, order, key: [last.seq ?? -1, last.position ?? -1] }) : null;
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
  seq: number | null;
  position: number | null;
}

function readKey(page: string | undefined, order: "asc" | "desc"): [number | null, number | null] {
  if (!page) return [null, null];
  const { key } = decodeCursor(page, { list: LIST, order });
  const [seq, position] = key.map((part) => (typeof part === "number" && part >= 0 ? part : null));
  return [seq ?? null, position ?? null];
}

async function oldestFirst(db: Queryable, sessionId: string, place: Place): Promise<{ rows: Row[]; more: boolean }> {
  const logged = await listEvents(db, sessionId, { order: "asc", from: place.seq, limit: place.limit + 1 }, place.filter);
  const rows: Row[] = logged.map((event) => ({ json: eventJson(event), seq: event.seq, position: place.position }));
  if (!place.timed && rows.length <= place.limit) {
    const seq = logged.at(-1)?.seq ?? place.seq;
    const queued = await listInbox(
      db,
      sessionId,
      { order: "asc", from: place.position, limit: place.limit + 1 - rows.length },
      place.filter.types,
    );
    for (const input of queued) rows.push({ json: eventJson({ ...input, processedAt: null }), seq, position: input.position });
  }
  return { rows: rows.slice(0, place.limit), more: rows.length > place.limit };
}

async function newestFirst(db: Queryable, sessionId: string, place: Place): Promise<{ rows: Row[]; more: boolean }> {
  const rows: Row[] = [];
  // The inbox comes first; once a page has reached the log it is behind us.
  if (!place.timed && place.seq === null) {
    const queued = await listInbox(
      db,
      sessionId,
      { order: "desc", from: place.position, limit: place.limit + 1 },
      place.filter.types,
    );
    for (const input of queued)
      rows.push({ json: eventJson({ ...input, processedAt: null }), seq: null, position: input.position });
  }
  if (rows.length <= place.limit) {
    const logged = await listEvents(
      db,
      sessionId,
      { order: "desc", from: place.seq, limit: place.limit + 1 - rows.length },
      place.filter,
    );
    for (const event of logged) rows.push({ json: eventJson(event), seq: event.seq, position: place.position });
  }
  return { rows: rows.slice(0, place.limit), more: rows.length > place.limit };
}
