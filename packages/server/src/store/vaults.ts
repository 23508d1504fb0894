import type { Metadata } from "@sandbox0/protocol";
import type { Queryable } from "./query.ts";

export interface VaultRecord {
  id: string;
  displayName: string;
  metadata: Metadata;
  createdAt: Date;
  updatedAt: Date;
  archivedAt: Date | null;
}

interface Row {
  id: string;
  display_name: string;
  metadata: Metadata;
  created_at: Date;
  updated_at: Date;
  archived_at: Date | null;
}

const COLUMNS = "id, display_name, metadata, created_at, updated_at, archived_at";

const toRecord = (row: Row): VaultRecord => ({
  id: row.id,
  displayName: row.display_name,
  metadata: row.metadata,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
  archivedAt: row.archived_at,
});

export async function insertVault(tx: Queryable, workspaceId: string, vault: VaultRecord): Promise<void> {
  await tx.query(
    `insert into vaults (id, workspace_id, display_name, metadata, created_at, updated_at) values ($1, $2, $3, $4, $5, $5)`,
    [vault.id, workspaceId, vault.displayName, JSON.stringify(vault.metadata), vault.createdAt],
  );
}

export async function readVault(
  db: Queryable,
  workspaceId: string,
  id: string,
  options: { lock?: boolean } = {},
): Promise<VaultRecord | null> {
  const sql = `select ${COLUMNS} from vaults where id = $1 and workspace_id = $2`;
  const { rows } = await (options.lock === true
    ? db.query<Row>(`${sql} for update`, [id, workspaceId], "lock_vault")
    : db.query<Row>(sql, [id, workspaceId], "read_vault"));
  return rows[0] ? toRecord(rows[0]) : null;
}

/** Those of these vaults that the workspace has, in no order. */
export async function readVaults(db: Queryable, workspaceId: string, ids: readonly string[]): Promise<VaultRecord[]> {
  const { rows } = await db.query<Row>(
    `select ${COLUMNS} from vaults where workspace_id = $1 and id = any($2)`,
    [workspaceId, ids],
    "read_vaults",
  );
  return rows.map(toRecord);
}

/** Stores what an update may change. */
export async function updateVault(tx: Queryable, vault: VaultRecord): Promise<void> {
  await tx.query("update vaults set display_name = $2, metadata = $3, updated_at = $4 where id = $1", [
    vault.id,
    vault.displayName,
    JSON.stringify(vault.metadata),
    vault.updatedAt,
  ]);
}

/** Archives the vault with its credentials, whose records stay; secrets and data key are gone. The caller has locked it. */
export async function archiveVault(tx: Queryable, id: string, now: Date): Promise<void> {
  await tx.query("update vaults set archived_at = $2, updated_at = $2 where id = $1", [id, now]);
  await tx.query(
    `update vault_credentials set archived_at = $2, updated_at = $2, refresh_lease = null, refresh_until = null
     where vault_id = $1 and archived_at is null`,
    [id, now],
  );
  await tx.query("delete from vault_secrets where vault_id = $1", [id]);
  await tx.query("delete from vault_data_keys where vault_id = $1", [id]);
}

/** With all that is in it. */
export async function deleteVault(db: Queryable, workspaceId: string, id: string): Promise<boolean> {
  const { rowCount } = await db.query("delete from vaults where id = $1 and workspace_id = $2", [id, workspaceId]);
  return rowCount > 0;
}

/** Newest first. */
export async function listVaults(
  db: Queryable,
  workspaceId: string,
  filter: { includeArchived: boolean; after?: { createdAt: Date; id: string } | undefined; limit: number },
): Promise<VaultRecord[]> {
  const { rows } = await db.query<Row>(
    `select ${COLUMNS} from vaults
     where workspace_id = $1 and ($2 or archived_at is null) and ($3::timestamptz is null or (created_at, id) < ($3, $4))
     order by created_at desc, id desc limit $5`,
    [workspaceId, filter.includeArchived, filter.after?.createdAt ?? null, filter.after?.id ?? null, filter.limit],
  );
  return rows.map(toRecord);
}
