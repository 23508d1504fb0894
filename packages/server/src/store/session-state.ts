import type { StopReason } from "@sandbox0/protocol";
import type { Head, InboxRow, SessionStatus, ToolCall, TurnEnding } from "../domain/head.ts";
import type { Queryable } from "./query.ts";

export interface HeadRow {
  session_id: string;
  seq: number;
  last_event_at: Date;
  status: SessionStatus;
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
  web_search_requests: number;
  token_cost_usd: number | null;
  running_since: Date | null;
  terminated_at: Date | null;
  lease_owner: number | null;
  lease_generation: number;
}

/** A head as one JSON value: a third of the cost of its two dozen columns, which are read under every lock. */
export type HeadJson = {
  [Column in keyof HeadRow]: HeadRow[Column] extends Date | null ? string | Extract<HeadRow[Column], null> : HeadRow[Column];
};

export function toHead(row: HeadRow | HeadJson): Head {
  return {
    sessionId: row.session_id,
    seq: row.seq,
    lastEventAt: new Date(row.last_event_at),
    status: row.status,
    // As `shown_status` in SQL: what is admitted shows before it is taken up.
    shownStatus: row.status === "idle" && row.turn_pending ? "running" : row.status,
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
      webSearches: row.web_search_requests,
      tokenCostUsd: row.token_cost_usd,
    },
    runningSince: row.running_since === null ? null : new Date(row.running_since),
    leaseOwner: row.lease_owner,
    leaseGeneration: row.lease_generation,
  };
}

/**
 * Takes the row lock that orders the session's log. Read the rest after it: only then is it the latest.
 * @param workspaceId `null`: of any. A session of another is not there, and not locked: its owner does not wait for strangers
 */
export async function lockHead(tx: Queryable, sessionId: string, workspaceId: string | null): Promise<Head | null> {
  const { rows } = await tx.query<{ head: HeadJson }>(
    `select row_to_json(h) as head from session_heads h
     where session_id = $1 and ($2::text is null or exists (select from sessions where id = $1 and workspace_id = $2))
     for update`,
    [sessionId, workspaceId],
    "lock_head",
  );
  return rows[0] ? toHead(rows[0].head) : null;
}

/** What a decision under the lock needs besides the head. */
export interface Pending {
  workspaceId: string;
  threadId: string;
  agentName: string;
  archived: boolean;
  /** Calls without a result, and those that were asked for, in order of emission. */
  calls: ToolCall[];
  inbox: InboxRow[];
  inboxBytes: number;
  /** Ids of `span.model_request_start` events without an end. */
  openSpans: string[];
}

interface PendingRow {
  workspace_id: string;
  thread_id: string;
  agent_name: string;
  archived: boolean;
  calls: ToolCallRow[] | null;
  inbox: { position: number; id: string; type: string; body: Record<string, unknown> }[] | null;
  inbox_bytes: number;
  open_spans: string[] | null;
}

type ToolCallRow = Omit<ToolCall, "resultId" | "answerId" | "denyMessage"> & {
  position: number;
  result_id: string;
  answer_id: string | null;
};

/** One statement, for what is read under every lock. `null`: there is no such session in the workspace. */
export async function readPending(
  tx: Queryable,
  sessionId: string,
  callIds: readonly string[],
  workspaceId: string | null,
): Promise<Pending | null> {
  const { rows } = await tx.query<PendingRow>(
    `select workspace_id, thread_id, agent_name, archived_at is not null as archived,
       (select json_agg(c order by c.position) from (
          select id, position, kind, name, input, permission, result_id, started_at is not null as started,
                 finished_at is not null as finished, confirmed, answer, answer_id
          from tool_calls where session_id = $1 and (finished_at is null or id = any($2))) c) as calls,
       (select json_agg(i order by i.position) from (
          select position, id, type, body from inbox where session_id = $1) i) as inbox,
       (select coalesce(sum(bytes), 0) from inbox where session_id = $1) as inbox_bytes,
       (select json_agg(id order by started_at) from model_spans where session_id = $1 and ended_at is null) as open_spans
     from sessions where id = $1 and ($3::text is null or workspace_id = $3)`,
    [sessionId, callIds, workspaceId],
    "read_pending",
  );
  const row = rows[0];
  if (!row) return null;
  return {
    workspaceId: row.workspace_id,
    threadId: row.thread_id,
    agentName: row.agent_name,
    archived: row.archived,
    calls: (row.calls ?? []).map(toToolCall),
    inbox: (row.inbox ?? []).map(({ position, id, type, body: { type: _, ...fields } }) => ({ position, id, type, fields })),
    inboxBytes: row.inbox_bytes,
    openSpans: row.open_spans ?? [],
  };
}

function toToolCall({ position: _, result_id, answer_id, ...call }: ToolCallRow): ToolCall {
  const deny = call.answer?.deny_message;
  return { ...call, resultId: result_id, answerId: answer_id, denyMessage: typeof deny === "string" ? deny : null };
}
