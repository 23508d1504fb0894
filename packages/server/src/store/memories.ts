import type { Queryable } from "./query.ts";

export interface MemoryRecord {
  id: string;
  storeId: string;
  path: string;
  /** Of the version that has its content. */
  versionId: string;
  contentSha256: string;
  contentBytes: number;
  createdAt: Date;
  updatedAt: Date;
}

/** `content` is `null` when it was not asked for. */
export type MemoryWithContent = MemoryRecord & { content: Buffer | null };

/** A memory, or the memories below a prefix, which ends with `/`. */
export type MemoryItem = MemoryWithContent | { prefix: string };

interface Row {
  id: string;
  store_id: string;
  path: string;
  version_id: string;
  content_sha256: string;
  content_bytes: number;
  created_at: Date;
  updated_at: Date;
  content: Buffer | null;
}

const COLUMNS = "m.id, m.store_id, m.path, m.version_id, m.content_sha256, m.content_bytes, m.created_at, m.updated_at";
/** The content is fetched from its version when `$2` says so. */
const CONTENT = "left join memory_versions v on $2::boolean and v.id = m.version_id";

const toRecord = (row: Row): MemoryWithContent => ({
  id: row.id,
  storeId: row.store_id,
  path: row.path,
  versionId: row.version_id,
  contentSha256: row.content_sha256,
  contentBytes: row.content_bytes,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
  content: row.content,
});

/** The caller has seen that the store is its workspace's. */
export async function readMemory(
  db: Queryable,
  storeId: string,
  id: string,
  options: { content: boolean },
): Promise<MemoryWithContent | null> {
  const { rows } = await db.query<Row>(
    `select ${COLUMNS}, v.content from memories m ${CONTENT} where m.store_id = $1 and m.id = $3`,
    [storeId, options.content, id],
    "read_memory",
  );
  return rows[0] ? toRecord(rows[0]) : null;
}

/** A memory at the path, above it or below it, other than `exceptId`. */
export async function findOverlap(
  tx: Queryable,
  storeId: string,
  path: string,
  exceptId: string | null,
): Promise<{ id: string; path: string } | null> {
  const segments = path.slice(1).split("/");
  const upwards = segments.map((_, index) => `/${segments.slice(0, index + 1).join("/")}`);
  const { rows } = await tx.query<{ id: string; path: string }>(
    `select id, path from memories
     where store_id = $1 and (path = any($2) or (path >= $3 and path < $4)) and ($5::text is null or id <> $5)
     order by path limit 1`,
    // "0" is what follows "/": between the two is all that is below the path.
    [storeId, upwards, `${path}/`, `${path}0`, exceptId],
    "find_memory_overlap",
  );
  return rows[0] ?? null;
}

export async function countMemories(tx: Queryable, storeId: string): Promise<number> {
  const { rows } = await tx.query<{ count: number }>(
    "select count(*) from memories where store_id = $1",
    [storeId],
    "count_memories",
  );
  return rows[0]?.count ?? 0;
}

export async function insertMemory(tx: Queryable, memory: MemoryRecord): Promise<void> {
  await tx.query(
    `insert into memories (id, store_id, path, version_id, content_sha256, content_bytes, created_at, updated_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8)`,
    [
      memory.id,
      memory.storeId,
      memory.path,
      memory.versionId,
      memory.contentSha256,
      memory.contentBytes,
      memory.createdAt,
      memory.updatedAt,
    ],
    "insert_memory",
  );
}

export async function updateMemory(tx: Queryable, memory: MemoryRecord): Promise<void> {
  await tx.query(
    "update memories set path = $2, version_id = $3, content_sha256 = $4, content_bytes = $5, updated_at = $6 where id = $1",
    [memory.id, memory.path, memory.versionId, memory.contentSha256, memory.contentBytes, memory.updatedAt],
    "update_memory",
  );
}

/** Its versions stay. */
export async function deleteMemory(tx: Queryable, id: string): Promise<void> {
  await tx.query("delete from memories where id = $1", [id], "delete_memory");
}

export interface MemoryFilter {
  /** Whole segments: `/`, or `/notes/`. */
  prefix: string;
  /** Those deeper than the children of the prefix become one item for each child that they are below. */
  rollUp: boolean;
  content: boolean;
  /** Only what comes after this path, or prefix. */
  after: string | null;
  limit: number;
}

/** By path, byte for byte. */
export async function listMemoryItems(db: Queryable, storeId: string, filter: MemoryFilter): Promise<MemoryItem[]> {
  const { prefix } = filter;
  const { rows } = await db.query<Row & { item: string }>(
    `select m.item, ${COLUMNS}, v.content
     from (
       select distinct on (item) * from (
         select *, case when $5 and strpos(substr(path, char_length($3) + 1), '/') > 0
             then $3 || split_part(substr(path, char_length($3) + 1), '/', 1) || '/' else path end collate "C" as item
         from memories where store_id = $1 and path >= $3 and path < $4
       ) named
       where $6::text is null or item > $6
       order by item limit $7
     ) m ${CONTENT} and m.item = m.path
     order by m.item`,
    [storeId, filter.content, prefix, `${prefix.slice(0, -1)}0`, filter.rollUp, filter.after, filter.limit],
    "list_memory_items",
  );
  return rows.map((row) => (row.item === row.path ? toRecord(row) : { prefix: row.item }));
}
