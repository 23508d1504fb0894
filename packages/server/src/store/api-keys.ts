import type { Queryable } from "./query.ts";

/** An API key as it is stored: of the secret there is only the SHA-256, and its last characters for people to know it by. */
export interface ApiKeyRecord {
  id: string;
  workspaceId: string;
  workspaceName: string;
  name: string;
  hint: string;
  admin: boolean;
  createdAt: Date;
  revokedAt: Date | null;
}

interface Row {
  id: string;
  workspace_id: string;
  workspace_name: string;
  name: string;
  hint: string;
  admin: boolean;
  created_at: Date;
  revoked_at: Date | null;
}

const COLUMNS = "k.id, k.workspace_id, w.name as workspace_name, k.name, k.hint, k.admin, k.created_at, k.revoked_at";

const toRecord = (row: Row): ApiKeyRecord => ({
  id: row.id,
  workspaceId: row.workspace_id,
  workspaceName: row.workspace_name,
  name: row.name,
  hint: row.hint,
  admin: row.admin,
  createdAt: row.created_at,
  revokedAt: row.revoked_at,
});

/** Makes the workspace of this name if there is none, and locks it until the transaction ends. */
export async function ensureWorkspace(tx: Queryable, name: string, newId: string): Promise<string> {
  await tx.query("insert into workspaces (id, name) values ($1, $2) on conflict (name) do nothing", [newId, name]);
  const { rows } = await tx.query<{ id: string }>("select id from workspaces where name = $1 for update", [name]);
  const [row] = rows;
  if (!row) throw new Error(`workspace ${JSON.stringify(name)} vanished while it was being made`);
  return row.id;
}

export async function insertApiKey(
  tx: Queryable,
  key: { id: string; workspaceId: string; name: string; hash: Buffer; hint: string; admin: boolean; createdAt: Date },
): Promise<void> {
  await tx.query(
    "insert into api_keys (id, workspace_id, name, hash, hint, admin, created_at) values ($1, $2, $3, $4, $5, $6, $7)",
    [key.id, key.workspaceId, key.name, key.hash, key.hint, key.admin, key.createdAt],
  );
}

/** The key with this hash, unless it is revoked. */
export async function findApiKey(db: Queryable, hash: Buffer): Promise<ApiKeyRecord | null> {
  const { rows } = await db.query<Row>(
    `select ${COLUMNS} from api_keys k join workspaces w on w.id = k.workspace_id where k.hash = $1 and k.revoked_at is null`,
    [hash],
    "find_api_key",
  );
  return rows[0] ? toRecord(rows[0]) : null;
}

export async function hasAdminKey(tx: Queryable, workspaceId: string): Promise<boolean> {
  const { rows } = await tx.query("select 1 from api_keys where workspace_id = $1 and admin and revoked_at is null limit 1", [
    workspaceId,
  ]);
  return rows.length > 0;
}

/** Newest first; of one workspace, or of all when it is `null`. */
export async function listApiKeys(db: Queryable, workspaceId: string | null, limit: number): Promise<ApiKeyRecord[]> {
  const { rows } = await db.query<Row>(
    `select ${COLUMNS} from api_keys k join workspaces w on w.id = k.workspace_id
     where $1::text is null or k.workspace_id = $1 order by k.created_at desc, k.id desc limit $2`,
    [workspaceId, limit],
  );
  return rows.map(toRecord);
}

/**
 * Revokes once. `workspaceId` null: any key; else only keys of this workspace that are no admin keys.
 * @returns the hash, for caches; `null` when there is no such key
 */
export async function revokeApiKey(db: Queryable, workspaceId: string | null, id: string, now: Date): Promise<Buffer | null> {
  const { rows } = await db.query<{ hash: Buffer }>(
    `update api_keys set revoked_at = coalesce(revoked_at, $3)
     where id = $1 and ($2::text is null or (workspace_id = $2 and not admin)) returning hash`,
    [id, workspaceId, now],
  );
  return rows[0]?.hash ?? null;
}

export async function isAdminKey(db: Queryable, workspaceId: string, id: string): Promise<boolean> {
  const { rows } = await db.query("select 1 from api_keys where id = $1 and workspace_id = $2 and admin", [id, workspaceId]);
  return rows.length > 0;
}
