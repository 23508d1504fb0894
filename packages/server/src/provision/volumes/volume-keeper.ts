import { setTimeout as delay } from "node:timers/promises";
import { SandboxError, type SandboxPool, type Volume } from "@sandbox0/sandbox";
import { DatabaseUnavailable } from "../../store/database-error.ts";
import type { Notifier } from "../../store/notify.ts";
import type { Database } from "../../store/pool.ts";
import {
  addNotice,
  clearNotice,
  expireVolumes,
  leaveHome,
  readSessionVolume,
  readUnkeptSessions,
  registerHome,
  type SessionVolume,
  takeSessionVolume,
} from "../../store/session-volumes.ts";
import { dropUnfinishedCheckpoints } from "../../store/volume-checkpoints.ts";
import {
  answerVolumeRequest,
  removeOldVolumeRequests,
  takeVolumeRequests,
  type VolumeRequest,
} from "../../store/volume-requests.ts";
import { emptyVolumeTrash, readVolumeTrash } from "../../store/volume-trash.ts";
import type { ProvisionPart, ProvisionSession } from "../port.ts";
import { type Checkpoints, VolumeInUse } from "./checkpoints.ts";
import { SessionLocks } from "./session-locks.ts";
import { TooManyEntries } from "./too-many-entries.ts";
import { EXPIRED_NOTICE, HOME_RETURN_MS, placeVolume } from "./volume-place.ts";
import { adoptUnnamed, removeUnnamed, UNNAMED_AGE_MS } from "./unnamed-volumes.ts";
import { ANSWER_CHANNEL, REQUEST_CHANNEL, type VolumeRequests } from "./volume-requests.ts";

/** A session that rests this long gets a checkpoint: not one that goes on at once. */
export const CAPTURE_AFTER_MS = 2_000;
/** Programs of a session that rests, and is not paused yet, run on: what they write is kept so often. */
const LIVE_AGAIN_MS = 60_000;
/** Before a checkpoint that failed is tried again, for as long as the session rests. */
const RETRY_MS = 60_000;
/** Whoever saw a session at rest may ask before its turn has let go of the sandbox: so often, and so long after each other, it is tried. */
const GRANT_TRIES = 10;
const GRANT_AGAIN_MS = 50;
/** How often requests are looked for: the price of a lost hint. */
const REQUESTS_LOOK_MS = 1_000;
/** How often volumes that nobody has any more are removed, what is old, and sessions looked for that no checkpoint is owed. */
const SWEEP_MS = 10_000;
/** How often the data directory is looked through for volumes that no row names. */
const UNNAMED_LOOK_MS = 10 * 60_000;
const UNKEPT_BATCH = 50;
const TRASH_BATCH = 50;
/** What the checkpoints that are still owed may take when the server stops. */
const CLOSE_MS = 10_000;

export interface VolumeKeeperTimes {
  captureAfterMs: number;
  liveAgainMs: number;
  retryMs: number;
  homeReturnMs: number;
  closeMs: number;
  sweepMs: number;
  unnamedLookMs: number;
  unnamedAgeMs: number;
}
const TIMES: VolumeKeeperTimes = {
  captureAfterMs: CAPTURE_AFTER_MS,
  liveAgainMs: LIVE_AGAIN_MS,
  retryMs: RETRY_MS,
  homeReturnMs: HOME_RETURN_MS,
  closeMs: CLOSE_MS,
  sweepMs: SWEEP_MS,
  unnamedLookMs: UNNAMED_LOOK_MS,
  unnamedAgeMs: UNNAMED_AGE_MS,
};

export interface VolumeKeeperDeps {
  db: Database;
  pool: Pick<
    SandboxPool,
    "stored" | "homeId" | "volumeOf" | "makeVolume" | "discard" | "deleteVolume" | "whileStill" | "isQuiet"
  >;
  checkpoints: Checkpoints;
  requests: Pick<VolumeRequests, "ask">;
  notifier: Pick<Notifier, "publish" | "subscribe" | "onReconnect">;
  node: { id(): number; aliveNodes(): Promise<number[]> };
  /** For the log: the session goes on, and it is tried again. */
  onTrouble(error: unknown, sessionId: string | null): void;
}

/** Keeps the sessions' files: brings them to the node that runs the session, and keeps a checkpoint outside when it rests. */
export interface VolumeKeeper {
  /** Files are there before any other part of the provision fills them. */
  part: ProvisionPart;
  /** A session's sandbox was paused: what its programs did since the turn is kept, too. */
  onPause(sessionId: string): void;
  start(): Promise<void>;
  /** Keeps what is still owed, for a while. */
  close(): Promise<void>;
}

/** @param times for tests */
export function createVolumeKeeper(deps: VolumeKeeperDeps, times: Partial<VolumeKeeperTimes> = {}): VolumeKeeper {
  return new Keeper(deps, { ...TIMES, ...times });
}

class Keeper implements VolumeKeeper {
  readonly part: ProvisionPart;
  readonly #deps: VolumeKeeperDeps;
  readonly #times: VolumeKeeperTimes;
  readonly #locks = new SessionLocks();
  /** Checkpoints that are owed, by session. */
  readonly #owed = new Map<string, NodeJS.Timeout>();
  /** Checkpoints that are being made; a turn does not wait for them. */
  readonly #capturing = new Map<string, AbortController>();
  /** Claimed for the first time, and the row does not say so yet. */
  readonly #new = new Set<string>();
  readonly #notices = new Map<string, string>();
  readonly #told = new Map<string, string>();
  /** Of which no checkpoint can be made as they are: until their next turn nothing changes that. */
  readonly #hopeless = new Set<string>();
  /** Sessions of which a turn asks for the files now. */
  readonly #placing = new Set<string>();
  readonly #working = new Set<Promise<void>>();
  #timers: NodeJS.Timeout[] = [];
  #off: (() => void)[] = [];
  #isAnswering = false;
  #isSweeping = false;
  #isLooking = false;
  #isClosing = false;
  #isClosed = false;

  constructor(deps: VolumeKeeperDeps, times: VolumeKeeperTimes) {
    this.#deps = deps;
    this.#times = times;
    this.part = {
      name: "volumes",
      place: (session) => this.#place(session),
      fill: (session, volume) => this.#markNew(session, volume),
      afterCall: async ({ sessionId }) => this.#tell(sessionId),
      beforeIdle: ({ sessionId }) => this.#forgetTold(sessionId),
      atRest: async ({ sessionId }) => this.#owe(sessionId, this.#times.captureAfterMs),
    };
  }

  async start(): Promise<void> {
    const { db, pool, node, notifier } = this.#deps;
    await registerHome(db, { homeId: pool.homeId, nodeId: node.id() });
    // Before any turn: another server would begin with nothing.
    await adoptUnnamed(this.#deps);
    this.#off = [
      notifier.subscribe(REQUEST_CHANNEL, (homeId) => {
        if (homeId === pool.homeId) this.#run(this.#answerRequests());
      }),
      notifier.onReconnect(() => this.#run(this.#answerRequests())),
    ];
    this.#timers = [
      setInterval(() => this.#run(this.#answerRequests()), REQUESTS_LOOK_MS),
      setInterval(() => this.#run(this.#sweep()), this.#times.sweepMs),
      setInterval(() => this.#run(this.#lookForUnnamed()), this.#times.unnamedLookMs),
    ];
  }

  onPause(sessionId: string): void {
    this.#owe(sessionId, 0);
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    for (const timer of this.#owed.values()) clearTimeout(timer);
    const owed = new Set(this.#owed.keys());
    this.#owed.clear();
    // Of turns that others go on with: their files were in use until now, and who has the turn next asks for them.
    for (const sessionId of await this.#readUnkept().catch(this.#noUnkept)) owed.add(sessionId);
    for (const sessionId of owed) this.#run(this.#capture(sessionId));
    const late = setTimeout(() => {
      this.#isClosed = true;
      for (const work of this.#capturing.values()) work.abort(new Error("the server is stopping"));
    }, this.#times.closeMs);
    while (this.#working.size > 0) await Promise.allSettled(this.#working);
    clearTimeout(late);
    this.#isClosed = true;
    for (const off of this.#off) off();
    for (const timer of this.#timers) clearInterval(timer);
    while (this.#working.size > 0) await Promise.allSettled(this.#working);
  }

  /** Sessions that rest with files that are newer than their checkpoint, whoever owed them one: it may have died. */
  async #readUnkept(): Promise<string[]> {
    const { db, pool, node } = this.#deps;
    const place = { homeId: pool.homeId, nodeId: node.id() };
    const busy = [...this.#owed.keys(), ...this.#capturing.keys(), ...this.#hopeless];
    return readUnkeptSessions(db, place, { alive: await node.aliveNodes(), without: busy, limit: UNKEPT_BATCH });
  }

  readonly #noUnkept = (error: unknown): string[] => {
    this.#deps.onTrouble(error, null);
    return [];
  };

  async #place(session: ProvisionSession): Promise<void> {
    const { sessionId } = session;
    clearTimeout(this.#owed.get(sessionId));
    this.#owed.delete(sessionId);
    this.#hopeless.delete(sessionId);
    this.#capturing.get(sessionId)?.abort(new VolumeInUse());
    const { homeReturnMs } = this.#times;
    this.#placing.add(sessionId);
    const placed = await this.#locks
      .run(sessionId, () => placeVolume({ ...this.#deps, homeReturnMs }, session))
      .finally(() => this.#placing.delete(sessionId));
    if (placed.isNew) this.#new.add(sessionId);
    // What an earlier turn found and never used: the session has files since.
    else this.#new.delete(sessionId);
    if (placed.notice !== null) this.#notices.set(sessionId, placed.notice);
  }

  /** Before anything runs: files that no row knows of must not exist. */
  async #markNew({ sessionId }: ProvisionSession, volume: Volume): Promise<void> {
    if (!this.#new.delete(sessionId)) return;
    const { db, pool, node } = this.#deps;
    const place = { homeId: pool.homeId, nodeId: node.id(), volumeId: volume.id };
    const change = { checkpointId: null, notice: null, startsAnew: true };
    if (!(await takeSessionVolume(db, { sessionId, uses: null }, place, change)))
      throw new SandboxError("unavailable", "the session has gone to another server meanwhile");
  }

  #tell(sessionId: string): string[] {
    const notice = this.#notices.get(sessionId);
    if (notice === undefined) return [];
    this.#notices.delete(sessionId);
    this.#told.set(sessionId, notice);
    return [notice];
  }

  async #forgetTold(sessionId: string): Promise<void> {
    const notice = this.#told.get(sessionId);
    if (notice === undefined) return;
    await clearNotice(this.#deps.db, sessionId, notice);
    this.#told.delete(sessionId);
  }

  #owe(sessionId: string, afterMs: number): void {
    if (this.#isClosing) return;
    clearTimeout(this.#owed.get(sessionId));
    const timer = setTimeout(() => {
      this.#owed.delete(sessionId);
      this.#run(this.#capture(sessionId));
    }, afterMs);
    this.#owed.set(sessionId, timer.unref());
  }

  /** Of a session that rests, if its files are newer than the last one. What fails is tried again later, unless a turn is the reason: it ends with a new debt. */
  async #capture(sessionId: string): Promise<void> {
    try {
      await this.#locks.run(sessionId, () => this.#captureNow(sessionId));
    } catch (error) {
      if (error instanceof VolumeInUse || (error instanceof SandboxError && error.code === "unavailable")) return;
      if (error instanceof TooManyEntries) {
        this.#hopeless.add(sessionId);
        return addNotice(this.#deps.db, sessionId, tooManyNotice(error));
      }
      this.#deps.onTrouble(error, sessionId);
      this.#owe(sessionId, this.#times.retryMs);
    }
  }

  /** @throws VolumeInUse, SandboxError `unavailable` while a turn uses it, and what hinders the checkpoint */
  async #captureNow(sessionId: string): Promise<void> {
    const { db, pool, checkpoints } = this.#deps;
    const row = await this.#readHere(sessionId);
    const volume = row === null ? null : await pool.volumeOf(sessionId);
    if (row === null || !row.dirty || volume === null || volume.id !== row.volumeId) return;
    if (this.#isClosing) await this.#endSandbox(sessionId);
    const stop = new AbortController();
    this.#capturing.set(sessionId, stop);
    if (this.#isClosed) stop.abort(new Error("the server is stopping"));
    try {
      const { omitted, isQuiet } = await pool.whileStill(sessionId, async (signal) => {
        const isQuiet = await pool.isQuiet(sessionId);
        const either = AbortSignal.any([signal, stop.signal]);
        return { isQuiet, ...(await checkpoints.capture(volume, row, isQuiet, either)) };
      });
      // What is in the background goes on writing now.
      if (!isQuiet && !this.#isClosing) this.#owe(sessionId, this.#times.liveAgainMs);
      // The close that came meanwhile has left it out: it is captured once more, and its programs are ended first.
      else if (!isQuiet && !this.#isClosed) this.#run(this.#capture(sessionId));
      if (omitted !== null && omitted.count > 0) await addNotice(db, sessionId, omittedNotice(omitted));
    } finally {
      this.#capturing.delete(sessionId);
    }
  }

  /** The session's row, if this node used its files last, or the one that did is gone. */
  async #readHere(sessionId: string): Promise<SessionVolume | null> {
    const { db, pool, node } = this.#deps;
    const row = await readSessionVolume(db, sessionId);
    if (row === null || row.homeId !== pool.homeId) return null;
    const isOthers = row.nodeId !== null && row.nodeId !== node.id() && (await node.aliveNodes()).includes(row.nodeId);
    return isOthers ? null : row;
  }

  async #answerRequests(): Promise<void> {
    if (this.#isAnswering || this.#isClosed) return;
    this.#isAnswering = true;
    try {
      const { db, pool, node } = this.#deps;
      const place = { homeId: pool.homeId, nodeId: node.id() };
      for (const request of await takeVolumeRequests(db, place, await node.aliveNodes())) this.#run(this.#answer(request));
    } finally {
      this.#isAnswering = false;
    }
  }

  async #answer(request: VolumeRequest): Promise<void> {
    const { db, notifier } = this.#deps;
    let failure: string | null = null;
    try {
      await this.#locks.run(request.sessionId, () => this.#grant(request));
    } catch (error) {
      failure = describe(error);
      if (!(error instanceof VolumeInUse || error instanceof SandboxError)) this.#deps.onTrouble(error, request.sessionId);
    }
    await answerVolumeRequest(db, request.id, failure);
    notifier.publish(ANSWER_CHANNEL, String(request.id));
  }

  /** @throws as `#captureNow` */
  async #grant(request: VolumeRequest): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#grantNow(request);
      } catch (error) {
        const isInUse = error instanceof SandboxError && error.code === "unavailable";
        if (!isInUse || tries === GRANT_TRIES) throw error;
        await delay(GRANT_AGAIN_MS);
        // The next turn waits for this lock already: it does not wait for a checkpoint as well.
        if (this.#placing.has(request.sessionId)) throw error;
      }
    }
  }

  async #grantNow({ sessionId, movesTo }: VolumeRequest): Promise<void> {
    const { db, pool } = this.#deps;
    if (movesTo !== null) {
      await this.#endSandbox(sessionId);
      if (movesTo === pool.homeId) return;
    }
    await this.#captureNow(sessionId);
    if (movesTo === null) return;
    const row = await this.#readHere(sessionId);
    if (row !== null && !(await leaveHome(db, row))) throw new VolumeInUse();
  }

  /** And with it the last that could write. @throws SandboxError `unavailable` while it is in use */
  async #endSandbox(sessionId: string): Promise<void> {
    const { pool } = this.#deps;
    await pool.whileStill(sessionId, async () => undefined);
    await pool.discard(sessionId);
  }

  async #sweep(): Promise<void> {
    if (this.#isSweeping || this.#isClosing) return;
    this.#isSweeping = true;
    try {
      const { db, pool, node } = this.#deps;
      await expireVolumes(db, EXPIRED_NOTICE);
      await dropUnfinishedCheckpoints(db, [...(await node.aliveNodes()), node.id()]);
      await removeOldVolumeRequests(db);
      // A turn that ended meanwhile owes its own, at its own time.
      for (const id of await this.#readUnkept())
        if (![this.#owed, this.#capturing, this.#hopeless].some((those) => those.has(id))) this.#owe(id, 0);
      for (const volumeId of await readVolumeTrash(db, pool.homeId, TRASH_BATCH)) {
        // The row goes only when the files are gone, so a crash repeats the work.
        await pool.deleteVolume(volumeId);
        await emptyVolumeTrash(db, volumeId);
      }
    } finally {
      this.#isSweeping = false;
    }
  }

  async #lookForUnnamed(): Promise<void> {
    if (this.#isLooking || this.#isClosing) return;
    this.#isLooking = true;
    try {
      // In this order: a volume that a session claimed a moment ago is named first.
      await adoptUnnamed(this.#deps);
      await removeUnnamed(this.#deps, this.#times.unnamedAgeMs);
    } finally {
      this.#isLooking = false;
    }
  }

  /** In the background; `close` waits for it. */
  #run(work: Promise<void>): void {
    const done = work.catch((error: unknown) => this.#deps.onTrouble(error, null)).finally(() => this.#working.delete(done));
    this.#working.add(done);
  }
}

function tooManyNotice({ message }: TooManyEntries): string {
  return `The files of this session are not kept beyond this machine: ${message}. Remove what is not needed.`;
}

function omittedNotice({ count, shown }: { count: number; shown: readonly string[] }): string {
  const more = count > shown.length ? ` and ${count - shown.length} more` : "";
  return `Not kept beyond this machine, because they are not kept by any checkpoint: ${shown.join(", ")}${more}.`;
}

function describe(error: unknown): string {
  if (error instanceof VolumeInUse || error instanceof SandboxError) return "the session's files are in use";
  if (error instanceof DatabaseUnavailable) return "the database does not answer the server that has the session's files";
  return "the server that has the session's files cannot store them now";
}
