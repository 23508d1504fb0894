import type { Actor, MemoryOperation } from "@sandbox0/protocol";
import type { Queryable } from "./query.ts";

export interface MemoryVersionRecord {
  id: string;
  /** The order of the changes of a store. */
  seq: number;
  storeId: string;
  memoryId: string;
  operation: MemoryOperation;
  /** `null` when redacted. */
  path: string | null;
  /** `null` when redacted, of a deletion, or not asked for. */
  content: Buffer | null;
  contentSha256: string | null;
  contentBytes: number | null;
  createdBy: Actor;
  createdAt: Date;
  redactedBy: Actor | null;
  redactedAt: Date | null;
}

interface Row {
  id: string;
  seq: number;
  store_id: string;
  memory_id: string;
  operation: MemoryOperation;
  path: string | null;
  content: Buffer | null;
  content_sha256: string | null;
  content_bytes: number | null;
  created_by: Actor;
  created_at: Date;
  redacted_by: Actor | null;
  redacted_at: Date | null;
}

const COLUMNS = `id, seq, store_id, memory_id, operation, path, case when $2::boolean then content end as content, content_sha256,
  content_bytes, created_by, created_at, redacted_by, redacted_at`;

const toRecord = (row: Row): MemoryVersionRecord => ({
  id: row.id,
  seq: row.seq,
  storeId: row.store_id,
  memoryId: row.memory_id,
  operation: row.operation,
  path: row.path,
  content: row.content,
  contentSha256: row.content_sha256,
  contentBytes: row.content_bytes,
  createdBy: row.created_by,
  createdAt: row.created_at,
  redactedBy: row.redacted_by,
  redactedAt: row.redacted_at,
});

export interface NewMemoryVersion {
  id: string;
  storeId: string;
  memoryId: string;
  operation: MemoryOperation;
  path: string;
  /** The bytes, the version that has them, or `null` for a deletion. */
  content: Buffer | { ofVersion: string } | null;
  contentSha256: string | null;
  contentBytes: number | null;
  createdBy: Actor;
  createdAt: Date;
}

/** The caller holds the lock of the store. */
export async function insertMemoryVersion(tx: Queryable, version: NewMemoryVersion): Promise<void> {
  const { content } = version;
  const isCopy = content !== null && "ofVersion" in content;
  await tx.query(
    `insert into memory_versions
       (id, store_id, memory_id, operation, path, content, content_sha256, content_bytes, created_by, created_at)
     values ($1, $2, $3, $4, $5, coalesce($6, (select content from memory_versions where id = $7)), $8, $9, $10, $11)`,
    [
      version.id,
      version.storeId,
      version.memoryId,
      version.operation,
      version.path,
      isCopy ? null : content,
      isCopy ? content.ofVersion : null,
      version.contentSha256,
      version.contentBytes,
      JSON.stringify(version.createdBy),
      version.createdAt,
    ],
    "insert_memory_version",
  );
}

/** The caller has seen that the store is its workspace's. */
export async function readMemoryVersion(
  db: Queryable,
  storeId: string,
  id: string,
  options: { content: boolean },
): Promise<MemoryVersionRecord | null> {
  const { rows } = await db.query<Row>(
    `select ${COLUMNS} from memory_versions where store_id = $1 and id = $3`,
    [storeId, options.content, id],
    "read_memory_version",
  );
  return rows[0] ? toRecord(rows[0]) : null;
}

/** Takes what it says out of it; that it was, when and by whom stays. */
export async function redactMemoryVersion(tx: Queryable, id: string, by: Actor, at: Date): Promise<void> {
  await tx.query(
    `update memory_versions
     set path = null, content = null, content_sha256 = null, content_bytes = null, redacted_by = $2, redacted_at = $3
     where id = $1`,
    [id, JSON.stringify(by), at],
  );
}

export interface MemoryVersionFilter {
  memoryId: string | undefined;
  operation: MemoryOperation | undefined;
  /** Fields of the actor that must be these. */
  createdBy: Readonly<Record<string, string>>;
  createdAtMin: Date | undefined;
  createdAtMax: Date | undefined;
  content: boolean;
  beforeSeq: number | null;
  limit: number;
}

/** The last change first. */
export async function listMemoryVersions(
  db: Queryable,
  storeId: string,
  filter: MemoryVersionFilter,
): Promise<MemoryVersionRecord[]> {
  const { rows } = await db.query<Row>(
    `select ${COLUMNS} from memory_versions
     where store_id = $1
       and ($3::text is null or memory_id = $3)
       and ($4::text is null or operation = $4)
       and ($5::jsonb = '{}' or created_by @> $5)
       and ($6::timestamptz is null or created_at >= $6)
       and ($7::timestamptz is null or created_at <= $7)
       and ($8::bigint is null or seq < $8)
     order by seq desc limit $9`,
    [
      storeId,
      filter.content,
      filter.memoryId ?? null,
      filter.operation ?? null,
      JSON.stringify(filter.createdBy),
      filter.createdAtMin ?? null,
      filter.createdAtMax ?? null,
      filter.beforeSeq,
      filter.limit,
    ],
  );
  return rows.map(toRecord);
}

/**
 * Deletes up to `limit` versions that were written before `before`, but of a memory that is there the last `kept`.
 * @returns how many
 */
export async function purgeMemoryVersions(
  db: Queryable,
  { before, kept, limit }: { before: Date; kept: number; limit: number },
): Promise<number> {
  const { rowCount } = await db.query(
    `delete from memory_versions where id in (
       select v.id from memory_versions v left join memories m on m.id = v.memory_id
       where v.created_at < $1 and (m.id is null or $2 <= (
         select count(*) from (
           select from memory_versions later where later.memory_id = v.memory_id and later.seq > v.seq limit $2
         ) counted
       ))
       limit $3
     )`,
    [before, kept, limit],
  );
  return rowCount;
}
