import type { EnvironmentConfig, Metadata } from "@sandbox0/protocol";
import { sqlState } from "./database-error.ts";
import type { Queryable } from "./query.ts";

export interface EnvironmentRecord {
  id: string;
  name: string;
  description: string | null;
  config: EnvironmentConfig;
  metadata: Metadata;
  createdAt: Date;
  updatedAt: Date;
  archivedAt: Date | null;
}

interface Row {
  id: string;
  name: string;
  description: string | null;
  config: EnvironmentConfig;
  metadata: Metadata;
  created_at: Date;
  updated_at: Date;
  archived_at: Date | null;
}

const COLUMNS = "id, name, description, config, metadata, created_at, updated_at, archived_at";
const FOREIGN_KEY_VIOLATION = "23503";

const toRecord = (row: Row): EnvironmentRecord => ({
  id: row.id,
  name: row.name,
  description: row.description,
  config: row.config,
  metadata: row.metadata,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
  archivedAt: row.archived_at,
});

export async function insertEnvironment(db: Queryable, workspaceId: string, environment: EnvironmentRecord): Promise<void> {
  await db.query(
    `insert into environments (id, workspace_id, name, description, config, metadata, created_at, updated_at)
     values ($1, $2, $3, $4, $5, $6, $7, $7)`,
    [
      environment.id,
      workspaceId,
      environment.name,
      environment.description,
      JSON.stringify(environment.config),
      JSON.stringify(environment.metadata),
      environment.createdAt,
    ],
    "insert_environment",
  );
}

export async function readEnvironment(
  db: Queryable,
  workspaceId: string,
  id: string,
  options: { lock?: boolean } = {},
): Promise<EnvironmentRecord | null> {
  const sql = `select ${COLUMNS} from environments where id = $1 and workspace_id = $2`;
  const { rows } = await (options.lock === true
    ? db.query<Row>(`${sql} for update`, [id, workspaceId], "lock_environment")
    : db.query<Row>(sql, [id, workspaceId], "read_environment"));
  return rows[0] ? toRecord(rows[0]) : null;
}

/** Of any workspace. */
export async function readEnvironmentById(
  db: Queryable,
  id: string,
): Promise<(EnvironmentRecord & { workspaceId: string }) | null> {
  const sql = `select ${COLUMNS}, workspace_id from environments where id = $1`;
  const { rows } = await db.query<Row & { workspace_id: string }>(sql, [id], "read_environment_by_id");
  return rows[0] ? { ...toRecord(rows[0]), workspaceId: rows[0].workspace_id } : null;
}

/** Of all workspaces, those that sessions have or may yet have. */
export async function readUsedEnvironments(db: Queryable): Promise<(EnvironmentRecord & { workspaceId: string })[]> {
  const { rows } = await db.query<Row & { workspace_id: string }>(
    `select ${COLUMNS}, workspace_id from environments e
     where archived_at is null or exists (select from sessions s where s.environment_id = e.id and s.archived_at is null)`,
    [],
    "read_used_environments",
  );
  return rows.map((row) => ({ ...toRecord(row), workspaceId: row.workspace_id }));
}

/** Stores what an update may change. */
export async function updateEnvironment(tx: Queryable, environment: EnvironmentRecord): Promise<void> {
  await tx.query(
    "update environments set name = $2, description = $3, config = $4, metadata = $5, updated_at = $6 where id = $1",
    [
      environment.id,
      environment.name,
      environment.description,
      JSON.stringify(environment.config),
      JSON.stringify(environment.metadata),
      environment.updatedAt,
    ],
  );
}

/** Archives once; an archived environment stays as it is. */
export async function archiveEnvironment(
  db: Queryable,
  workspaceId: string,
  id: string,
  now: Date,
): Promise<EnvironmentRecord | null> {
  const { rows } = await db.query<Row>(
    `update environments
     set updated_at = case when archived_at is null then $3 else updated_at end, archived_at = coalesce(archived_at, $3)
     where id = $1 and workspace_id = $2 returning ${COLUMNS}`,
    [id, workspaceId, now],
  );
  return rows[0] ? toRecord(rows[0]) : null;
}

export async function deleteEnvironment(
  db: Queryable,
  workspaceId: string,
  id: string,
): Promise<"deleted" | "in_use" | "unknown"> {
  try {
    const { rowCount } = await db.query("delete from environments where id = $1 and workspace_id = $2", [id, workspaceId]);
    return rowCount > 0 ? "deleted" : "unknown";
  } catch (error) {
    if (sqlState(error) === FOREIGN_KEY_VIOLATION) return "in_use";
    throw error;
  }
}

/** Of any workspace: does a session perhaps need to know where packages come from? */
export async function anyAllowsPackageManagers(db: Queryable): Promise<boolean> {
  const { rows } = await db.query<{ found: boolean }>(
    `select exists (select from environments
       where archived_at is null and config @> '{"networking": {"allow_package_managers": true}}') as found`,
    [],
    "any_allows_package_managers",
  );
  return rows[0]?.found === true;
}

/** Newest first. */
export async function listEnvironments(
  db: Queryable,
  workspaceId: string,
  filter: { includeArchived: boolean; after?: { createdAt: Date; id: string } | undefined; limit: number },
): Promise<EnvironmentRecord[]> {
  const { rows } = await db.query<Row>(
    `select ${COLUMNS} from environments
     where workspace_id = $1 and ($2 or archived_at is null) and ($3::timestamptz is null or (created_at, id) < ($3, $4))
     order by created_at desc, id desc limit $5`,
    [workspaceId, filter.includeArchived, filter.after?.createdAt ?? null, filter.after?.id ?? null, filter.limit],
  );
  return rows.map(toRecord);
}
