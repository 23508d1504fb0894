import type { StopReason } from "@sandbox0/protocol";
import type { Queryable } from "./query.ts";

export interface AttentionRow {
  id: string;
  title: string | null;
  agentId: string;
  agentName: string;
  status: "idle" | "terminated";
  stopReason: StopReason | null;
  lastEventAt: Date;
}
export interface WaitingRow extends AttentionRow {
  /** Of all sessions that wait. */
  total: number;
  calls: OpenCallRow[];
}
interface OpenCallRow {
  id: string;
  kind: "builtin" | "mcp" | "custom";
  name: string;
  /** `null`: longer than asked for. */
  input: Record<string, unknown> | null;
}

const COLUMNS = `s.id, s.title, s.agent_id as "agentId", s.agent_name as "agentName", h.shown_status as status,
  h.stop_reason as "stopReason", h.last_event_at as "lastEventAt"`;

/** Sessions that wait for answers, the longest wait first. Led by the index of open calls: those are few. */
export async function readWaiting(
  db: Queryable,
  workspaceId: string,
  most: { sessions: number; calls: number; inputChars: number },
): Promise<WaitingRow[]> {
  const { rows } = await db.query<WaitingRow>(
    `with waiting as (
       select ${COLUMNS}, count(*) over ()::int as total
       from (select distinct session_id from tool_calls where finished_at is null) c
       join sessions s on s.id = c.session_id join session_heads h on h.session_id = c.session_id
       where s.workspace_id = $1 and s.archived_at is null and h.shown_status = 'idle'
         and h.stop_reason->>'type' = 'requires_action'
       order by h.last_event_at, s.id limit $2)
     select w.*, coalesce((
       select json_agg(json_build_object('id', t.id, 'kind', t.kind, 'name', t.name, 'input', t.input) order by t.position) from (
         select id, kind, name, position, case when length(input::text) <= $4 then input end as input
         from tool_calls
         where session_id = w.id and finished_at is null and answer_id is null and w."stopReason"->'event_ids' ? id
         order by position limit $3) t), '[]') as calls
     from waiting w order by w."lastEventAt", w.id`,
    [workspaceId, most.sessions, most.calls, most.inputChars],
    "read_waiting",
  );
  return rows;
}

/** Of the newest sessions those that stopped in another way than at the end of a turn, the latest first. */
export async function readTroubled(
  db: Queryable,
  workspaceId: string,
  most: { newest: number; sessions: number },
): Promise<AttentionRow[]> {
  const { rows } = await db.query<AttentionRow>(
    `select ${COLUMNS} from (
       select id, title, agent_id, agent_name from sessions
       where workspace_id = $1 and archived_at is null order by created_at desc, id desc limit $2) s
     join session_heads h on h.session_id = s.id
     where h.shown_status = 'terminated'
       or (h.shown_status = 'idle' and h.stop_reason->>'type' in ('retries_exhausted', 'budget_reached', 'refusal'))
     order by h.last_event_at desc, s.id limit $3`,
    [workspaceId, most.newest, most.sessions],
    "read_troubled",
  );
  return rows;
}
