import type { NewEvent } from "../domain/head.ts";
import { isShown } from "./log-points.ts";
import type { Queryable } from "./query.ts";

/** An event of the log as it is stored; `body` is the JSON text without `id` and `processed_at`. */
export interface StoredEvent {
  seq: number;
  id: string;
  type: string;
  processedAt: Date;
  body: string;
}

interface EventRow {
  seq: number;
  id: string;
  type: string;
  processed_at: Date;
  body: string;
}

function toStoredEvent(row: EventRow): StoredEvent {
  return { seq: row.seq, id: row.id, type: row.type, processedAt: row.processed_at, body: row.body };
}

/** The event as the API shows it. Text in, text out: nothing is parsed to be written again. */
export function eventJson(event: { id: string; processedAt: Date | null; body: string }): string {
  const processedAt = event.processedAt ? `"${event.processedAt.toISOString()}"` : "null";
  return `{"id":"${event.id}","processed_at":${processedAt},${event.body.slice(1)}`;
}

/** What is read at once: rows, and bytes of them. One row is always read, whatever its size. */
export interface ReadBound {
  rows: number;
  bytes: number;
}

export async function readEventsAfter(db: Queryable, sessionId: string, seq: number, most: ReadBound): Promise<StoredEvent[]> {
  const { rows } = await db.query<EventRow>(
    `select seq, id, type, processed_at, body::text as body from (
       select seq, id, type, processed_at, body, sum(bytes) over (order by seq) - bytes as bytes_before
       from events where session_id = $1 and seq > $2 and ${isShown("seq")} order by seq limit $3) e
     where bytes_before < $4 order by seq`,
    [sessionId, seq, most.rows, most.bytes],
    "read_events_after",
  );
  return rows.map(toStoredEvent);
}

export interface EventFilter {
  types?: readonly string[] | undefined;
  gt?: Date | undefined;
  gte?: Date | undefined;
  lt?: Date | undefined;
  lte?: Date | undefined;
}

/** A page of the log in either order; `from` is exclusive. `more`: there are others behind it. */
export async function listEvents(
  db: Queryable,
  sessionId: string,
  page: { order: "asc" | "desc"; from: number | null; most: ReadBound },
  filter: EventFilter,
): Promise<{ events: StoredEvent[]; more: boolean }> {
  const values: unknown[] = [sessionId, page.most.rows + 1, page.most.bytes];
  const where = ["session_id = $1", isShown("seq")];
  const add = (sql: string, value: unknown) => {
    if (value === undefined || value === null) return;
    values.push(value);
    where.push(sql.replace("?", `$${values.length}`));
  };
  add(page.order === "asc" ? "seq > ?" : "seq < ?", page.from);
  add("type = any(?)", filter.types?.length ? filter.types : undefined);
  add("processed_at > ?", filter.gt);
  add("processed_at >= ?", filter.gte);
  add("processed_at < ?", filter.lt);
  add("processed_at <= ?", filter.lte);
  const { rows } = await db.query<EventRow | (EventRow & { body: null })>(
    `select seq, id, type, processed_at, case when bytes_before < $3 then body::text end as body from (
       select seq, id, type, processed_at, body, sum(bytes) over (order by seq ${page.order}) - bytes as bytes_before
       from events where ${where.join(" and ")} order by seq ${page.order} limit $2) e
     order by seq ${page.order}`,
    values,
  );
  const events = rows.filter((row): row is EventRow => row.body !== null).slice(0, page.most.rows);
  return { events: events.map(toStoredEvent), more: rows.length > events.length };
}

export interface StoredInput {
  position: number;
  id: string;
  type: string;
  body: string;
}

/** Inputs that wait; `from` is exclusive in the direction of `order`. */
export async function listInbox(
  db: Queryable,
  sessionId: string,
  page: { order: "asc" | "desc"; from: number | null; limit: number },
  types: readonly string[] | undefined,
): Promise<StoredInput[]> {
  const asc = page.order === "asc";
  const { rows } = await db.query<StoredInput>(
    `select position, id, type, body::text as body from inbox
     where session_id = $1 and ($2::bigint is null or position ${asc ? ">" : "<"} $2) and ($3::text[] is null or type = any($3))
     order by position ${page.order} limit $4`,
    [sessionId, page.from, types?.length ? types : null, page.limit],
    `list_inbox_${page.order}`,
  );
  return rows;
}

export async function readEventById(db: Queryable, sessionId: string, id: string): Promise<StoredEvent | null> {
  const { rows } = await db.query<EventRow>(
    `select seq, id, type, processed_at, body::text as body from events where session_id = $1 and id = $2 and ${isShown("seq")}`,
    [sessionId, id],
    "read_event_by_id",
  );
  return rows[0] ? toStoredEvent(rows[0]) : null;
}

/** `null`: there is no such session, or no longer. */
export async function readSeq(db: Queryable, sessionId: string): Promise<number | null> {
  const { rows } = await db.query<{ seq: number }>(
    "select seq from session_heads where session_id = $1",
    [sessionId],
    "read_seq",
  );
  return rows[0]?.seq ?? null;
}

export async function readSeqs(db: Queryable, sessionIds: readonly string[]): Promise<Map<string, number>> {
  const { rows } = await db.query<{ session_id: string; seq: number }>(
    "select session_id, seq from session_heads where session_id = any($1)",
    [sessionIds],
    "read_seqs",
  );
  return new Map(rows.map((row) => [row.session_id, row.seq]));
}

/** A history of more is sent to no model: none takes it, and the server holds it in memory while the turn runs. */
export const TRANSCRIPT_BYTES_MAX = 64 * 1024 * 1024;

/** What a model must see, and the span ends that carry the harness's own record. */
const TRANSCRIPT_TYPES = [
  "user.message",
  "system.message",
  "agent.message",
  "agent.thinking",
  "agent.tool_use",
  "agent.mcp_tool_use",
  "agent.custom_tool_use",
  "agent.tool_result",
  "agent.mcp_tool_result",
  "user.custom_tool_result",
  "span.model_request_start",
  "span.model_request_end",
];

/** An event as the model's history needs it. */
export interface TranscriptRow {
  id: string;
  processedAt: Date;
  body: Record<string, unknown>;
  /** What the harness stored beside it, or `null`. */
  native: unknown;
}

/** `holder`: nothing is read unless this node has the session's lease. `null`: there is more than may be read. */
export async function readTranscript(
  db: Queryable,
  sessionId: string,
  holder: number | null = null,
): Promise<TranscriptRow[] | null> {
  const { rows } = await db.query<{ id: string; processed_at: Date; body: Record<string, unknown> | null; native: unknown }>(
    `select e.id, e.processed_at, case when e.bytes_upto <= $4 then e.body end as body,
            case when e.bytes_upto <= $4 then r.native end as native
     from (select session_id, seq, id, processed_at, body, sum(bytes) over (order by seq) as bytes_upto
           from events where session_id = $1 and type = any($2) and ${isShown("seq")}) e
     left join harness_records r on r.session_id = e.session_id and r.seq = e.seq
     where $3::bigint is null or exists (select from session_heads where session_id = $1 and lease_owner = $3)
     order by e.seq`,
    [sessionId, TRANSCRIPT_TYPES, holder, TRANSCRIPT_BYTES_MAX],
    "read_transcript",
  );
  const transcript: TranscriptRow[] = [];
  for (const { id, processed_at, body, native } of rows) {
    if (body === null) return null;
    transcript.push({ id, processedAt: processed_at, body, native });
  }
  return transcript;
}

/** Of events that were just written: what `readTranscript` would read of them. */
export function transcriptOf(events: readonly NewEvent[], processedAt: Date): TranscriptRow[] {
  return events
    .filter(({ type }) => TRANSCRIPT_TYPES.includes(type))
    .map(({ id, type, fields }) => ({ id, processedAt, body: { type, ...fields }, native: null }));
}
