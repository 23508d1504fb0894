import type { CredentialAuth, Metadata } from "@sandbox0/protocol";
import { isUniqueViolation } from "./database-error.ts";
import type { Queryable } from "./query.ts";

/** A credential without its secrets. */
export interface CredentialRecord {
  id: string;
  vaultId: string;
  workspaceId: string;
  /** What it is for, unique among the active ones of a vault: `mcp <url>`, `env <name>` or `llm`. */
  purpose: string;
  displayName: string | null;
  metadata: Metadata;
  /** As the API shows it, but `expires_at`, which is a column. */
  auth: CredentialAuth;
  expiresAt: Date | null;
  createdAt: Date;
  updatedAt: Date;
  archivedAt: Date | null;
  /** Raised by every change of a secret. */
  secretsVersion: number;
}

interface Row {
  id: string;
  vault_id: string;
  workspace_id: string;
  purpose: string;
  display_name: string | null;
  metadata: Metadata;
  auth: CredentialAuth;
  expires_at: Date | null;
  created_at: Date;
  updated_at: Date;
  archived_at: Date | null;
  secrets_version: number;
}

const COLUMN_NAMES = [
  "id",
  "vault_id",
  "workspace_id",
  "purpose",
  "display_name",
  "metadata",
  "auth",
  "expires_at",
  "created_at",
  "updated_at",
  "archived_at",
  "secrets_version",
];
const COLUMNS = COLUMN_NAMES.join(", ");
const C_COLUMNS = COLUMN_NAMES.map((name) => `c.${name}`).join(", ");

const toRecord = (row: Row): CredentialRecord => ({
  id: row.id,
  vaultId: row.vault_id,
  workspaceId: row.workspace_id,
  purpose: row.purpose,
  displayName: row.display_name,
  metadata: row.metadata,
  auth: row.auth,
  expiresAt: row.expires_at,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
  archivedAt: row.archived_at,
  secretsVersion: row.secrets_version,
});

/** @returns false when an active credential of the vault has this purpose already; the transaction is then lost */
export async function insertCredential(tx: Queryable, record: CredentialRecord): Promise<boolean> {
  try {
    await tx.query(
      `insert into vault_credentials (id, vault_id, workspace_id, type, purpose, display_name, metadata, auth, expires_at,
                                      created_at, updated_at)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)`,
      [
        record.id,
        record.vaultId,
        record.workspaceId,
        record.auth.type,
        record.purpose,
        record.displayName,
        JSON.stringify(record.metadata),
        JSON.stringify(record.auth),
        record.expiresAt,
        record.createdAt,
      ],
    );
    return true;
  } catch (error) {
    if (isUniqueViolation(error, "vault_credentials_purpose")) return false;
    throw error;
  }
}

export async function countActiveCredentials(tx: Queryable, vaultId: string): Promise<number> {
  const { rows } = await tx.query<{ count: number }>(
    "select count(*) as count from vault_credentials where vault_id = $1 and archived_at is null",
    [vaultId],
  );
  return rows[0]?.count ?? 0;
}

export async function readCredential(
  db: Queryable,
  workspaceId: string,
  vaultId: string,
  id: string,
  options: { lock?: boolean } = {},
): Promise<CredentialRecord | null> {
  const { rows } = await db.query<Row>(
    `select ${COLUMNS} from vault_credentials where id = $1 and vault_id = $2 and workspace_id = $3
     ${options.lock === true ? "for update" : ""}`,
    [id, vaultId, workspaceId],
  );
  return rows[0] ? toRecord(rows[0]) : null;
}

/** Of any workspace, archived or not. */
export async function readCredentialById(db: Queryable, id: string): Promise<CredentialRecord | null> {
  const { rows } = await db.query<Row>(`select ${COLUMNS} from vault_credentials where id = $1`, [id], "read_credential_by_id");
  return rows[0] ? toRecord(rows[0]) : null;
}

/** What an update may change. `newSecrets`: they are, and whoever refreshes the old ones now must not store its result. */
export async function updateCredential(tx: Queryable, record: CredentialRecord, newSecrets: boolean): Promise<void> {
  await tx.query(
    `update vault_credentials set display_name = $2, metadata = $3, auth = $4, expires_at = $5, updated_at = $6
       ${newSecrets ? ", secrets_version = secrets_version + 1, refresh_lease = null, refresh_until = null, refresh_error = null, refresh_failed_at = null" : ""}
     where id = $1`,
    [
      record.id,
      record.displayName,
      JSON.stringify(record.metadata),
      JSON.stringify(record.auth),
      record.expiresAt,
      record.updatedAt,
    ],
  );
}

/** The record stays, its secrets do not. An archived one stays as it is. */
export async function archiveCredential(tx: Queryable, id: string, now: Date): Promise<void> {
  await tx.query(
    `update vault_credentials set archived_at = $2, updated_at = $2, refresh_lease = null, refresh_until = null
     where id = $1 and archived_at is null`,
    [id, now],
  );
  await tx.query("delete from vault_secrets where credential_id = $1", [id]);
}

export async function deleteCredential(db: Queryable, workspaceId: string, vaultId: string, id: string): Promise<boolean> {
  const { rowCount } = await db.query("delete from vault_credentials where id = $1 and vault_id = $2 and workspace_id = $3", [
    id,
    vaultId,
    workspaceId,
  ]);
  return rowCount > 0;
}

/** Newest first. */
export async function listCredentials(
  db: Queryable,
  workspaceId: string,
  vaultId: string,
  filter: { includeArchived: boolean; after?: { createdAt: Date; id: string } | undefined; limit: number },
): Promise<CredentialRecord[]> {
  const { rows } = await db.query<Row>(
    `select ${COLUMNS} from vault_credentials
     where workspace_id = $1 and vault_id = $2 and ($3 or archived_at is null)
       and ($4::timestamptz is null or (created_at, id) < ($4, $5))
     order by created_at desc, id desc limit $6`,
    [workspaceId, vaultId, filter.includeArchived, filter.after?.createdAt ?? null, filter.after?.id ?? null, filter.limit],
  );
  return rows.map(toRecord);
}

/** Active credentials of these vaults in the order of the vaults: all of a type, or the one for each purpose. */
export async function findCredentials(
  db: Queryable,
  workspaceId: string,
  vaultIds: readonly string[],
  wanted: { type: CredentialAuth["type"] } | { purpose: string },
): Promise<CredentialRecord[]> {
  const byType = "type" in wanted;
  const { rows } = await db.query<Row>(
    `select ${C_COLUMNS} from unnest($2::text[]) with ordinality as v (id, place)
     join vault_credentials c on c.vault_id = v.id
     where c.workspace_id = $1 and c.archived_at is null and ${byType ? "c.type" : "c.purpose"} = $3
     order by v.place, c.created_at, c.id`,
    [workspaceId, vaultIds, byType ? wanted.type : wanted.purpose],
    byType ? "find_credentials_by_type" : "find_credentials_by_purpose",
  );
  return rows.map(toRecord);
}
