import type { Queryable } from "./query.ts";

/** One event of the log that a timeline is made of, with the trace behind it. */
export interface TimelineEvent {
  seq: number;
  id: string;
  type: string;
  at: Date;
  /** Of its body. */
  bytes: number;
  /** Of a tool. */
  name: string | null;
  /** Of an MCP tool. */
  server: string | null;
  isError: boolean | null;
  /** The call that a result answers. */
  callId: string | null;
  /** The span that ends. */
  spanId: string | null;
  /** Type of a `session.error`. */
  error: string | null;
  stopReason: string | null;
  model: ModelFacts | null;
  /** When a call was finished, also when its result is far behind. */
  finishedAt: Date | null;
}

interface ModelFacts {
  model: string;
  firstTokenMs: number | null;
  totalMs: number | null;
  inputTokens: number | null;
  outputTokens: number | null;
  cacheReadTokens: number | null;
  cacheWriteTokens: number | null;
}

/** What is not on the log: how a sandbox was had, a turn taken over. */
export interface ActivityRow {
  id: number;
  kind: "sandbox_claim" | "recovery";
  startedAt: Date;
  durationMs: number;
  failed: boolean;
  attributes: Record<string, string | number | boolean>;
}

export interface TimelineEgress {
  id: number;
  at: Date;
  durationMs: number;
  host: string | null;
  port: number | null;
  verdict: string;
  reason: string | null;
  bytesOut: number;
  bytesIn: number;
}

/** A request of a harness in a sandbox, as it came to the model gateway. */
export interface TimelineRequest {
  at: Date;
  status: number | null;
}

/** What a timeline is made of; the conversation itself is not read. */
const TYPES = [
  "session.status_running",
  "session.status_idle",
  "session.status_rescheduled",
  "session.status_terminated",
  "session.error",
  "span.model_request_start",
  "span.model_request_end",
  "agent.tool_use",
  "agent.mcp_tool_use",
  "agent.custom_tool_use",
  "agent.tool_result",
  "agent.mcp_tool_result",
  "user.custom_tool_result",
];

/** `->` and not `->>`: of a NUL in what an agent wrote Postgres can make no text. */
const COLUMNS = `e.seq, e.id, e.type, e.processed_at as at, e.bytes,
  e.body->'name' as name, e.body->'mcp_server_name' as server, e.body->'is_error' as "isError",
  coalesce(e.body->'tool_use_id', e.body->'mcp_tool_use_id', e.body->'custom_tool_use_id') as "callId",
  e.body->'model_request_start_id' as "spanId", e.body->'error'->'type' as error, e.body->'stop_reason'->'type' as "stopReason",
  case when m.id is not null then jsonb_build_object('model', m.model, 'firstTokenMs', m.first_token_ms, 'totalMs', m.total_ms,
    'inputTokens', m.input_tokens, 'outputTokens', m.output_tokens, 'cacheReadTokens', m.cache_read_tokens,
    'cacheWriteTokens', m.cache_write_tokens) end as model, t.finished_at as "finishedAt"`;
const JOINED = `events e left join model_spans m on m.session_id = e.session_id and m.id = e.id
  left join tool_calls t on t.session_id = e.session_id and t.id = e.id`;

/** Behind `after`, in order. */
export async function readTimelineEvents(
  db: Queryable,
  sessionId: string,
  after: number,
  limit: number,
): Promise<TimelineEvent[]> {
  const { rows } = await db.query<TimelineEvent>(
    `select ${COLUMNS} from ${JOINED} where e.session_id = $1 and e.seq > $2 and e.type = any($3) order by e.seq limit $4`,
    [sessionId, after, TYPES, limit],
    "read_timeline_events",
  );
  return rows;
}

/** What a page that begins behind `seq` goes on with: the turn that runs there, and its step; nothing between turns. */
export async function readOpenTurn(db: Queryable, sessionId: string, seq: number): Promise<TimelineEvent[]> {
  const last = async (types: readonly string[]): Promise<TimelineEvent | undefined> => {
    const { rows } = await db.query<TimelineEvent>(
      `select ${COLUMNS} from ${JOINED} where e.session_id = $1 and e.seq <= $2 and e.type = any($3) order by e.seq desc limit 1`,
      [sessionId, seq, types],
      "read_open_turn",
    );
    return rows[0];
  };
  const turn = await last(["session.status_running", "session.status_idle", "session.status_terminated"]);
  if (turn?.type !== "session.status_running") return [];
  const step = await last(["span.model_request_start"]);
  return step !== undefined && step.seq > turn.seq ? [turn, step] : [turn];
}

interface Window {
  sessionId: string;
  from: Date;
  /** `null`: until now. */
  until: Date | null;
  limit: number;
}

export async function readTimelineEgress(db: Queryable, { sessionId, from, until, limit }: Window): Promise<TimelineEgress[]> {
  const { rows } = await db.query<TimelineEgress>(
    `select id, at, duration_ms as "durationMs", host, port, verdict, reason, bytes_out as "bytesOut", bytes_in as "bytesIn"
     from egress_audit where session_id = $1 and at >= $2 and ($3::timestamptz is null or at <= $3) order by id limit $4`,
    [sessionId, from, until, limit],
    "read_timeline_egress",
  );
  return rows;
}

/** Of harnesses in sandboxes: when their requests reached the gateway. */
export async function readTimelineRequests(db: Queryable, { sessionId, from, until, limit }: Window): Promise<TimelineRequest[]> {
  const { rows } = await db.query<TimelineRequest>(
    `select started_at as at, status from model_requests
     where session_id = $1 and started_at >= $2 and ($3::timestamptz is null or started_at <= $3) order by id limit $4`,
    [sessionId, from, until, limit],
    "read_timeline_requests",
  );
  return rows;
}

export async function readActivities(db: Queryable, { sessionId, from, until, limit }: Window): Promise<ActivityRow[]> {
  const { rows } = await db.query<ActivityRow>(
    `select id, kind, started_at as "startedAt", duration_ms as "durationMs", failed, attributes
     from activities where session_id = $1 and started_at >= $2 and ($3::timestamptz is null or started_at <= $3)
     order by id limit $4`,
    [sessionId, from, until, limit],
    "read_activities",
  );
  return rows;
}

export interface NewActivity extends Omit<ActivityRow, "id"> {
  /** A UUID of the writer's, by which a row is written once however often it is tried. */
  key: string;
  sessionId: string;
}

/** All of them in one statement; those of a session that was deleted meanwhile are left out. */
export async function insertActivities(db: Queryable, rows: readonly NewActivity[]): Promise<void> {
  const values = rows.map((row) => ({
    key: row.key,
    session_id: row.sessionId,
    kind: row.kind,
    started_at: row.startedAt.toISOString(),
    duration_ms: row.durationMs,
    failed: row.failed,
    attributes: row.attributes,
  }));
  await db.query(
    `insert into activities (key, session_id, kind, started_at, duration_ms, failed, attributes)
     select r.key, r.session_id, r.kind, r.started_at, r.duration_ms, r.failed, r.attributes
     from jsonb_to_recordset($1::jsonb) as r(key uuid, session_id text, kind text, started_at timestamptz, duration_ms float8,
       failed boolean, attributes jsonb)
     join sessions s on s.id = r.session_id
     for key share of s
     on conflict (key) do nothing`,
    [JSON.stringify(values)],
    "insert_activities",
  );
}

/** Sessions that did something lately of which nothing was exported, the longest waiting first. */
export async function readUnexported(db: Queryable, since: Date, limit: number): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(
    `select h.session_id as id from session_heads h left join trace_exports x on x.session_id = h.session_id
     where h.last_event_at > $1 and h.seq > coalesce(x.seq, 0) and h.status in ('idle', 'terminated')
     order by h.last_event_at limit $2`,
    [since, limit],
    "read_unexported",
  );
  return rows.map(({ id }) => id);
}

/** Up to which event the session's trace was exported. */
export async function readExported(db: Queryable, sessionId: string): Promise<number> {
  const { rows } = await db.query<{ seq: number }>(
    "select seq from trace_exports where session_id = $1",
    [sessionId],
    "read_trace_export",
  );
  return rows[0]?.seq ?? 0;
}

/** Never goes back. Nothing is kept of a session that was deleted meanwhile. */
export async function setExported(db: Queryable, sessionId: string, seq: number): Promise<void> {
  await db.query(
    `insert into trace_exports (session_id, seq) select id, $2 from sessions where id = $1
     on conflict (session_id) do update set seq = greatest(trace_exports.seq, $2)`,
    [sessionId, seq],
    "set_trace_export",
  );
}
