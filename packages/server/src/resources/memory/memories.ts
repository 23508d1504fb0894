import { createHash } from "node:crypto";
import {
  type Actor,
  ApiError,
  FULL_PAGE_SIZE_MAX,
  MEMORIES_PER_STORE_MAX,
  type Memory,
  type MemoryCreateParams,
  type MemoryListItem,
  type MemoryListQuery,
  type MemoryUpdateParams,
  PAGE_SIZE_DEFAULT,
  type Page,
  type View,
  createId,
  decodeCursor,
  encodeCursor,
  invalidRequest,
  notFound,
} from "@sandbox0/protocol";
import {
  type MemoryItem,
  type MemoryRecord,
  type MemoryWithContent,
  countMemories,
  deleteMemory,
  findOverlap,
  insertMemory,
  listMemoryItems,
  readMemory,
  updateMemory,
} from "../../store/memories.ts";
import { insertMemoryVersion } from "../../store/memory-versions.ts";
import type { Database } from "../../store/pool.ts";
import type { Queryable } from "../../store/query.ts";
import { pageOfRecords } from "../list-page.ts";
import { needStore, refuseArchivedStore } from "./memory-stores.ts";

/** Which memory: its workspace, its store, its id. */
export interface MemoryAt {
  workspaceId: string;
  storeId: string;
  id: string;
}

/**
 * Memories (contract §10, semantics §13). Every change is a version with the actor who made it. The lock of the store's row
 * makes the changes of a store wait for each other, so what is checked before a change still holds when it is made.
 */
export interface Memories {
  /** @throws ApiError memory_path_conflict_error when the path is taken, or above or below one that is */
  create(at: Omit<MemoryAt, "id">, params: MemoryCreateParams, by: Actor, view?: View): Promise<Memory>;
  retrieve(at: MemoryAt, view?: View): Promise<Memory>;
  /** What changes nothing makes no version. @throws ApiError memory_precondition_failed_error, memory_path_conflict_error */
  update(at: MemoryAt, params: MemoryUpdateParams, by: Actor, view?: View): Promise<Memory>;
  list(at: Omit<MemoryAt, "id">, query: MemoryListQuery): Promise<Page<MemoryListItem>>;
  /** Its versions stay. @throws ApiError memory_precondition_failed_error when its content has another hash */
  delete(at: MemoryAt, by: Actor, expectedSha256?: string): Promise<{ id: string; type: "memory_deleted" }>;
}

export function createMemories({ db, now }: { db: Database; now: () => Date }): Memories {
  return {
    create: (at, params, by, view) => db.transaction((tx) => create(tx, at, params, { by, now: now() }, view)),
    async retrieve(at, view = "full") {
      const content = view === "full";
      const [, record] = await Promise.all([
        needStore(db.reads, at.workspaceId, at.storeId),
        readMemory(db.reads, at.storeId, at.id, { content }),
      ]);
      if (!record) throw unknownMemory(at.id);
      return memoryOf(record);
    },
    update: (at, params, by, view) => db.transaction((tx) => update(tx, at, params, { by, now: now() }, view)),
    list: (at, query) => list(db, at, query),
    delete: (at, by, expectedSha256) => db.transaction((tx) => remove(tx, at, { by, now: now() }, expectedSha256)),
  };
}

const unknownMemory = (id: string): ApiError => notFound(`Memory \`${id}\` not found.`);
const preconditionFailed = (id: string): ApiError =>
  new ApiError(
    "memory_precondition_failed_error",
    `The content of memory \`${id}\` does not have the expected content_sha256; retrieve it and try again.`,
  );

interface Change {
  by: Actor;
  now: Date;
}

interface Content {
  bytes: Buffer;
  contentSha256: string;
  contentBytes: number;
}

function measure(text: string): Content {
  const bytes = Buffer.from(text, "utf8");
  return { bytes, contentSha256: createHash("sha256").update(bytes).digest("hex"), contentBytes: bytes.length };
}

async function create(
  tx: Queryable,
  at: Omit<MemoryAt, "id">,
  params: MemoryCreateParams,
  { by, now }: Change,
  view: View = "basic",
): Promise<Memory> {
  const { storeId } = at;
  refuseArchivedStore(await needStore(tx, at.workspaceId, storeId, { lock: true }));
  const [, count] = await Promise.all([refuseTaken(tx, storeId, params.path, null), countMemories(tx, storeId)]);
  if (count >= MEMORIES_PER_STORE_MAX)
    throw invalidRequest(`Memory store \`${storeId}\` has ${MEMORIES_PER_STORE_MAX} memories, which is the limit.`);
  const { bytes, ...measured } = measure(params.content ?? "");
  const id = createId("memory");
  const versionId = createId("memoryVersion");
  const record: MemoryRecord = { id, storeId, path: params.path, versionId, ...measured, createdAt: now, updatedAt: now };
  await Promise.all([writeVersion(tx, record, "created", bytes, by), insertMemory(tx, record)]);
  return memoryOf({ ...record, content: view === "full" ? bytes : null });
}

async function update(
  tx: Queryable,
  at: MemoryAt,
  params: MemoryUpdateParams,
  { by, now }: Change,
  view: View = "basic",
): Promise<Memory> {
  const { storeId, id } = at;
  refuseArchivedStore(await needStore(tx, at.workspaceId, storeId, { lock: true }));
  const stored = await readMemory(tx, storeId, id, { content: view === "full" });
  if (!stored) throw unknownMemory(id);
  const given = params.content == null ? null : measure(params.content);
  const path = params.path ?? stored.path;
  const changes = path !== stored.path || (given !== null && given.contentSha256 !== stored.contentSha256);
  const expected = params.precondition?.content_sha256;
  // A retry of what was done already succeeds (contract §10); a request for nothing has only its precondition to say.
  const isRequest = given !== null || params.path != null;
  if (expected !== undefined && expected !== stored.contentSha256 && (changes || !isRequest)) throw preconditionFailed(id);
  if (!changes) return memoryOf(stored);
  if (path !== stored.path) await refuseTaken(tx, storeId, path, id);
  const { bytes, ...measured } = given ?? { bytes: { ofVersion: stored.versionId } };
  const record: MemoryWithContent = { ...stored, ...measured, path, versionId: createId("memoryVersion"), updatedAt: now };
  await Promise.all([writeVersion(tx, record, "modified", bytes, by), updateMemory(tx, record)]);
  return memoryOf({ ...record, content: view === "full" ? (given?.bytes ?? stored.content) : null });
}

async function remove(
  tx: Queryable,
  at: MemoryAt,
  { by, now }: Change,
  expectedSha256: string | undefined,
): Promise<{ id: string; type: "memory_deleted" }> {
  const { storeId, id } = at;
  await needStore(tx, at.workspaceId, storeId, { lock: true });
  const stored = await readMemory(tx, storeId, id, { content: false });
  if (!stored) throw unknownMemory(id);
  if (expectedSha256 !== undefined && expectedSha256 !== stored.contentSha256) throw preconditionFailed(id);
  const record = { ...stored, versionId: createId("memoryVersion"), updatedAt: now };
  await Promise.all([writeVersion(tx, record, "deleted", null, by), deleteMemory(tx, id)]);
  return { id, type: "memory_deleted" };
}

/** @throws ApiError memory_path_conflict_error that says which memory is in the way */
async function refuseTaken(tx: Queryable, storeId: string, path: string, exceptId: string | null): Promise<void> {
  const other = await findOverlap(tx, storeId, path, exceptId);
  if (!other) return;
  const how = other.path === path ? "is taken by" : "overlaps the path of";
  throw new ApiError("memory_path_conflict_error", `The path ${JSON.stringify(path)} ${how} memory \`${other.id}\`.`, {
    fields: { conflicting_memory_id: other.id, conflicting_path: other.path },
  });
}

function writeVersion(
  tx: Queryable,
  memory: MemoryRecord,
  operation: "created" | "modified" | "deleted",
  content: Buffer | { ofVersion: string } | null,
  by: Actor,
): Promise<void> {
  return insertMemoryVersion(tx, {
    id: memory.versionId,
    storeId: memory.storeId,
    memoryId: memory.id,
    operation,
    path: memory.path,
    content,
    contentSha256: content && memory.contentSha256,
    contentBytes: content && memory.contentBytes,
    createdBy: by,
    createdAt: memory.updatedAt,
  });
}

async function list(db: Database, at: Omit<MemoryAt, "id">, query: MemoryListQuery): Promise<Page<MemoryListItem>> {
  const { storeId } = at;
  await needStore(db.reads, at.workspaceId, storeId);
  const content = query.view === "full";
  const limit = Math.min(query.limit ?? PAGE_SIZE_DEFAULT, content ? FULL_PAGE_SIZE_MAX : Number.POSITIVE_INFINITY);
  const name = `memories of ${storeId}`;
  const order = "asc";
  const after = query.page === undefined ? null : String(decodeCursor(query.page, { list: name, order, key: ["path"] }).key[0]);
  const prefix = query.path_prefix ?? "/";
  const items = await listMemoryItems(db, storeId, { prefix, rollUp: query.depth === 1, content, after, limit: limit + 1 });
  return pageOfRecords(items, limit, itemOf, (last) =>
    encodeCursor({ list: name, order, key: ["prefix" in last ? last.prefix : last.path] }),
  );
}

const itemOf = (item: MemoryItem): MemoryListItem =>
  "prefix" in item ? { type: "memory_prefix", path: item.prefix } : memoryOf(item);

function memoryOf(record: MemoryWithContent): Memory {
  return {
    id: record.id,
    type: "memory",
    memory_store_id: record.storeId,
    path: record.path,
    content: record.content?.toString("utf8") ?? null,
    content_sha256: record.contentSha256,
    content_size_bytes: record.contentBytes,
    memory_version_id: record.versionId,
    created_at: record.createdAt.toISOString(),
    updated_at: record.updatedAt.toISOString(),
  };
}
