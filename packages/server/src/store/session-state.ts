import type { StopReason } from "@sandbox0/protocol";
import type { Head, InboxRow, SessionStatus, ToolCall, TurnEnding } from "../domain/head.ts";
import type { Queryable } from "./query.ts";

export interface HeadRow {
  session_id: string;
  seq: number;
  last_event_at: Date;
  status: SessionStatus;
  shown_status: SessionStatus;
  stop_reason: StopReason | null;
  inbox_position: number;
  inbox_count: number;
  turn_pending: boolean;
  interrupted: boolean;
  ending: TurnEnding | null;
  attempts: number;
  steps: number;
  input_tokens: number;
  output_tokens: number;
  cache_read_tokens: number;
  cache_write_tokens: number;
  active_ms: number;
  running_since: Date | null;
  terminated_at: Date | null;
  lease_owner: number | null;
  lease_generation: number;
  volume_id: string | null;
}

export function toHead(row: HeadRow): Head {
  return {
    sessionId: row.session_id,
    seq: row.seq,
    lastEventAt: row.last_event_at,
    status: row.status,
    shownStatus: row.shown_status,
    stopReason: row.stop_reason,
    inboxPosition: row.inbox_position,
    inboxCount: row.inbox_count,
    turnPending: row.turn_pending,
    interrupted: row.interrupted,
    ending: row.ending,
    attempts: row.attempts,
    steps: row.steps,
    usage: {
      inputTokens: row.input_tokens,
      outputTokens: row.output_tokens,
      cacheReadTokens: row.cache_read_tokens,
      cacheWriteTokens: row.cache_write_tokens,
      activeMs: row.active_ms,
    },
    runningSince: row.running_since,
    leaseOwner: row.lease_owner,
    leaseGeneration: row.lease_generation,
    volumeId: row.volume_id,
  };
}

/** Takes the row lock that orders the session's log. Read the rest after it: only then is it the latest. */
export async function lockHead(tx: Queryable, sessionId: string): Promise<Head | null> {
  const { rows } = await tx.query<HeadRow>(
    "select * from session_heads where session_id = $1 for update",
    [sessionId],
    "lock_head",
  );
  return rows[0] ? toHead(rows[0]) : null;
}

interface ToolCallRow {
  id: string;
  kind: ToolCall["kind"];
  name: string;
  input: Record<string, unknown>;
  permission: ToolCall["permission"];
  result_id: string;
  started_at: Date | null;
  finished_at: Date | null;
  confirmed: ToolCall["confirmed"];
  answer: Record<string, unknown> | null;
  answer_id: string | null;
}

function toToolCall(row: ToolCallRow): ToolCall {
  const deny = row.answer?.deny_message;
  return {
    id: row.id,
    kind: row.kind,
    name: row.name,
    input: row.input,
    permission: row.permission,
    resultId: row.result_id,
    started: row.started_at !== null,
    finished: row.finished_at !== null,
    confirmed: row.confirmed,
    answer: row.answer,
    answerId: row.answer_id,
    denyMessage: typeof deny === "string" ? deny : null,
  };
}

/** Calls without a result, and those with the given ids, in order of emission. */
export async function readCalls(db: Queryable, sessionId: string, ids: readonly string[] = []): Promise<ToolCall[]> {
  const { rows } = await db.query<ToolCallRow>(
    "select * from tool_calls where session_id = $1 and (finished_at is null or id = any($2)) order by position",
    [sessionId, ids],
    "read_calls",
  );
  return rows.map(toToolCall);
}

export async function readInbox(db: Queryable, sessionId: string): Promise<InboxRow[]> {
  const { rows } = await db.query<{ position: number; id: string; type: string; body: Record<string, unknown> }>(
    "select position, id, type, body from inbox where session_id = $1 order by position",
    [sessionId],
    "read_inbox",
  );
  return rows.map(({ body: { type: _, ...fields }, ...row }) => ({ ...row, fields }));
}

export async function readOpenSpans(db: Queryable, sessionId: string): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(
    "select id from model_spans where session_id = $1 and ended_at is null order by started_at",
    [sessionId],
    "read_open_spans",
  );
  return rows.map((row) => row.id);
}
