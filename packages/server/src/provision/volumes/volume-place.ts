import { setTimeout as delay } from "node:timers/promises";
import { SandboxError, type SandboxPool, type Volume } from "@sandbox0/sandbox";
import { BlobMissing, BlobsUnavailable } from "../../blobs/port.ts";
import type { Database } from "../../store/pool.ts";
import { forgetProvided } from "../../store/session-forks.ts";
import {
  readHomeNodes,
  readSessionVolume,
  type SessionVolume,
  takeSessionVolume,
  useSessionVolume,
  VOLUME_RETENTION_DAYS,
} from "../../store/session-volumes.ts";
import type { ProvisionSession } from "../port.ts";
import type { Checkpoints } from "./checkpoints.ts";
import { VolumeUnavailable, type VolumeRequests } from "./volume-requests.ts";

/** A server that has the newest files and is gone may be starting again. */
export const HOME_RETURN_MS = 15_000;
const HOME_LOOK_MS = 500;
/**
 * What another server on the same data directory may take to end the session's sandbox. One that does not answer has lost the
 * session's lease, and goes on with nothing; its sandbox has the same files.
 */
const SIBLING_MS = 5_000;

export const EXPIRED_NOTICE = `The files of this session are gone: its sandbox was made more than ${VOLUME_RETENTION_DAYS} days ago, and files are kept no longer than that. The sandbox is a new, empty one.`;

export interface VolumePlaceDeps {
  db: Database;
  pool: Pick<SandboxPool, "homeId" | "volumeOf" | "makeVolume" | "discard" | "deleteVolume">;
  checkpoints: Pick<Checkpoints, "restore">;
  requests: Pick<VolumeRequests, "ask">;
  node: { id(): number; aliveNodes(): Promise<number[]> };
  homeReturnMs: number;
}

/** What a turn finds: its files are here, and the row says so; or it has had none yet, and there is no row. */
export interface Placed {
  isNew: boolean;
  /** What the agent must be told of its files. */
  notice: string | null;
}

interface Files {
  checkpointId: string | null;
  /** `null`: nothing is lost. */
  lost: string | null;
  startsAnew: boolean;
}

/**
 * Brings the session's files to this node, wherever they are, before a sandbox is claimed for a turn.
 * @throws SandboxError `unavailable`: they are safe, and cannot be had now
 */
export async function placeVolume(deps: VolumePlaceDeps, session: ProvisionSession): Promise<Placed> {
  const { db, pool, node } = deps;
  const { sessionId } = session;
  const { volume: row, isUsed } = await useSessionVolume(db, sessionId, { homeId: pool.homeId, nodeId: node.id() });
  if (row === null) return { isNew: true, notice: null };
  if (isUsed && (await hasHere(pool, row))) return { isNew: false, notice: row.notice };
  try {
    // `useSessionVolume` may have counted.
    return await bring(deps, session, isUsed ? { ...row, uses: row.uses + 1, dirty: true } : row);
  } catch (error) {
    throw explain(error, session.signal);
  }
}

async function hasHere(pool: VolumePlaceDeps["pool"], { sessionId, volumeId }: SessionVolume): Promise<boolean> {
  return (await pool.volumeOf(sessionId))?.id === volumeId;
}

async function bring(deps: VolumePlaceDeps, session: ProvisionSession, row: SessionVolume): Promise<Placed> {
  if (row.homeId === deps.pool.homeId && !row.isExpired) {
    await takeFromSibling(deps, session, row);
    if (await hasHere(deps.pool, row)) {
      await take(deps, row, row.volumeId as string, { checkpointId: row.checkpointId, notice: row.notice, startsAnew: false });
      return { isNew: false, notice: row.notice };
    }
  }
  const files = await findFiles(deps, session, row);
  const current = files.row;
  const volume = await makeVolume(deps, session, files.checkpointId);
  const said = [current.notice, files.lost].filter((sentence) => sentence !== null);
  const notice = said.length === 0 ? null : said.join(" ");
  const isLessThanWas = files.checkpointId === null || files.lost !== null;
  const change = { checkpointId: files.checkpointId, notice, startsAnew: files.startsAnew };
  await take(deps, current, volume.id, change, isLessThanWas);
  if (files.lost !== null)
    await session.report({ type: "unknown_error", message: files.lost, retry_status: { type: "retrying" } });
  return { isNew: false, notice };
}

/** Another server on the same data directory may have the session's sandbox: it must be gone before there is one here. */
async function takeFromSibling(deps: VolumePlaceDeps, session: ProvisionSession, row: SessionVolume): Promise<void> {
  const { node, pool, requests } = deps;
  if (row.nodeId === null || row.nodeId === node.id()) return;
  const request = { sessionId: row.sessionId, homeId: pool.homeId, movesTo: pool.homeId };
  const until = Date.now() + SIBLING_MS;
  while (Date.now() < until && (await node.aliveNodes()).includes(row.nodeId)) {
    try {
      return await requests.ask(request, session.signal, until - Date.now());
    } catch (error) {
      if (!(error instanceof VolumeUnavailable)) throw error;
      // Its turn is about to find out that the lease is lost.
      await delay(HOME_LOOK_MS, undefined, { signal: session.signal });
    }
  }
}

/** What the new volume shall be made from, when what this node has is not the newest. */
async function findFiles(
  deps: VolumePlaceDeps,
  session: ProvisionSession,
  row: SessionVolume,
): Promise<Files & { row: SessionVolume }> {
  if (row.isExpired) return { row, checkpointId: null, lost: EXPIRED_NOTICE, startsAnew: true };
  const kept = { row, checkpointId: row.checkpointId, lost: null, startsAnew: row.startedAt === null };
  const { homeId } = row;
  if (homeId === null) return kept;
  if (homeId === deps.pool.homeId) return { ...kept, lost: lostNotice(row) };
  if (await isServed(deps, session, homeId, row.dirty)) {
    await deps.requests.ask({ sessionId: row.sessionId, homeId, movesTo: deps.pool.homeId }, session.signal);
    const moved = await readSessionVolume(deps.db, row.sessionId);
    if (moved === null || moved.homeId !== null)
      throw new VolumeUnavailable("refused", "the session's files are in use elsewhere");
    return { ...kept, row: moved, checkpointId: moved.checkpointId };
  }
  return row.dirty ? { ...kept, lost: lostNotice(row) } : kept;
}

/** With newest files at stake, a server that is gone is given time to come back. */
async function isServed(
  { db, homeReturnMs }: VolumePlaceDeps,
  { signal }: ProvisionSession,
  homeId: string,
  isWaitedFor: boolean,
): Promise<boolean> {
  const until = Date.now() + (isWaitedFor ? homeReturnMs : 0);
  for (;;) {
    if ((await readHomeNodes(db, homeId)).length > 0) return true;
    if (Date.now() >= until) return false;
    await delay(HOME_LOOK_MS, undefined, { signal });
  }
}

function lostNotice({ checkpointId }: SessionVolume): string {
  const rest =
    checkpointId === null ? "The sandbox is a new, empty one." : "The sandbox has the files of the last turn that was kept.";
  return `The server that had the newest files of this session is gone. What was written to files since they were last kept elsewhere is lost. ${rest} Look at what is there before you rely on it.`;
}

async function makeVolume(deps: VolumePlaceDeps, session: ProvisionSession, checkpointId: string | null): Promise<Volume> {
  const { pool, checkpoints } = deps;
  const { sessionId, signal } = session;
  // A sandbox and a volume of an earlier time, when the session was here before.
  await pool.discard(sessionId);
  const stale = await pool.volumeOf(sessionId);
  if (stale !== null) await pool.deleteVolume(stale.id);
  return pool.makeVolume(sessionId, async (volume) => {
    if (checkpointId !== null) await checkpoints.restore(checkpointId, volume, signal);
  });
}

async function take(
  { db, pool, node }: VolumePlaceDeps,
  row: SessionVolume,
  volumeId: string,
  change: { checkpointId: string | null; notice: string | null; startsAnew: boolean },
  isLessThanWas = false,
): Promise<void> {
  const place = { homeId: pool.homeId, nodeId: node.id(), volumeId };
  const isTaken = await db.transaction(async (tx) => {
    const isOurs = await takeSessionVolume(tx, row, place, change);
    // What was put there once may be gone.
    if (isOurs && isLessThanWas) await forgetProvided(tx, row.sessionId);
    return isOurs;
  });
  if (!isTaken) throw new VolumeUnavailable("refused", "the session has gone to another server meanwhile");
}

/** What the agent is told when its files cannot be had: another try may succeed. */
function explain(error: unknown, signal: AbortSignal): unknown {
  if (signal.aborted) return new SandboxError("unavailable", "the turn was stopped");
  const sentence = describe(error);
  return sentence === null ? error : new SandboxError("unavailable", sentence, { cause: error });
}

function describe(error: unknown): string | null {
  if (error instanceof VolumeUnavailable) return `${error.message}; try again later`;
  if (error instanceof BlobsUnavailable) return "the store that keeps the session's files does not answer; try again later";
  if (error instanceof BlobMissing) return "part of the session's files is missing in the store that keeps them";
  return null;
}
