import type { StopReason } from "@sandbox0/protocol";
import type { NewEvent } from "../domain/head.ts";
import type { Queryable } from "./query.ts";

/** A moment of a session's log: its events up to `seq`, without those that had been taken back by then. */
export interface LogPoint {
  seq: number;
  /** Of an `int8multirange`, as Postgres writes it. */
  rewound: string;
}

/** SQL: the event of this `seq` has not been taken back by a restore. `$1` is the session. */
export function isShown(seq: string): string {
  return `not ${seq} <@ coalesce((select ranges from session_rewinds where session_id = $1), '{}')`;
}

/** Where the log ends. `null`: there is no such session. */
export async function readLogEnd(db: Queryable, sessionId: string): Promise<LogPoint | null> {
  const { rows } = await db.query<LogPoint>(
    `select h.seq, coalesce(r.ranges, '{}')::text as rewound
     from session_heads h left join session_rewinds r using (session_id) where h.session_id = $1`,
    [sessionId],
    "read_log_end",
  );
  return rows[0] ?? null;
}

/** The point at which this `session.status_idle` had just been written; `null` when the log has no such event. */
export async function readIdlePoint(db: Queryable, sessionId: string, eventId: string): Promise<LogPoint | null> {
  const { rows } = await db.query<LogPoint>(
    `select e.seq, coalesce(r.ranges, '{}')::text as rewound
     from events e left join session_rewinds r using (session_id)
     where e.session_id = $1 and e.id = $2 and e.type = 'session.status_idle' and ${isShown("e.seq")}`,
    [sessionId, eventId],
    "read_idle_point",
  );
  return rows[0] ?? null;
}

/** What the log says of an idle session at a point. */
export interface IdleFacts {
  /** Of the last `session.status_idle`; `null`: the session had not run yet. */
  eventId: string | null;
  stopReason: StopReason | null;
  /** Of the last `session.usage`, in the wire's shape. */
  usage: Record<string, unknown> | null;
}

export async function readIdleFacts(db: Queryable, sessionId: string, point: LogPoint): Promise<IdleFacts> {
  // Both are written together, the usage first.
  const { rows } = await db.query<{ id: string; type: string; body: Record<string, unknown> }>(
    `select id, type, body from events
     where session_id = $1 and seq <= $2 and not seq <@ $3::int8multirange and type in ('session.status_idle', 'session.usage')
     order by seq desc limit 2`,
    [sessionId, point.seq, point.rewound],
    "read_idle_facts",
  );
  const idle = rows.find(({ type }) => type === "session.status_idle");
  const usage = rows.find(({ type }) => type === "session.usage");
  return {
    eventId: idle?.id ?? null,
    stopReason: (idle?.body.stop_reason ?? null) as StopReason | null,
    usage: (usage?.body.usage ?? null) as Record<string, unknown> | null,
  };
}

const ANSWERING = ["user.tool_confirmation", "user.custom_tool_result", "agent.tool_result", "agent.mcp_tool_result"];

/** Events up to a point that may say what became of calls, from where the first of the calls was made. */
export async function readAnswers(
  db: Queryable,
  sessionId: string,
  point: LogPoint,
  callIds: readonly string[],
): Promise<NewEvent[]> {
  const { rows } = await db.query<{ id: string; body: Record<string, unknown> }>(
    `select id, body from events
     where session_id = $1 and seq <= $2 and not seq <@ $3::int8multirange and type = any($4)
       and seq > (select min(seq) from events where session_id = $1 and id = any($5))
     order by seq`,
    [sessionId, point.seq, point.rewound, ANSWERING, callIds],
    "read_answers",
  );
  return rows.map(({ id, body: { type, ...fields } }) => ({ id, type: String(type), fields }));
}
