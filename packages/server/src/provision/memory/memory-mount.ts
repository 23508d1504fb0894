import { execFile } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Owner } from "./guarded-dir.ts";

const run = promisify(execFile);
const HELPER_ENV = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LANG: "C" };

/** A memory store as a session has it (contract §6.1). */
export interface MemoryAttachment {
  storeId: string;
  access: "read_write" | "read_only";
  /** As it was when the session was created; `description` is empty when there is none. */
  name: string;
  description: string;
  instructions: string | null;
  /** `/mnt/memory/<slug>`, and no other store of the session's is there. */
  mountPath: string;
}

/** Where a store of a session is on the host; only `filesDir` is ever shown to a sandbox. */
export interface MountPlaces {
  filesDir: string;
  /** For files that are not there yet. On the same file system. */
  incomingDir: string;
  statePath: string;
}

/** Anybody may go through and nobody may look around. */
const PASSAGE_MODE = 0o711;
const OWNER_MODE = 0o700;

const sessionDirOf = (dir: string, sessionId: string): string => join(dir, sessionId);
/** There while a turn may have written what no store has yet. */
export const openMarkOf = (dir: string, sessionId: string): string => join(sessionDirOf(dir, sessionId), "open");

function placesOf(dir: string, sessionId: string, storeId: string): MountPlaces {
  const own = join(sessionDirOf(dir, sessionId), storeId);
  return { filesDir: join(own, "files"), incomingDir: join(own, "incoming"), statePath: join(own, "state.json") };
}

/** Makes what is missing, and opens again what a session has closed to itself. The directory that a sandbox sees stays the same one. */
export function makePlaces(dir: string, sessionId: string, storeId: string): MountPlaces {
  const sessionDir = sessionDirOf(dir, sessionId);
  for (const each of [dir, sessionDir, join(sessionDir, storeId)]) makeDir(each, PASSAGE_MODE);
  const places = placesOf(dir, sessionId, storeId);
  for (const each of [places.filesDir, places.incomingDir]) makeDir(each, OWNER_MODE);
  return places;
}

function makeDir(path: string, mode: number): void {
  mkdirSync(path, { recursive: true, mode });
  if ((statSync(path).mode & 0o777) !== mode) chmodSync(path, mode);
}

/** Files of a session belong to whom its volume belongs to. */
export function ownerOf(volumePath: string): Owner {
  if (process.getuid?.() !== 0) return null;
  const { uid, gid } = statSync(volumePath);
  return { uid, gid };
}

/**
 * Gives a directory, and all that is in it, to the owner, if it is not theirs: a session's volume that was made again has another
 * one. No process of the owner before lives then.
 */
export async function giveTo(owner: Owner, path: string): Promise<void> {
  if (owner === null) return;
  const { uid, gid } = statSync(path);
  if (uid === owner.uid && gid === owner.gid) return;
  if (readdirSync(path).length === 0) chownSync(path, owner.uid, owner.gid);
  else await run("chown", ["-R", "-h", "-P", "--", `${owner.uid}:${owner.gid}`, path], { env: HELPER_ENV });
}
