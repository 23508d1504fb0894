import type { Queryable } from "./query.ts";

/** Volumes that no session has any more, in this data directory or in one that nobody has named. */
export async function readVolumeTrash(db: Queryable, homeId: string, limit: number): Promise<string[]> {
  const { rows } = await db.query<{ volume_id: string }>(
    "select volume_id from volume_trash where home_id = $1 or home_id is null order by deleted_at limit $2",
    [homeId, limit],
    "read_volume_trash",
  );
  return rows.map((row) => row.volume_id);
}

export async function emptyVolumeTrash(db: Queryable, volumeId: string): Promise<void> {
  await db.query("delete from volume_trash where volume_id = $1", [volumeId], "empty_volume_trash");
}
