import type { SandboxPool } from "@sandbox0/sandbox";
import type { Logger } from "pino";
import type { Blobs } from "../blobs/blobs.ts";
import { createCheckpoints } from "../provision/volumes/checkpoints.ts";
import { createTreeThreads } from "../provision/volumes/tree-threads.ts";
import { createVolumeKeeper, type VolumeKeeper } from "../provision/volumes/volume-keeper.ts";
import type { VolumeRequests } from "../provision/volumes/volume-requests.ts";
import type { NodeRegistry } from "../store/node-registry.ts";
import type { Notifier } from "../store/notify.ts";
import type { Database } from "../store/pool.ts";

export interface ServerVolumesDeps {
  db: Database;
  blobs: Blobs;
  notifier: Notifier;
  requests: VolumeRequests;
  node: NodeRegistry;
  pool: SandboxPool;
  logger: Logger;
}

/** The files of the sessions whose sandboxes this server has. */
export async function openServerVolumes(deps: ServerVolumesDeps): Promise<VolumeKeeper> {
  const { db, blobs, node, logger } = deps;
  const threads = createTreeThreads();
  const checkpoints = createCheckpoints({ db, blobs, threads, nodeId: () => node.id() });
  const keeper = createVolumeKeeper({
    ...deps,
    checkpoints,
    onTrouble: (error, sessionId) => logger.warn({ err: error, session: sessionId }, "trouble with the files of a session"),
  });
  await keeper.start();
  return {
    part: keeper.part,
    onPause: (sessionId) => keeper.onPause(sessionId),
    start: () => keeper.start(),
    async close() {
      await keeper.close();
      await threads.close();
    },
  };
}
