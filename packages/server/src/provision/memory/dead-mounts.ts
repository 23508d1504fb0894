import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { removeTree } from "@sandbox0/sandbox";
import { findSessions } from "../../store/memory-mounts.ts";
import type { Queryable } from "../../store/query.ts";

/** How often it is done. */
export const DEAD_MOUNTS_SWEEP_MS = 60_000;
/** Asked about at once. */
const SESSIONS_AT_ONCE = 1_000;

/** Removes what this server has of the memory stores of sessions that are deleted. What still runs there may hold up its own. */
export async function removeDeadMounts(db: Queryable, dir: string): Promise<void> {
  // Listed first: a session is there before its directory is.
  const names = await listDir(dir);
  const problems: unknown[] = [];
  for (let start = 0; start < names.length; start += SESSIONS_AT_ONCE) {
    const some = names.slice(start, start + SESSIONS_AT_ONCE);
    const living = await findSessions(db, some);
    for (const name of some) {
      if (!living.has(name)) await removeTree(join(dir, name)).catch((error: unknown) => problems.push(error));
    }
  }
  if (problems.length > 0) throw new AggregateError(problems, "memory stores of deleted sessions could not be removed");
}

async function listDir(dir: string): Promise<string[]> {
  try {
    return await readdir(dir);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return [];
  }
}
