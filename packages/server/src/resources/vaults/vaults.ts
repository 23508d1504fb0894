import { isDeepStrictEqual } from "node:util";
import {
  type ApiError,
  type Page,
  type Vault,
  type VaultCreateParams,
  type VaultListQuery,
  type VaultUpdateParams,
  createId,
  invalidRequest,
  mergeMetadata,
  notFound,
} from "@sandbox0/protocol";
import type { Database } from "../../store/pool.ts";
import type { Queryable } from "../../store/query.ts";
import { insertDataKey } from "../../store/vault-keys.ts";
import {
  type VaultRecord,
  archiveVault,
  deleteVault,
  insertVault,
  listVaults,
  readVault,
  updateVault,
} from "../../store/vaults.ts";
import { newestFirst } from "../created-at-cursor.ts";
import type { SecretBox } from "./secret-box.ts";

/** Vaults (contract §9, semantics §10). */
export interface Vaults {
  create(workspaceId: string, params: VaultCreateParams): Promise<Vault>;
  retrieve(workspaceId: string, id: string): Promise<Vault>;
  update(workspaceId: string, id: string, params: VaultUpdateParams): Promise<Vault>;
  list(workspaceId: string, query: VaultListQuery): Promise<Page<Vault>>;
  /** With its credentials, whose secrets are purged and whose records stay. A second time changes nothing. */
  archive(workspaceId: string, id: string): Promise<Vault>;
  /** With everything in it, for good. */
  delete(workspaceId: string, id: string): Promise<{ id: string; type: "vault_deleted" }>;
}

const LIST = "vaults";

export const unknownVault = (id: string): ApiError => notFound(`Vault \`${id}\` not found.`);

export function createVaults(deps: { db: Database; box: SecretBox; now?: () => Date }): Vaults {
  const { db, box } = deps;
  const now = deps.now ?? (() => new Date());
  return {
    async create(workspaceId, params) {
      const record = newVault(params, now());
      const dataKey = await box.newDataKey(record.id);
      await db.transaction(async (tx) => {
        await insertVault(tx, workspaceId, record);
        await insertDataKey(tx, workspaceId, dataKey);
      });
      return vaultOf(record);
    },
    retrieve: async (workspaceId, id) => vaultOf(await needVault(db.reads, workspaceId, id)),
    update: async (workspaceId, id, params) => vaultOf(await db.transaction((tx) => update(tx, workspaceId, id, params, now()))),
    list: (workspaceId, query) => newestFirst(LIST, query, (filter) => listVaults(db, workspaceId, filter), vaultOf),
    archive: async (workspaceId, id) =>
      vaultOf(
        await db.transaction(async (tx) => {
          const record = await needVault(tx, workspaceId, id, { lock: true });
          if (record.archivedAt !== null) return record;
          const at = now();
          await archiveVault(tx, id, at);
          return { ...record, archivedAt: at, updatedAt: at };
        }),
      ),
    async delete(workspaceId, id) {
      if (!(await deleteVault(db, workspaceId, id))) throw unknownVault(id);
      return { id, type: "vault_deleted" };
    },
  };
}

/** @throws ApiError not_found_error */
export async function needVault(
  db: Queryable,
  workspaceId: string,
  id: string,
  options: { lock?: boolean } = {},
): Promise<VaultRecord> {
  const record = await readVault(db, workspaceId, id, options);
  if (!record) throw unknownVault(id);
  return record;
}

/** @throws ApiError */
export function refuseArchivedVault(record: VaultRecord): void {
  if (record.archivedAt !== null) throw invalidRequest(`Vault \`${record.id}\` is archived and cannot be changed.`);
}

function vaultOf(record: VaultRecord): Vault {
  return {
    id: record.id,
    type: "vault",
    display_name: record.displayName,
    metadata: record.metadata,
    created_at: record.createdAt.toISOString(),
    updated_at: record.updatedAt.toISOString(),
    archived_at: record.archivedAt?.toISOString() ?? null,
  };
}

function newVault(params: VaultCreateParams, now: Date): VaultRecord {
  return {
    id: createId("vault"),
    displayName: params.display_name,
    metadata: params.metadata ?? {},
    createdAt: now,
    updatedAt: now,
    archivedAt: null,
  };
}

async function update(
  tx: Queryable,
  workspaceId: string,
  id: string,
  params: VaultUpdateParams,
  now: Date,
): Promise<VaultRecord> {
  const stored = await needVault(tx, workspaceId, id, { lock: true });
  refuseArchivedVault(stored);
  const changed: VaultRecord = {
    ...stored,
    displayName: params.display_name ?? stored.displayName,
    metadata: mergeMetadata(stored.metadata, params.metadata),
  };
  if (isDeepStrictEqual(changed, stored)) return stored;
  const updated = { ...changed, updatedAt: now };
  await updateVault(tx, updated);
  return updated;
}
