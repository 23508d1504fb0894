import { isDeepStrictEqual } from "node:util";
import {
  type ApiError,
  type MemoryStore,
  type MemoryStoreCreateParams,
  type MemoryStoreListQuery,
  type MemoryStoreUpdateParams,
  type Page,
  createId,
  invalidRequest,
  mergeMetadata,
  notFound,
} from "@sandbox0/protocol";
import {
  type MemoryStoreRecord,
  deleteMemoryStore,
  insertMemoryStore,
  listMemoryStores,
  readMemoryStore,
  updateMemoryStore,
} from "../../store/memory-stores.ts";
import type { Database } from "../../store/pool.ts";
import type { Queryable } from "../../store/query.ts";
import { newestFirst } from "../created-at-cursor.ts";

/** Memory stores (contract §10, semantics §13). */
export interface MemoryStores {
  create(workspaceId: string, params: MemoryStoreCreateParams): Promise<MemoryStore>;
  retrieve(workspaceId: string, id: string): Promise<MemoryStore>;
  update(workspaceId: string, id: string, params: MemoryStoreUpdateParams): Promise<MemoryStore>;
  list(workspaceId: string, query: MemoryStoreListQuery): Promise<Page<MemoryStore>>;
  /** Nothing can be written any more; reading, deleting and redacting go on. A second time changes nothing. */
  archive(workspaceId: string, id: string): Promise<MemoryStore>;
  /** With all memories and versions, for good. */
  delete(workspaceId: string, id: string): Promise<{ id: string; type: "memory_store_deleted" }>;
}

const LIST = "memory_stores";

const unknownStore = (id: string): ApiError => notFound(`Memory store \`${id}\` not found.`);

export function createMemoryStores({ db, now }: { db: Database; now: () => Date }): MemoryStores {
  return {
    async create(workspaceId, params) {
      const record = newStore(params, now());
      await insertMemoryStore(db, workspaceId, record);
      return storeOf(record);
    },
    retrieve: async (workspaceId, id) => storeOf(await needStore(db.reads, workspaceId, id)),
    update: async (workspaceId, id, params) => storeOf(await db.transaction((tx) => update(tx, workspaceId, id, params, now()))),
    list: (workspaceId, query) => newestFirst(LIST, query, (filter) => listMemoryStores(db, workspaceId, filter), storeOf),
    archive: async (workspaceId, id) =>
      storeOf(
        await db.transaction(async (tx) => {
          const record = await needStore(tx, workspaceId, id, { lock: true });
          if (record.archivedAt !== null) return record;
          const at = now();
          const archived = { ...record, archivedAt: at, updatedAt: at };
          await updateMemoryStore(tx, archived);
          return archived;
        }),
      ),
    async delete(workspaceId, id) {
      if (!(await deleteMemoryStore(db, workspaceId, id))) throw unknownStore(id);
      return { id, type: "memory_store_deleted" };
    },
  };
}

/** @throws ApiError not_found_error */
export async function needStore(
  db: Queryable,
  workspaceId: string,
  id: string,
  options: { lock?: boolean } = {},
): Promise<MemoryStoreRecord> {
  const record = await readMemoryStore(db, workspaceId, id, options);
  if (!record) throw unknownStore(id);
  return record;
}

/** @throws ApiError */
export function refuseArchivedStore(record: MemoryStoreRecord): void {
  if (record.archivedAt !== null) throw invalidRequest(`Memory store \`${record.id}\` is archived and cannot be written to.`);
}

function storeOf(record: MemoryStoreRecord): MemoryStore {
  return {
    id: record.id,
    type: "memory_store",
    name: record.name,
    description: record.description,
    metadata: record.metadata,
    created_at: record.createdAt.toISOString(),
    updated_at: record.updatedAt.toISOString(),
    archived_at: record.archivedAt?.toISOString() ?? null,
  };
}

function newStore(params: MemoryStoreCreateParams, now: Date): MemoryStoreRecord {
  return {
    id: createId("memoryStore"),
    name: params.name,
    description: params.description ?? "",
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
  params: MemoryStoreUpdateParams,
  now: Date,
): Promise<MemoryStoreRecord> {
  const stored = await needStore(tx, workspaceId, id, { lock: true });
  refuseArchivedStore(stored);
  const changed: MemoryStoreRecord = {
    ...stored,
    name: params.name ?? stored.name,
    description: params.description ?? stored.description,
    metadata: mergeMetadata(stored.metadata, params.metadata),
  };
  if (isDeepStrictEqual(changed, stored)) return stored;
  const updated = { ...changed, updatedAt: now };
  await updateMemoryStore(tx, updated);
  return updated;
}
