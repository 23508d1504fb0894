import type { Queryable } from "./query.ts";
import type { ResourceConfig } from "./session-resources.ts";
import type { HeadRow } from "./session-state.ts";

/** A session with its head, as the API shows it. */
export interface SessionRow extends HeadRow {
  id: string;
  workspace_id: string;
  thread_id: string;
  agent_id: string;
  agent_version: number;
  agent: Record<string, unknown>;
  environment_id: string;
  harness: string;
  title: string | null;
  metadata: Record<string, string>;
  vault_ids: string[];
  resources: { id: string; config: ResourceConfig; created_at_ms: number; updated_at_ms: number }[];
  budget: Record<string, unknown> | null;
  deployment_id: string | null;
  created_at: Date;
  updated_at: Date;
  archived_at: Date | null;
}

export interface NewSession {
  id: string;
  workspaceId: string;
  threadId: string;
  agentId: string;
  agentVersion: number;
  agent: unknown;
  environmentId: string;
  harness: string;
  title: string | null;
  metadata: Record<string, string>;
  vaultIds: readonly string[];
  createdAt: Date;
}

const RESOURCES = `select coalesce(jsonb_agg(jsonb_build_object('id', r.id, 'config', r.config,
    'created_at_ms', floor(extract(epoch from r.created_at) * 1000), 'updated_at_ms', floor(extract(epoch from r.updated_at) * 1000))
    order by r.position), '[]') from session_resources r where r.session_id = s.id`;
const SELECT = `select s.*, h.*, (${RESOURCES}) as resources from sessions s join session_heads h on h.session_id = s.id`;

export async function insertSession(tx: Queryable, session: NewSession): Promise<void> {
  await tx.query(
    `with s as (
       insert into sessions (id, workspace_id, thread_id, agent_id, agent_version, agent, environment_id, harness, title,
                             metadata, vault_ids, created_at, updated_at)
       values ($1, $2, $3, $4, $5, $6::jsonb, $7, $8, $9, $10::jsonb, $11::jsonb, $12, $12) returning id)
     insert into session_heads (session_id, last_event_at) select id, $12 from s`,
    [
      session.id,
      session.workspaceId,
      session.threadId,
      session.agentId,
      session.agentVersion,
      JSON.stringify(session.agent),
      session.environmentId,
      session.harness,
      session.title,
      JSON.stringify(session.metadata),
      JSON.stringify(session.vaultIds),
      session.createdAt,
    ],
    "insert_session",
  );
}

export async function readSession(db: Queryable, workspaceId: string, sessionId: string): Promise<SessionRow | null> {
  const { rows } = await db.query<SessionRow>(
    `${SELECT} where s.id = $1 and s.workspace_id = $2`,
    [sessionId, workspaceId],
    "read_session",
  );
  return rows[0] ?? null;
}

/** What a turn needs to know of its session; no workspace: the orchestrator serves all of them. */
export type TurnSession = Pick<SessionRow, "workspace_id" | "thread_id" | "agent" | "harness" | "vault_ids" | "environment_id">;

export async function readTurnSession(db: Queryable, sessionId: string): Promise<TurnSession | null> {
  const { rows } = await db.query<TurnSession>(
    "select workspace_id, thread_id, agent, harness, vault_ids, environment_id from sessions where id = $1",
    [sessionId],
    "read_turn_session",
  );
  return rows[0] ?? null;
}

export interface SessionIdentity {
  threadId: string;
  agentName: string;
  archived: boolean;
}

/** Of the session's agent; `null`: there is no such session. */
export async function readSessionName(db: Queryable, sessionId: string): Promise<string | null> {
  const { rows } = await db.query<{ name: string }>(
    "select agent_name as name from sessions where id = $1",
    [sessionId],
    "read_session_name",
  );
  return rows[0]?.name ?? null;
}

/** The cheap look that every event send makes. */
export async function readIdentity(db: Queryable, workspaceId: string, sessionId: string): Promise<SessionIdentity | null> {
  const { rows } = await db.query<{ thread_id: string; agent_name: string; archived: boolean }>(
    `select thread_id, agent_name, archived_at is not null as archived
     from sessions where id = $1 and workspace_id = $2`,
    [sessionId, workspaceId],
    "read_identity",
  );
  const row = rows[0];
  return row ? { threadId: row.thread_id, agentName: row.agent_name, archived: row.archived } : null;
}

export interface SessionFilter {
  agentId?: string | undefined;
  agentVersion?: number | undefined;
  deploymentId?: string | undefined;
  memoryStoreId?: string | undefined;
  statuses?: readonly string[] | undefined;
  includeArchived?: boolean | undefined;
  gt?: Date | undefined;
  gte?: Date | undefined;
  lt?: Date | undefined;
  lte?: Date | undefined;
}

/** Rows after `from` (exclusive) in the given order of creation. */
export async function listSessions(
  db: Queryable,
  workspaceId: string,
  page: { order: "asc" | "desc"; from: { createdAt: Date; id: string } | null; limit: number },
  filter: SessionFilter,
): Promise<SessionRow[]> {
  const values: unknown[] = [workspaceId, page.limit];
  const where = ["s.workspace_id = $1"];
  const add = (sql: string, value: unknown) => {
    if (value === undefined) return;
    values.push(value);
    where.push(sql.replace("?", `$${values.length}`));
  };
  if (!filter.includeArchived) where.push("s.archived_at is null");
  add("s.agent_id = ?", filter.agentId);
  add("s.agent_version = ?", filter.agentVersion);
  add("s.deployment_id = ?", filter.deploymentId);
  add(
    "exists (select from session_resources r where r.session_id = s.id and r.type = 'memory_store' and r.config->>'memory_store_id' = ?)",
    filter.memoryStoreId,
  );
  add("h.shown_status = any(?)", filter.statuses?.length ? filter.statuses : undefined);
  add("s.created_at > ?", filter.gt);
  add("s.created_at >= ?", filter.gte);
  add("s.created_at < ?", filter.lt);
  add("s.created_at <= ?", filter.lte);
  if (page.from) {
    values.push(page.from.createdAt, page.from.id);
    where.push(`(s.created_at, s.id) ${page.order === "asc" ? ">" : "<"} ($${values.length - 1}, $${values.length})`);
  }
  const { rows } = await db.query<SessionRow>(
    `${SELECT} where ${where.join(" and ")} order by s.created_at ${page.order}, s.id ${page.order} limit $2`,
    values,
  );
  return rows;
}

export async function updateSessionRow(
  tx: Queryable,
  sessionId: string,
  change: { title: string | null; metadata: Record<string, string>; agent: unknown },
): Promise<void> {
  await tx.query(
    `update sessions set title = $2, metadata = $3::jsonb, agent = $4::jsonb,
            updated_at = greatest(updated_at, date_trunc('milliseconds', clock_timestamp())) where id = $1`,
    [sessionId, change.title, JSON.stringify(change.metadata), JSON.stringify(change.agent)],
    "update_session",
  );
}

/** Something of it was changed that has rows of its own. */
export async function touchSessionRow(tx: Queryable, sessionId: string): Promise<void> {
  await tx.query(
    "update sessions set updated_at = greatest(updated_at, date_trunc('milliseconds', clock_timestamp())) where id = $1",
    [sessionId],
    "touch_session",
  );
}

export async function archiveSessionRow(tx: Queryable, sessionId: string): Promise<void> {
  await tx.query(
    "update sessions set archived_at = date_trunc('milliseconds', clock_timestamp()), updated_at = date_trunc('milliseconds', clock_timestamp()) where id = $1",
    [sessionId],
    "archive_session",
  );
}

/**
 * All of the session, whose head is locked; its volume is left to a node that holds the files (trigger `trash_volume`).
 * What hangs on the head has no foreign key (a check at each append), so it is named here.
 */
export async function deleteSessionRow(tx: Queryable, sessionId: string): Promise<void> {
  await tx.query(
    `with e as (delete from events where session_id = $1), i as (delete from inbox where session_id = $1),
       c as (delete from tool_calls where session_id = $1), r as (delete from harness_records where session_id = $1),
       m as (delete from model_spans where session_id = $1)
     delete from sessions where id = $1`,
    [sessionId],
    "delete_session",
  );
}
