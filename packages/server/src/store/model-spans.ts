import { createId } from "@sandbox0/protocol";
import type { Queryable } from "./query.ts";

/** One request that went through the model gateway. */
export interface GatewaySpan {
  sessionId: string;
  model: string;
  at: Date;
  /** Of the provider; `null`: it gave none. */
  status: number | null;
  firstTokenMs: number | null;
  totalMs: number;
  inputTokens: number;
  outputTokens: number;
  cacheReadTokens: number;
  cacheWriteTokens: number;
}

const STATUS_ERROR_MIN = 400;

/** Nothing is written for a session that was deleted meanwhile. */
export async function insertGatewaySpan(db: Queryable, span: GatewaySpan): Promise<void> {
  const failed = span.status === null || span.status >= STATUS_ERROR_MIN;
  await db.query(
    `insert into model_spans (session_id, id, model, started_at, ended_at, first_token_ms, total_ms, input_tokens, output_tokens,
                              cache_read_tokens, cache_write_tokens, failed)
     select id, $2, $3, $4, $4 + make_interval(secs => $6 / 1000.0), $5, $6, $7, $8, $9, $10, $11 from sessions where id = $1`,
    [
      span.sessionId,
      createId("event"),
      span.model,
      span.at,
      span.firstTokenMs,
      span.totalMs,
      span.inputTokens,
      span.outputTokens,
      span.cacheReadTokens,
      span.cacheWriteTokens,
      failed,
    ],
    "insert_gateway_span",
  );
}
