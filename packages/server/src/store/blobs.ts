import type { Queryable } from "./query.ts";

/** Says that this content is, or will be in a moment, at its address: it is not deleted for the grace period from now on. */
export async function touchBlob(db: Queryable, blob: { sha256: string; sizeBytes: number }): Promise<void> {
  // Waits while the blob is being deleted, and then makes its row anew.
  await db.query(
    `insert into blobs (sha256, size_bytes, touched_at) values ($1, $2, now())
     on conflict (sha256) do update set touched_at = now()`,
    [blob.sha256, blob.sizeBytes],
    "touch_blob",
  );
}

/**
 * Takes the row of one blob that nothing has referred to for `graceMs`. Until the transaction ends, whoever stores that
 * content again waits; who refers to it without, fails.
 */
export async function takeUnreferencedBlob(tx: Queryable, graceMs: number): Promise<string | null> {
  const { rows } = await tx.query<{ sha256: string }>(
    `delete from blobs where sha256 = (
       select sha256 from blobs where refs = 0 and touched_at < now() - make_interval(secs => $1) order by touched_at limit 1 for update skip locked)
     returning sha256`,
    [graceMs / 1_000],
  );
  return rows[0]?.sha256 ?? null;
}
