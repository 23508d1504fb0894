import type { AgentConfig } from "@sandbox0/protocol";
import type { Queryable } from "./query.ts";

/** One version of an agent. `configText` is its config as JSON: most readers pass it on without looking inside. */
export interface AgentRecord {
  id: string;
  version: number;
  configText: string;
  createdAt: Date;
  updatedAt: Date;
  archivedAt: Date | null;
}

interface Row {
  id: string;
  version: number;
  config: string;
  created_at: Date;
  updated_at: Date;
  archived_at: Date | null;
}

const toRecord = (row: Row): AgentRecord => ({
  id: row.id,
  version: row.version,
  configText: row.config,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
  archivedAt: row.archived_at,
});

// An old version was last changed when it was made; the newest one also by the archiving of the agent.
const COLUMNS = `a.id, v.version, v.config::text as config, a.created_at, a.archived_at,
  case when v.version = a.version then a.updated_at else v.created_at end as updated_at`;

export async function insertAgent(
  db: Queryable,
  workspaceId: string,
  id: string,
  config: AgentConfig,
  now: Date,
): Promise<AgentRecord> {
  const configText = JSON.stringify(config);
  await db.query(
    `with agent as (
       insert into agents (id, workspace_id, version, created_at, updated_at) values ($1, $2, 1, $4, $4)
     )
     insert into agent_versions (agent_id, version, config, created_at) values ($1, 1, $3, $4)`,
    [id, workspaceId, configText, now],
    "insert_agent",
  );
  return { id, version: 1, configText, createdAt: now, updatedAt: now, archivedAt: null };
}

/** The newest version, or the one asked for; `null` when the workspace has none such. */
export async function readAgent(
  db: Queryable,
  workspaceId: string,
  id: string,
  version?: number | null,
): Promise<AgentRecord | null> {
  const { rows } = await db.query<Row>(
    `select ${COLUMNS} from agents a join agent_versions v on v.agent_id = a.id and v.version = coalesce($3, a.version)
     where a.id = $1 and a.workspace_id = $2`,
    [id, workspaceId, version ?? null],
    "read_agent",
  );
  return rows[0] ? toRecord(rows[0]) : null;
}

/** As `readAgent`, holding the agent until the transaction ends: updates of one agent run one after the other. */
export async function lockAgent(tx: Queryable, workspaceId: string, id: string): Promise<AgentRecord | null> {
  // Under read committed the locked row is the newest, but a row joined in the same statement may be older: two statements.
  const locked = await tx.query(
    "select id from agents where id = $1 and workspace_id = $2 for update",
    [id, workspaceId],
    "lock_agent",
  );
  return locked.rows.length === 0 ? null : readAgent(tx, workspaceId, id);
}

/** Adds the version after `current` to an agent that the transaction has locked. */
export async function insertAgentVersion(
  tx: Queryable,
  current: AgentRecord,
  config: AgentConfig,
  now: Date,
): Promise<AgentRecord> {
  const configText = JSON.stringify(config);
  const version = current.version + 1;
  await tx.query(
    `with version as (insert into agent_versions (agent_id, version, config, created_at) values ($1, $2, $3, $4))
     update agents set version = $2, updated_at = $4 where id = $1`,
    [current.id, version, configText, now],
    "insert_agent_version",
  );
  return { ...current, version, configText, updatedAt: now };
}

/** Archives once; an archived agent stays as it is. */
export async function archiveAgent(db: Queryable, workspaceId: string, id: string, now: Date): Promise<boolean> {
  const { rowCount } = await db.query(
    `update agents set updated_at = case when archived_at is null then $3 else updated_at end, archived_at = coalesce(archived_at, $3)
     where id = $1 and workspace_id = $2`,
    [id, workspaceId, now],
  );
  return rowCount > 0;
}

export interface AgentFilter {
  createdAtMin?: Date | undefined;
  createdAtMax?: Date | undefined;
  includeArchived: boolean;
  /** Only what comes after this one, newest first. */
  after?: { createdAt: Date; id: string } | undefined;
  limit: number;
}

/** Newest first. */
export async function listAgents(db: Queryable, workspaceId: string, filter: AgentFilter): Promise<AgentRecord[]> {
  const { rows } = await db.query<Row>(
    `select ${COLUMNS} from agents a join agent_versions v on v.agent_id = a.id and v.version = a.version
     where a.workspace_id = $1
       and ($2::timestamptz is null or a.created_at >= $2)
       and ($3::timestamptz is null or a.created_at <= $3)
       and ($4 or a.archived_at is null)
       and ($5::timestamptz is null or (a.created_at, a.id) < ($5, $6))
     order by a.created_at desc, a.id desc limit $7`,
    [
      workspaceId,
      filter.createdAtMin ?? null,
      filter.createdAtMax ?? null,
      filter.includeArchived,
      filter.after?.createdAt ?? null,
      filter.after?.id ?? null,
      filter.limit,
    ],
  );
  return rows.map(toRecord);
}

/** Newest first, below `before` when given. */
export async function listAgentVersions(
  db: Queryable,
  agentId: string,
  before: number | null,
  limit: number,
): Promise<AgentRecord[]> {
  const { rows } = await db.query<Row>(
    `select ${COLUMNS} from agents a join agent_versions v on v.agent_id = a.id
     where a.id = $1 and ($2::int is null or v.version < $2) order by v.version desc limit $3`,
    [agentId, before, limit],
  );
  return rows.map(toRecord);
}
