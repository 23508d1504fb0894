import type { Queryable } from "./query.ts";

/** A checkpoint that can be restored. */
export interface CheckpointRow {
  id: string;
  /** Of its manifest. */
  sha256: string;
  entries: number;
  bytes: number;
}

/** One that is being made: it keeps what is stored for it, until it is finished or its node is dead. */
export async function beginCheckpoint(db: Queryable, id: string, sessionId: string, nodeId: number): Promise<void> {
  await db.query(
    `insert into volume_checkpoints (id, session_id, seq, node_id)
     values ($1, $2, coalesce((select seq from session_heads where session_id = $2), 0), $3)`,
    [id, sessionId, nodeId],
    "begin_checkpoint",
  );
}

/** Idempotent. */
export async function keepCheckpointBlob(db: Queryable, id: string, sha256: string): Promise<void> {
  await db.query(
    "insert into volume_checkpoint_blobs (checkpoint_id, sha256) values ($1, $2) on conflict do nothing",
    [id, sha256],
    "keep_checkpoint_blob",
  );
}

/**
 * It has exactly these blobs now, and can be referred to. Those it shares with `previousId`, which nothing but the session
 * refers to, come over from there: no count changes.
 */
export async function finishCheckpoint(
  tx: Queryable,
  id: string,
  manifest: { sha256: string; blobs: readonly string[]; entries: number; bytes: number },
  previousId: string | null,
): Promise<void> {
  const blobs = [...new Set(manifest.blobs)];
  await tx.query("delete from volume_checkpoint_blobs where checkpoint_id = $1 and not (sha256 = any($2))", [id, blobs]);
  await tx.query(
    `update volume_checkpoint_blobs b set checkpoint_id = $1
     where checkpoint_id = $2 and sha256 = any($3)
       and exists (select from volume_checkpoints where id = $2 and refs = 1)
       and not exists (select from volume_checkpoint_blobs own where own.checkpoint_id = $1 and own.sha256 = b.sha256)`,
    [id, previousId, blobs],
  );
  // In one order, so that no two of these wait for each other.
  await tx.query(
    `insert into volume_checkpoint_blobs (checkpoint_id, sha256)
     select $1, sha256 from unnest($2::text[]) as sha256 order by sha256 on conflict do nothing`,
    [id, blobs],
  );
  await tx.query("update volume_checkpoints set sha256 = $2, entries = $3, bytes = $4 where id = $1", [
    id,
    manifest.sha256,
    manifest.entries,
    manifest.bytes,
  ]);
}

/** One that was not finished, and its references. */
export async function dropCheckpoint(db: Queryable, id: string): Promise<void> {
  await db.query("delete from volume_checkpoints where id = $1 and refs = 0", [id], "drop_checkpoint");
}

/** No checkpoint takes so long. */
const UNFINISHED_HOURS_MAX = 24;

/** What nodes that are dead have begun, and what was not even dropped. @returns how many */
export async function dropUnfinishedCheckpoints(db: Queryable, aliveNodeIds: readonly number[]): Promise<number> {
  const { rowCount } = await db.query(
    `delete from volume_checkpoints where sha256 is null
       and (not (node_id = any($1)) or created_at < now() - ${UNFINISHED_HOURS_MAX} * interval '1 hour')`,
    [aliveNodeIds],
  );
  return rowCount;
}

export async function readCheckpoint(db: Queryable, id: string): Promise<CheckpointRow | null> {
  const { rows } = await db.query<CheckpointRow>(
    "select id, sha256, entries, bytes from volume_checkpoints where id = $1 and sha256 is not null",
    [id],
    "read_checkpoint",
  );
  return rows[0] ?? null;
}
