import type { Attention, SessionAttention } from "@sandbox0/protocol";
import { type AttentionRow, readTroubled, readWaiting, type WaitingRow } from "../../store/attention.ts";
import type { Queryable } from "../../store/query.ts";

/** What one answer holds; a client that answers what it sees gets the next ones. */
const WAITING_MAX = 100;
const CALLS_PER_SESSION_MAX = 20;
const INPUT_CHARS_MAX = 4_096;
const NEWEST_SESSIONS_MAX = 200;
const TROUBLED_MAX = 20;

/** Which sessions need a person (`GET /sandbox0/v1/attention`). */
export interface AttentionApi {
  read(workspaceId: string): Promise<Attention>;
}

export function createAttention(db: Queryable): AttentionApi {
  return {
    async read(workspaceId) {
      const most = { sessions: WAITING_MAX, calls: CALLS_PER_SESSION_MAX, inputChars: INPUT_CHARS_MAX };
      const [waiting, troubled] = await Promise.all([
        readWaiting(db, workspaceId, most),
        readTroubled(db, workspaceId, { newest: NEWEST_SESSIONS_MAX, sessions: TROUBLED_MAX }),
      ]);
      return {
        type: "attention",
        waiting: waiting.map((row) => attentionOf(row, row.calls)),
        waiting_count: waiting[0]?.total ?? 0,
        troubled: troubled.map((row) => attentionOf(row, [])),
      };
    },
  };
}

const CALL_TYPES = { builtin: "agent.tool_use", mcp: "agent.mcp_tool_use", custom: "agent.custom_tool_use" } as const;

function attentionOf(row: AttentionRow, calls: WaitingRow["calls"]): SessionAttention {
  return {
    type: "session_attention",
    session_id: row.id,
    title: row.title,
    agent_id: row.agentId,
    agent_name: row.agentName,
    status: row.status,
    stop_reason: row.stopReason,
    since: row.lastEventAt.toISOString(),
    calls: calls.map(({ id, kind, name, input }) => ({ id, type: CALL_TYPES[kind], name, input })),
  };
}
