import type { SessionAgent } from "@sandbox0/protocol";
import type { Queryable } from "./query.ts";

/** One request of a harness in a sandbox to its model. Times in milliseconds since it came to the gateway. */
export interface ModelRequestRow {
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

/** With a key of the writer's, by which a row is written once however often it is tried. */
export type NewModelRequest = ModelRequestRow & { key: string };

/** All of them in one statement; those of a session that was deleted meanwhile are left out. */
export async function insertModelRequests(db: Queryable, rows: readonly NewModelRequest[]): Promise<void> {
  const values = rows.map((row) => ({
    key: row.key,
    session_id: row.sessionId,
    model: row.model.toWellFormed().replaceAll("\0", ""),
    started_at: row.at.toISOString(),
    status: row.status,
    first_token_ms: row.firstTokenMs,
    total_ms: row.totalMs,
    input_tokens: row.inputTokens,
    output_tokens: row.outputTokens,
    cache_read_tokens: row.cacheReadTokens,
    cache_write_tokens: row.cacheWriteTokens,
  }));
  await db.query(
    `insert into model_requests (key, session_id, model, started_at, status, first_token_ms, total_ms, input_tokens, output_tokens,
                                 cache_read_tokens, cache_write_tokens)
     select r.key, r.session_id, r.model, r.started_at, r.status, r.first_token_ms, r.total_ms, r.input_tokens, r.output_tokens,
            r.cache_read_tokens, r.cache_write_tokens
     from jsonb_to_recordset($1::jsonb) as r(key uuid, session_id text, model text, started_at timestamptz, status int,
       first_token_ms float8, total_ms float8, input_tokens bigint, output_tokens bigint, cache_read_tokens bigint,
       cache_write_tokens bigint)
     join sessions s on s.id = r.session_id
     for key share of s
     on conflict (key) do nothing`,
    [JSON.stringify(values)],
    "insert_model_requests",
  );
}

/** Of one session, in the order they were recorded. */
export async function listModelRequests(db: Queryable, sessionId: string): Promise<ModelRequestRow[]> {
  const { rows } = await db.query<ModelRequestRow>(
    `select session_id as "sessionId", model, started_at as at, status, first_token_ms as "firstTokenMs", total_ms as "totalMs",
            input_tokens as "inputTokens", output_tokens as "outputTokens", cache_read_tokens as "cacheReadTokens",
            cache_write_tokens as "cacheWriteTokens"
     from model_requests where session_id = $1 order by id`,
    [sessionId],
    "list_model_requests",
  );
  return rows;
}

/** What decides which models a session may use, and where they are. */
export interface SessionModelsRow {
  workspaceId: string;
  agent: SessionAgent;
  vaultIds: string[];
  harness: string;
}

/** `null`: no such session, or one that is over. */
export async function readSessionModels(db: Queryable, sessionId: string): Promise<SessionModelsRow | null> {
  const { rows } = await db.query<SessionModelsRow>(
    `select s.workspace_id as "workspaceId", s.agent, s.vault_ids as "vaultIds", s.harness
     from sessions s join session_heads h on h.session_id = s.id
     where s.id = $1 and s.archived_at is null and h.status <> 'terminated'`,
    [sessionId],
    "read_session_models",
  );
  return rows[0] ?? null;
}
