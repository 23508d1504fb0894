import { ApiError } from "@sandbox0/protocol";
import type { Queryable } from "../store/query.ts";
import { fenceCheckpoints } from "../store/session-forks.ts";
import { lockSessionVolume, readSessionVolume, type SessionVolume } from "../store/session-volumes.ts";

/** Of one request: each follows a turn that came in between. */
const ATTEMPTS_MAX = 3;

/** Sees to it that all files of a resting session are kept outside its node. @throws ApiError when that cannot be */
export type CaptureFiles = (sessionId: string) => Promise<void>;

/** The session's files are newer than what is kept of them, or may be. */
class FilesNotKept extends Error {
  readonly code = "files_not_kept";
}

/**
 * Runs `attempt`, which needs all files of the session kept, and has them kept when it finds that they are not. Outside of
 * any transaction: it may take as long as the files are many.
 * @param attempt is told whether they were kept for it: what programs in the background write since then is not waited for
 */
export async function withFilesKept<T>(
  capture: CaptureFiles,
  sessionId: string,
  attempt: (isCaptured: boolean) => Promise<T>,
): Promise<T> {
  for (let tries = 1; tries <= ATTEMPTS_MAX; tries += 1) {
    try {
      return await attempt(tries > 1);
    } catch (error) {
      if (!(error instanceof FilesNotKept)) throw error;
    }
    await capture(sessionId);
  }
  throw new ApiError("conflict_error", "The session's files were in use each time they were to be kept; wait until it is idle.");
}

/**
 * The checkpoint of the session's files as they are, for as long as the transaction lasts; `null`: it has none.
 * @throws FilesNotKept, for `withFilesKept`
 */
export async function needKeptFiles(tx: Queryable, sessionId: string, isCaptured: boolean): Promise<string | null> {
  const volume = await lockSessionVolume(tx, sessionId);
  if (volume === null || volume.isExpired) return null;
  refuseNewer(volume, isCaptured);
  await fenceCheckpoints(tx, sessionId);
  return volume.checkpointId;
}

/** A look ahead, before anything is done for which `needKeptFiles` would come too late. @throws as that */
export async function expectKeptFiles(tx: Queryable, sessionId: string, isCaptured: boolean): Promise<void> {
  const volume = await readSessionVolume(tx, sessionId);
  if (volume !== null && !volume.isExpired) refuseNewer(volume, isCaptured);
}

function refuseNewer({ dirty, uses, keptUses }: SessionVolume, isCaptured: boolean): void {
  if (dirty && !(isCaptured && keptUses === uses))
    throw new FilesNotKept("the session's files are newer than what is kept of them");
}
