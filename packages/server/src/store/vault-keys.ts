import type { Queryable } from "./query.ts";

/** A vault's data key as it is stored. */
export interface DataKeyRecord {
  vaultId: string;
  version: number;
  masterKeyId: string;
  wrapped: Buffer;
}

interface DataKeyRow {
  vault_id: string;
  version: number;
  master_key_id: string;
  wrapped: Buffer;
}

const toDataKey = (row: DataKeyRow): DataKeyRecord => ({
  vaultId: row.vault_id,
  version: row.version,
  masterKeyId: row.master_key_id,
  wrapped: row.wrapped,
});

export async function insertDataKey(tx: Queryable, workspaceId: string, key: DataKeyRecord): Promise<void> {
  await tx.query(
    "insert into vault_data_keys (vault_id, workspace_id, version, master_key_id, wrapped) values ($1, $2, $3, $4, $5)",
    [key.vaultId, workspaceId, key.version, key.masterKeyId, key.wrapped],
  );
}

/** `null`: the vault is archived or deleted. */
export async function readDataKey(db: Queryable, vaultId: string): Promise<DataKeyRecord | null> {
  const { rows } = await db.query<DataKeyRow>(
    "select vault_id, version, master_key_id, wrapped from vault_data_keys where vault_id = $1",
    [vaultId],
    "read_data_key",
  );
  return rows[0] ? toDataKey(rows[0]) : null;
}

/** Data keys that another master key than this one wraps, of vaults after `afterVaultId`. */
export async function listDataKeysNotUnder(
  db: Queryable,
  masterKeyId: string,
  page: { afterVaultId: string; limit: number },
): Promise<DataKeyRecord[]> {
  const { rows } = await db.query<DataKeyRow>(
    `select vault_id, version, master_key_id, wrapped from vault_data_keys
     where master_key_id <> $1 and vault_id > $2 order by vault_id limit $3`,
    [masterKeyId, page.afterVaultId, page.limit],
  );
  return rows.map(toDataKey);
}

/** Puts the key under another master key, unless somebody else did meanwhile. */
export async function rewrapDataKey(db: Queryable, before: DataKeyRecord, after: DataKeyRecord): Promise<boolean> {
  const { rowCount } = await db.query(
    "update vault_data_keys set master_key_id = $4, wrapped = $5 where vault_id = $1 and version = $2 and master_key_id = $3",
    [before.vaultId, before.version, before.masterKeyId, after.masterKeyId, after.wrapped],
  );
  return rowCount > 0;
}

/** One rotation at a time, until the transaction ends. A row lock would not do: the row that waits is not the current one after. */
export async function lockMasterKeys(tx: Queryable): Promise<void> {
  await tx.query("lock table master_keys in share row exclusive mode");
}

/** The master key that wraps new data keys; `null` before the first. */
export async function readCurrentMasterKey(db: Queryable): Promise<string | null> {
  const { rows } = await db.query<{ id: string }>("select id from master_keys where current", [], "current_master_key");
  return rows[0]?.id ?? null;
}

/** Makes this the current master key if there is none yet. */
export async function claimMasterKey(db: Queryable, id: string): Promise<void> {
  await db.query("insert into master_keys (id, current) values ($1, true) on conflict do nothing", [id]);
}

/** A new master key under the one before it, for the servers that have only that; good until `untilMs` from now. */
export interface Handover {
  wrappedBy: string;
  wrapped: Buffer;
  untilMs: number;
}

/** Makes this the current master key. The caller has locked them. */
export async function replaceMasterKey(tx: Queryable, id: string, handover: Handover): Promise<void> {
  await tx.query("update master_keys set current = false where current");
  await tx.query(
    `insert into master_keys (id, current, wrapped_by, wrapped, wrapped_until)
     values ($1, true, $2, $3, now() + $4 * interval '1 millisecond')
     on conflict (id) do update set current = true, wrapped_by = excluded.wrapped_by, wrapped = excluded.wrapped,
                                    wrapped_until = excluded.wrapped_until`,
    [id, handover.wrappedBy, handover.wrapped, handover.untilMs],
  );
}

export async function readHandover(db: Queryable, id: string): Promise<{ wrappedBy: string; wrapped: Buffer } | null> {
  const { rows } = await db.query<{ wrapped_by: string; wrapped: Buffer }>(
    "select wrapped_by, wrapped from master_keys where id = $1 and wrapped is not null and wrapped_until > now()",
    [id],
  );
  return rows[0] ? { wrappedBy: rows[0].wrapped_by, wrapped: rows[0].wrapped } : null;
}

export async function forgetHandovers(db: Queryable): Promise<void> {
  await db.query(
    "update master_keys set wrapped_by = null, wrapped = null, wrapped_until = null where wrapped_until <= now()",
    [],
    "forget_handovers",
  );
}
