import type { SandboxPool } from "@sandbox0/sandbox";
import type { Database } from "../../store/pool.ts";
import { adoptVolumes, readUnnamedVolumes } from "../../store/session-volumes.ts";

/**
 * For so long nothing must have named a volume before it is removed: far longer than any step between its claim and its row,
 * and time to notice that a server was started with another database than its data directory belongs to.
 */
export const UNNAMED_AGE_MS = 24 * 60 * 60_000;

export interface UnnamedVolumesDeps {
  db: Database;
  pool: Pick<SandboxPool, "homeId" | "stored" | "deleteVolume">;
  node: { id(): number; aliveNodes(): Promise<number[]> };
}

/** Gives volumes of this data directory that no row knows to the sessions that claimed them, if these are there and have none. */
export async function adoptUnnamed({ db, pool, node }: UnnamedVolumesDeps): Promise<void> {
  const claimed = (await pool.stored.list()).flatMap(({ id, sessionId }) => (sessionId === null ? [] : [{ id, sessionId }]));
  if (claimed.length === 0) return;
  const alive = [...(await node.aliveNodes()), node.id()];
  await adoptVolumes(db, { homeId: pool.homeId, nodeId: node.id() }, claimed, alive);
}

/** Removes volumes that are nobody's: their sessions are gone, or have other ones. @param ageMs for how long that must be so */
export async function removeUnnamed({ db, pool }: UnnamedVolumesDeps, ageMs: number): Promise<void> {
  const unnamed = await readUnnamedVolumes(db, await pool.stored.list());
  for (const id of await pool.stored.markUnnamed(unnamed, ageMs)) await pool.deleteVolume(id);
}
