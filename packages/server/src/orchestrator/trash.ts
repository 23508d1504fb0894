import type { Queryable } from "../store/query.ts";
import { emptyTrash, readTrash } from "../store/sessions.ts";

/** How often the volumes of deleted sessions are removed. */
export const TRASH_SWEEP_MS = 10_000;
const TRASH_BATCH = 50;

/** Removes the volumes of deleted sessions: the row goes only when the files are gone, so a crash repeats the work. */
export async function removeTrash(db: Queryable, deleteVolume: (volumeId: string) => Promise<void>): Promise<void> {
  for (const volumeId of await readTrash(db, TRASH_BATCH)) {
    await deleteVolume(volumeId);
    await emptyTrash(db, volumeId);
  }
}
