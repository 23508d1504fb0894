import { deleteExpiredFiles, dropExpiredContent } from "../../store/files.ts";
import type { Queryable } from "../../store/query.ts";

/** How long the metadata of an expired file can still be read (semantics §11). */
export const EXPIRED_METADATA_MS = 30 * 24 * 3_600_000;
/** Files of one statement. */
const BATCH = 500;

/** Lets go of what has expired; the content is deleted with the next collection of blobs. Servers may do it at once. */
export async function expireFiles(db: Queryable): Promise<void> {
  while ((await dropExpiredContent(db, BATCH)) === BATCH);
  while ((await deleteExpiredFiles(db, EXPIRED_METADATA_MS, BATCH)) === BATCH);
}
