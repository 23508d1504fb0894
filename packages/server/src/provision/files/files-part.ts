import { join } from "node:path";
import { SandboxError, type Volume } from "@sandbox0/sandbox";
import type { Blobs } from "../../blobs/blobs.ts";
import { BlobMissing, BlobsUnavailable } from "../../blobs/port.ts";
import { UPLOADS_ROOT } from "../../domain/mount-paths.ts";
import type { Database } from "../../store/pool.ts";
import type { Queryable } from "../../store/query.ts";
import { listMountedFiles, type MountedFile, readResourcesMark } from "../../store/session-resources.ts";
import type { ProvisionPart, ProvisionSession } from "../port.ts";
import { fillUploads, type UploadDirs } from "./fill-uploads.ts";

/** Files that the system prompt names; the agent can list the others. */
const NOTED_FILES_MAX = 50;

/** The session's file resources, read-only under `/mnt/session/uploads` (semantics §11). */
export function createFilesPart({ db, blobs }: { db: Database; blobs: Pick<Blobs, "open"> }): ProvisionPart {
  /** By session, while its turn runs: what was mounted last, and the work on it. */
  const mounted = new Map<string, { mark: string; done: Promise<void> }>();
  const mount = async (session: ProvisionSession, volume: Volume): Promise<void> => {
    const mark = await readResourcesMark(db, session.sessionId);
    const last = mounted.get(session.sessionId);
    // Calls end side by side: what one of them has begun the others wait for.
    if (last?.mark === mark) return last.done;
    const before = last?.done.catch(() => undefined);
    const next = { mark, done: Promise.resolve(before).then(() => mountFiles({ db, blobs }, session, volume)) };
    mounted.set(session.sessionId, next);
    await next.done.catch((error: unknown) => {
      if (mounted.get(session.sessionId) === next) mounted.delete(session.sessionId);
      throw error;
    });
  };
  return {
    name: "files",
    async fill(session, volume) {
      mounted.delete(session.sessionId);
      await mount(session, volume);
    },
    /** What a client added or removed meanwhile is there, or gone, for the next call. The call itself has run. */
    async afterCall(session, volume) {
      try {
        await mount(session, volume);
        return [];
      } catch (error) {
        if (!(error instanceof SandboxError)) throw error;
        return session.signal.aborted
          ? []
          : [`Files of the user were added or removed, and are not there yet: ${error.message}.`];
      }
    },
    async beforeIdle({ sessionId }) {
      mounted.delete(sessionId);
    },
    async notes({ sessionId }) {
      return notesOn((await listMountedFiles(db.reads, sessionId)).map(({ mountPath }) => mountPath));
    },
  };
}

async function mountFiles(
  { db, blobs }: { db: Queryable; blobs: Pick<Blobs, "open"> },
  { sessionId, signal }: ProvisionSession,
  volume: Volume,
): Promise<void> {
  const files = await listMountedFiles(db, sessionId);
  try {
    await fillUploads(blobs, uploadDirsOf(volume), files.map(uploadOf), signal);
  } catch (error) {
    if (signal.aborted) throw new SandboxError("unavailable", "the turn was stopped", { cause: error });
    throw new SandboxError("unavailable", describeFailure(error), { cause: error });
  }
}

const uploadDirsOf = ({ path }: Volume): UploadDirs => ({
  uploads: join(path, "uploads"),
  incoming: join(path, "uploads-incoming"),
});

const uploadOf = ({ mountPath, sha256, sizeBytes, createdAt }: MountedFile) => ({
  path: mountPath.slice(UPLOADS_ROOT.length + 1),
  sha256,
  sizeBytes,
  givenAt: createdAt,
});

/** @throws what is neither of the blobs nor of the disk */
function describeFailure(error: unknown): string {
  if (error instanceof BlobMissing) return "the content of one of the session's files is lost";
  if (error instanceof BlobsUnavailable) return "the session's files cannot be read from the server's storage now";
  const code = (error as NodeJS.ErrnoException).code;
  if (code === "ENOSPC" || code === "EDQUOT") return "the server's disk is too full for the session's files";
  throw error;
}

function notesOn(paths: readonly string[]): string[] {
  if (paths.length === 0) return [];
  const named = paths.slice(0, NOTED_FILES_MAX).map((path) => `- ${path}`);
  const more = paths.length > NOTED_FILES_MAX ? [`- and ${paths.length - NOTED_FILES_MAX} more`] : [];
  return [["Files of the user that are there now:", ...named, ...more].join("\n")];
}
