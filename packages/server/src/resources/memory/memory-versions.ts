import {
  type Actor,
  type ApiError,
  FULL_PAGE_SIZE_MAX,
  type MemoryVersion,
  type MemoryVersionListQuery,
  PAGE_SIZE_DEFAULT,
  type Page,
  type View,
  decodeCursor,
  encodeCursor,
  invalidRequest,
  notFound,
} from "@sandbox0/protocol";
import { readMemory } from "../../store/memories.ts";
import {
  type MemoryVersionRecord,
  listMemoryVersions,
  purgeMemoryVersions,
  readMemoryVersion,
  redactMemoryVersion,
} from "../../store/memory-versions.ts";
import type { Database } from "../../store/pool.ts";
import type { Queryable } from "../../store/query.ts";
import { requireInside } from "../created-at-cursor.ts";
import { pageOfRecords } from "../list-page.ts";
import type { MemoryAt } from "./memories.ts";
import { needStore } from "./memory-stores.ts";

/** How long a version is kept (semantics §13), and how many of the last ones of a memory that is there for longer. */
const RETENTION_MS = 30 * 24 * 60 * 60_000;
const KEPT_VERSIONS = 10;
const PURGE_BATCH = 500;

/** The versions of memories (contract §10). `id` of a `MemoryAt` is the version's here. */
export interface MemoryVersions {
  retrieve(at: MemoryAt, view?: View): Promise<MemoryVersion>;
  /** The last change first. */
  list(at: Omit<MemoryAt, "id">, query: MemoryVersionListQuery): Promise<Page<MemoryVersion>>;
  /** For good; a second time changes nothing. @throws ApiError when it is the current version of a memory */
  redact(at: MemoryAt, by: Actor): Promise<MemoryVersion>;
  /** Deletes what is kept no longer. */
  purge(): Promise<void>;
}

const unknownVersion = (id: string): ApiError => notFound(`Memory version \`${id}\` not found.`);

export function createMemoryVersions({ db, now }: { db: Database; now: () => Date }): MemoryVersions {
  return {
    async retrieve(at, view = "full") {
      const [, record] = await Promise.all([
        needStore(db.reads, at.workspaceId, at.storeId),
        readMemoryVersion(db.reads, at.storeId, at.id, { content: view === "full" }),
      ]);
      if (!record) throw unknownVersion(at.id);
      return versionOf(record);
    },
    list: (at, query) => list(db, at, query),
    redact: (at, by) => db.transaction((tx) => redact(tx, at, by, now())),
    async purge() {
      const before = new Date(now().getTime() - RETENTION_MS);
      const limits = { before, kept: KEPT_VERSIONS, limit: PURGE_BATCH };
      while ((await purgeMemoryVersions(db, limits)) === PURGE_BATCH);
    },
  };
}

async function list(db: Database, at: Omit<MemoryAt, "id">, query: MemoryVersionListQuery): Promise<Page<MemoryVersion>> {
  const { storeId } = at;
  await needStore(db.reads, at.workspaceId, storeId);
  const content = query.view === "full";
  const limit = Math.min(query.limit ?? PAGE_SIZE_DEFAULT, content ? FULL_PAGE_SIZE_MAX : Number.POSITIVE_INFINITY);
  const name = `memory_versions of ${storeId}`;
  const order = "desc";
  const place = query.page === undefined ? null : decodeCursor(query.page, { list: name, order, key: ["time", "seq"] }).key;
  if (place) requireInside(new Date(Number(place[0])), query);
  const records = await listMemoryVersions(db, storeId, {
    memoryId: query.memory_id,
    operation: query.operation,
    createdBy: actorFields(query),
    createdAtMin: query["created_at[gte]"],
    createdAtMax: query["created_at[lte]"],
    content,
    beforeSeq: place && Number(place[1]),
    limit: limit + 1,
  });
  return pageOfRecords(records, limit, versionOf, (last) =>
    encodeCursor({ list: name, order, key: [last.createdAt.getTime(), last.seq] }),
  );
}

/** More than one of them is nobody: an actor has one. */
function actorFields(query: MemoryVersionListQuery): Record<string, string> {
  const { api_key_id, service_account_id, session_id } = query;
  return {
    ...(api_key_id === undefined ? {} : { api_key_id }),
    ...(service_account_id === undefined ? {} : { service_account_id }),
    ...(session_id === undefined ? {} : { session_id }),
  };
}

async function redact(tx: Queryable, at: MemoryAt, by: Actor, now: Date): Promise<MemoryVersion> {
  await needStore(tx, at.workspaceId, at.storeId, { lock: true });
  const record = await readMemoryVersion(tx, at.storeId, at.id, { content: false });
  if (!record) throw unknownVersion(at.id);
  if (record.redactedAt !== null) return versionOf(record);
  const memory = await readMemory(tx, at.storeId, record.memoryId, { content: false });
  if (memory?.versionId === record.id)
    throw invalidRequest(
      `Memory version \`${record.id}\` is the current version of memory \`${memory.id}\` and cannot be redacted; update or delete the memory first.`,
    );
  await redactMemoryVersion(tx, record.id, by, now);
  const emptied = { path: null, content: null, contentSha256: null, contentBytes: null };
  return versionOf({ ...record, ...emptied, redactedBy: by, redactedAt: now });
}

function versionOf(record: MemoryVersionRecord): MemoryVersion {
  return {
    id: record.id,
    type: "memory_version",
    memory_id: record.memoryId,
    memory_store_id: record.storeId,
    operation: record.operation,
    created_at: record.createdAt.toISOString(),
    path: record.path,
    content: record.content?.toString("utf8") ?? null,
    content_sha256: record.contentSha256,
    content_size_bytes: record.contentBytes,
    created_by: record.createdBy,
    redacted_at: record.redactedAt?.toISOString() ?? null,
    ...(record.redactedBy ? { redacted_by: record.redactedBy } : {}),
  };
}
