import type { TraceContext } from "../domain/trace-context.ts";
import type { Queryable } from "./query.ts";

export async function insertTraceContext(db: Queryable, sessionId: string, context: TraceContext): Promise<void> {
  await db.query(
    "insert into trace_contexts (session_id, trace_id, parent_span_id) values ($1, $2, $3)",
    [sessionId, context.traceId, context.parentSpanId],
    "insert_trace_context",
  );
}

export async function readTraceContext(db: Queryable, sessionId: string): Promise<TraceContext | null> {
  const { rows } = await db.query<TraceContext>(
    `select trace_id as "traceId", parent_span_id as "parentSpanId" from trace_contexts where session_id = $1`,
    [sessionId],
    "read_trace_context",
  );
  return rows[0] ?? null;
}
