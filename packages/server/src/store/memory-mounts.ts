import type { Queryable } from "./query.ts";

/** Where a memory store stands. */
export interface MemoryStoreHead {
  id: string;
  /** Of the last change of its memories; 0: none. May go back when old versions are deleted. */
  seq: number;
  archived: boolean;
}

/** Those of the workspace that exist. */
export async function readMemoryStoreHeads(
  db: Queryable,
  workspaceId: string,
  storeIds: readonly string[],
): Promise<MemoryStoreHead[]> {
  const { rows } = await db.query<MemoryStoreHead>(
    `select id, archived_at is not null as archived,
       coalesce((select seq from memory_versions v where v.store_id = s.id order by seq desc limit 1), 0) as seq
     from memory_stores s where id = any($1) and workspace_id = $2`,
    [storeIds, workspaceId],
    "read_memory_store_heads",
  );
  return rows;
}

export interface MemoryPlace {
  id: string;
  path: string;
  sha256: string;
}

/** All memories of a store, which are at most 2,000, without what they say. */
export async function listMemoryPlaces(db: Queryable, storeId: string): Promise<MemoryPlace[]> {
  const { rows } = await db.query<MemoryPlace>(
    `select id, path, content_sha256 as "sha256" from memories where store_id = $1 order by path`,
    [storeId],
    "list_memory_places",
  );
  return rows;
}

/** As they are now; those that are gone are left out. */
export async function readMemoryContents(
  db: Queryable,
  storeId: string,
  ids: readonly string[],
): Promise<(MemoryPlace & { content: Buffer })[]> {
  const { rows } = await db.query<MemoryPlace & { content: Buffer }>(
    `select m.id, m.path, m.content_sha256 as "sha256", v.content
     from memories m join memory_versions v on v.id = m.version_id where m.store_id = $1 and m.id = any($2)`,
    [storeId, ids],
    "read_memory_contents",
  );
  return rows;
}

/** Which of these sessions exist. */
export async function findSessions(db: Queryable, ids: readonly string[]): Promise<Set<string>> {
  const { rows } = await db.query<{ id: string }>("select id from sessions where id = any($1)", [ids]);
  return new Set(rows.map(({ id }) => id));
}
