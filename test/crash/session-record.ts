import type pg from "pg";

/** A session as the database has it: the log, and the rows that are projected from it. */
export interface SessionRecord {
  id: string;
  head: HeadRecord;
  events: LogEvent[];
  inbox: { id: string; type: string }[];
  calls: CallRecord[];
  /** Model spans without an end. */
  openSpans: string[];
}

export interface HeadRecord {
  seq: number;
  status: "idle" | "running" | "rescheduling" | "terminated";
  shownStatus: string;
  stopReason: Record<string, unknown> | null;
  turnPending: boolean;
  interrupted: boolean;
  inboxCount: number;
  inputTokens: number;
  outputTokens: number;
  leaseOwner: number | null;
  wakeAt: Date | null;
}

export interface LogEvent {
  seq: number;
  id: string;
  type: string;
  processedAt: Date;
  body: Record<string, unknown>;
}

export interface CallRecord {
  id: string;
  kind: "builtin" | "mcp" | "custom";
  permission: "allow" | "ask" | "deny";
  resultId: string;
  finished: boolean;
  confirmed: "allow" | "deny" | null;
}

/** All in one snapshot. */
export async function readSessionRecord(pool: pg.Pool, id: string): Promise<SessionRecord> {
  const db = await pool.connect();
  try {
    await db.query("begin isolation level repeatable read read only");
    const head = await db.query<HeadRecord>(
      `select seq::int, status, session_heads.shown_status as "shownStatus", stop_reason as "stopReason", turn_pending as "turnPending",
              interrupted, inbox_count as "inboxCount", input_tokens::int as "inputTokens", output_tokens::int as "outputTokens",
              lease_owner::int as "leaseOwner", wake_at as "wakeAt"
       from session_heads where session_id = $1`,
      [id],
    );
    const row = head.rows[0];
    if (row === undefined) throw new Error(`there is no session ${id}`);
    const events = await db.query<LogEvent>(
      `select seq::int, id, type, processed_at as "processedAt", body from events where session_id = $1 order by seq`,
      [id],
    );
    const inbox = await db.query<{ id: string; type: string }>(
      "select id, type from inbox where session_id = $1 order by position",
      [id],
    );
    const calls = await db.query<CallRecord>(
      `select id, kind, permission, result_id as "resultId", finished_at is not null as finished, confirmed
       from tool_calls where session_id = $1 order by position`,
      [id],
    );
    const spans = await db.query<{ id: string }>("select id from model_spans where session_id = $1 and ended_at is null", [id]);
    return {
      id,
      head: row,
      events: events.rows,
      inbox: inbox.rows,
      calls: calls.rows,
      openSpans: spans.rows.map((span) => span.id),
    };
  } finally {
    await db.query("commit");
    db.release();
  }
}

/** For the message of a failure. */
export function describeLog({ events, inbox }: SessionRecord): string {
  const lines = events.map(({ seq, type, id, body }) => `  ${seq} ${type} ${id} ${JSON.stringify(body).slice(0, 200)}`);
  return ["the log:", ...lines, `the inbox: ${inbox.map(({ type }) => type).join(", ") || "empty"}`].join("\n");
}
