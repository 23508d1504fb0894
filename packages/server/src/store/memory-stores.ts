import type { Metadata } from "@sandbox0/protocol";
import type { Queryable } from "./query.ts";

export interface MemoryStoreRecord {
  id: string;
  name: string;
  description: string;
  metadata: Metadata;
  createdAt: Date;
  updatedAt: Date;
  archivedAt: Date | null;
}

interface Row {
  id: string;
  name: string;
  description: string;
  metadata: Metadata;
  created_at: Date;
  updated_at: Date;
  archived_at: Date | null;
}

const COLUMNS = "id, name, description, metadata, created_at, updated_at, archived_at";

const toRecord = (row: Row): MemoryStoreRecord => ({
  id: row.id,
  name: row.name,
  description: row.description,
  metadata: row.metadata,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
  archivedAt: row.archived_at,
});

export async function insertMemoryStore(db: Queryable, workspaceId: string, store: MemoryStoreRecord): Promise<void> {
  await db.query(
    `insert into memory_stores (id, workspace_id, name, description, metadata, created_at, updated_at)
     values ($1, $2, $3, $4, $5, $6, $6)`,
    [store.id, workspaceId, store.name, store.description, JSON.stringify(store.metadata), store.createdAt],
  );
}

/** `lock`: changes of the store and of everything in it wait for each other. */
export async function readMemoryStore(
  db: Queryable,
  workspaceId: string,
  id: string,
  options: { lock?: boolean } = {},
): Promise<MemoryStoreRecord | null> {
  const sql = `select ${COLUMNS} from memory_stores where id = $1 and workspace_id = $2`;
  const { rows } = await (options.lock === true
    ? db.query<Row>(`${sql} for no key update`, [id, workspaceId], "lock_memory_store")
    : db.query<Row>(sql, [id, workspaceId], "read_memory_store"));
  return rows[0] ? toRecord(rows[0]) : null;
}

/** Those of these that the workspace has, in no order. */
export async function readMemoryStores(db: Queryable, workspaceId: string, ids: readonly string[]): Promise<MemoryStoreRecord[]> {
  const { rows } = await db.query<Row>(
    `select ${COLUMNS} from memory_stores where workspace_id = $1 and id = any($2)`,
    [workspaceId, ids],
    "read_memory_stores",
  );
  return rows.map(toRecord);
}

/** Stores what an update or the archive may change. */
export async function updateMemoryStore(tx: Queryable, store: MemoryStoreRecord): Promise<void> {
  await tx.query(
    "update memory_stores set name = $2, description = $3, metadata = $4, updated_at = $5, archived_at = $6 where id = $1",
    [store.id, store.name, store.description, JSON.stringify(store.metadata), store.updatedAt, store.archivedAt],
  );
}

/** With its memories and their versions. */
export async function deleteMemoryStore(db: Queryable, workspaceId: string, id: string): Promise<boolean> {
  const { rowCount } = await db.query("delete from memory_stores where id = $1 and workspace_id = $2", [id, workspaceId]);
  return rowCount > 0;
}

export interface MemoryStoreFilter {
  createdAtMin?: Date | undefined;
  createdAtMax?: Date | undefined;
  includeArchived: boolean;
  after?: { createdAt: Date; id: string } | undefined;
  limit: number;
}

/** Newest first. */
export async function listMemoryStores(
  db: Queryable,
  workspaceId: string,
  filter: MemoryStoreFilter,
): Promise<MemoryStoreRecord[]> {
  const { rows } = await db.query<Row>(
    `select ${COLUMNS} from memory_stores
     where workspace_id = $1
       and ($2::timestamptz is null or created_at >= $2)
       and ($3::timestamptz is null or created_at <= $3)
       and ($4 or archived_at is null)
       and ($5::timestamptz is null or (created_at, id) < ($5, $6))
     order by created_at desc, id desc limit $7`,
    [
      workspaceId,
      filter.createdAtMin ?? null,
      filter.createdAtMax ?? null,
      filter.includeArchived,
      filter.after?.createdAt ?? null,
      filter.after?.id ?? null,
      filter.limit,
    ],
  );
  return rows.map(toRecord);
}
