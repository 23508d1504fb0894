import {
  SandboxError,
  type Equipment,
  type OpenEgress,
  type Sandbox,
  type SandboxDriver,
  type SandboxLimits,
  type Volume,
} from "./port.ts";
import { type BorrowedSandbox, BorrowedSandboxes } from "./borrowed-sandboxes.ts";
import { PooledSandbox } from "./pooled-sandbox.ts";
import { Slots } from "./slots.ts";
import { StillWork } from "./still-work.ts";
import { OutputMeter } from "./tool-server/output-meter.ts";
import { ToolClient, type SharedBounds } from "./tool-server/tool-client.ts";
import { defaultOwners, openVolumes, type Volumes } from "./volumes.ts";

export const DEFAULT_LIMITS: SandboxLimits = {
  memoryBytesMax: 2 * 1024 ** 3,
  processesMax: 512,
  diskBytesMax: 10 * 1024 ** 3,
  openFilesMax: 4096,
  cpuCoresMax: 2,
};

/** Bounds and times of a pool when the options say nothing. */
export const POOL_DEFAULTS = {
  warmCount: 4,
  warmFileToolsCount: 1,
  liveMax: 256,
  startingMax: 4,
  queueMax: 10_000,
  pauseAfterMs: 30_000,
  destroyAfterMs: 10 * 60_000,
} as const;

export interface PoolOptions {
  /** Host directory that holds the volumes. */
  dir: string;
  limits?: Partial<SandboxLimits>;
  /** Extra environment of every process in every sandbox; no secrets. */
  env?: Readonly<Record<string, string>>;
  /** Opens the way out of each sandbox, also of the warm ones, which no session has yet. Default `null`: there is none. */
  openEgress?: OpenEgress | null;
  /** Sandboxes kept ready for new sessions, each with a volume and a started shell. */
  warmCount?: number;
  /** How many of them have their tool server started too: it takes some 40 MB and 60 ms of processor time. */
  warmFileToolsCount?: number;
  /** Sandboxes that exist at the same time, warm and paused ones included. */
  liveMax?: number;
  /** Sandboxes that are being started at the same time. */
  startingMax?: number;
  /** Callers that wait for one of the two. */
  queueMax?: number;
  /** After `release`. */
  pauseAfterMs?: number;
  /** After the pause. */
  destroyAfterMs?: number;
  /** Told of what goes wrong outside any call: a warm sandbox that does not start, a failed clean-up. */
  onProblem?: (problem: Error) => void;
  /** A session's sandbox was paused: nothing changes its files until it is claimed again. */
  onPause?: (sessionId: string) => void;
}

/** What the session's sandbox is to be started with; `null`: nothing, a warm one will do. */
export type Equip = () => Promise<Equipment | null>;

export interface ClaimedSandbox {
  /** Its id is to be stored with the session and given to later claims. */
  volume: Volume;
  tools: ToolClient;
  sandbox: Sandbox;
  /** `reused`: the session's own, still living. */
  source: "warm" | "cold" | "reused";
}

export interface PoolStats {
  warm: number;
  active: number;
  idle: number;
  paused: number;
  starting: number;
  /** Callers that wait. */
  queued: number;
}

/**
 * The sandboxes of one server. A session claims its sandbox when a tool needs one and releases it when its turn is over;
 * between turns it may be paused and destroyed, and comes back with the same files.
 */
export interface SandboxPool {
  /**
   * Claims of one session share one sandbox. Waits while the pool is full. With `volumeId` null the session's volume is
   * made at its first claim, and found again by later ones. `equip` is asked when a sandbox must be started; one with
   * equipment is never a warm one.
   * @throws SandboxError `unavailable`, `limit` (queue full), `not_found` (no such volume)
   */
  claim(sessionId: string, volumeId: string | null, equip?: Equip): Promise<ClaimedSandbox>;
  /**
   * For work of the server that is for this session: it goes out as the session's own does, and nothing of any session has
   * been or will be in it. Waits while the pool is full, so never while holding a claim; what its server leaves behind, the
   * next one removes.
   * @throws SandboxError `unavailable`, `limit`
   */
  borrow(sessionId: string, equipment: Equipment | null): Promise<BorrowedSandbox>;
  /** The turn is over: the idle times begin. Nothing happens if it is not claimed. A running call puts the pause off. */
  release(sessionId: string): void;
  /** Destroys the session's sandbox now; its volume stays. */
  discard(sessionId: string): Promise<void>;
  /** Names the directory with the volumes, among all there are: the next server on it has the same. */
  readonly homeId: string;
  /** The session's volume, if it has one here. */
  volumeOf(sessionId: string): Promise<Volume | null>;
  /** Makes the session's volume ahead of its first claim, with the files that `fill` puts there; when it fails there is none. */
  makeVolume(sessionId: string, fill: (volume: Volume) => Promise<void>): Promise<Volume>;
  /**
   * Does `work` while nothing of the session runs: its sandbox, if it lives, is frozen meanwhile. A claim does not wait for
   * it, and aborts the signal: from then on files may change. @throws SandboxError `unavailable` while it is claimed
   */
  whileStill<T>(sessionId: string, work: (signal: AbortSignal) => Promise<T>): Promise<T>;
  /** Nothing of the session that could change its files runs, or will before it is claimed. @throws SandboxError */
  isQuiet(sessionId: string): Promise<boolean>;
  /** Destroys what runs on it and removes the files. Idempotent. */
  deleteVolume(volumeId: string): Promise<void>;
  /** What sessions have claimed in this directory, and what is left of such. */
  readonly stored: Pick<Volumes, "list" | "markUnnamed">;
  stats(): PoolStats;
  /** Whose sandbox this is, or for whom it is borrowed; `null`: nobody's, yet or any more. Known before anything of the session runs in it. */
  sessionOf(sandboxId: string): string | null;
  /** Destroys every sandbox and the volumes nobody has claimed. Claims that wait are refused. */
  close(): Promise<void>;
}

/** Removes what earlier servers have left, and begins to fill the pool. */
export async function createSandboxPool(driver: SandboxDriver, options: PoolOptions): Promise<SandboxPool> {
  const volumes = await openVolumes(options.dir, await defaultOwners());
  await volumes.sweep();
  const pool = new Pool(driver, volumes, options);
  pool.fill();
  return pool;
}

interface Entry {
  /** As it was claimed. */
  volumeId: string | null;
  ready: Promise<{ pooled: PooledSandbox; source: ClaimedSandbox["source"] }>;
  pooled: PooledSandbox | null;
  isReleased: boolean;
}

class Pool implements SandboxPool {
  readonly #driver: SandboxDriver;
  readonly #volumes: Volumes;
  readonly #options: Required<Omit<PoolOptions, "limits">> & { limits: SandboxLimits };
  readonly #live: Slots;
  readonly #bounds: SharedBounds;
  readonly #entries = new Map<string, Entry>();
  readonly #warm: PooledSandbox[] = [];
  readonly #borrowed: BorrowedSandboxes;
  /** To be aborted by a claim. */
  readonly #still = new StillWork();
  #filling: Promise<void> | null = null;
  #isClosed = false;

  constructor(driver: SandboxDriver, volumes: Volumes, options: PoolOptions) {
    this.#driver = driver;
    this.#volumes = volumes;
    this.#options = {
      env: {},
      openEgress: null,
      onProblem: ignoreProblem,
      onPause: () => undefined,
      ...POOL_DEFAULTS,
      ...options,
      limits: { ...DEFAULT_LIMITS, ...options.limits },
    };
    this.#live = new Slots(this.#options.liveMax, this.#options.queueMax);
    const starts = new Slots(this.#options.startingMax, this.#options.queueMax);
    this.#bounds = { meter: new OutputMeter(), starts };
    this.#borrowed = new BorrowedSandboxes({
      start: (equipment) => this.#startOnNewVolume(equipment),
      remove: (pooled) => this.#removeUnclaimed(pooled),
    });
  }

  async claim(sessionId: string, volumeId: string | null, equip: Equip = noEquipment): Promise<ClaimedSandbox> {
    for (;;) {
      this.#refuseWhenClosed();
      this.#still.abort(sessionId);
      const known = this.#entries.get(sessionId);
      const entry = known ?? this.#addEntry(sessionId, volumeId, equip);
      entry.isReleased = false;
      const { pooled, source } = await entry.ready;
      if (await pooled.use()) {
        return {
          volume: pooled.volume,
          tools: pooled.tools,
          sandbox: pooled.sandbox,
          source: known === undefined ? source : "reused",
        };
      }
      // Its processes must have ended before others run on the same files.
      await pooled.sandbox.gone;
      this.#forget(sessionId, entry);
    }
  }

  async borrow(sessionId: string, equipment: Equipment | null): Promise<BorrowedSandbox> {
    this.#refuseWhenClosed();
    return this.#borrowed.borrow(sessionId, equipment);
  }

  release(sessionId: string): void {
    const entry = this.#entries.get(sessionId);
    if (entry === undefined) return;
    entry.isReleased = true;
    entry.pooled?.letIdle();
    this.#makeRoom();
  }

  async discard(sessionId: string): Promise<void> {
    const entry = this.#entries.get(sessionId);
    if (entry === undefined) return;
    // One that could not be started has nothing to destroy; its claimer knows why.
    const ready = await entry.ready.catch(() => null);
    await ready?.pooled.destroy();
    this.#forget(sessionId, entry);
  }

  get homeId(): string {
    return this.#volumes.homeId;
  }

  get stored(): SandboxPool["stored"] {
    return this.#volumes;
  }

  volumeOf(sessionId: string): Promise<Volume | null> {
    return this.#volumes.ofSession(sessionId);
  }

  async makeVolume(sessionId: string, fill: (volume: Volume) => Promise<void>): Promise<Volume> {
    const volume = await this.#volumes.create();
    try {
      await fill(volume);
      await this.#volumes.claim(volume, sessionId);
      return volume;
    } catch (error) {
      await this.#volumes.remove(volume.id);
      throw error;
    }
  }

  async isQuiet(sessionId: string): Promise<boolean> {
    const entry = this.#entries.get(sessionId);
    if (entry === undefined || entry.pooled?.state === "paused") return true;
    return entry.isReleased && ((await entry.pooled?.sandbox.isQuiet()) ?? false);
  }

  async whileStill<T>(sessionId: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const entry = this.#entries.get(sessionId);
    const pooled = entry?.pooled ?? null;
    if (entry !== undefined && (!entry.isReleased || pooled === null || pooled.tools.callsRunning > 0))
      throw new SandboxError("unavailable", "the session's sandbox is in use");
    return this.#still.run(sessionId, pooled, work);
  }

  async deleteVolume(volumeId: string): Promise<void> {
    for (const [sessionId, entry] of [...this.#entries]) {
      if ((entry.pooled?.volume.id ?? entry.volumeId) === volumeId) await this.discard(sessionId);
    }
    await this.#volumes.remove(volumeId);
  }

  stats(): PoolStats {
    const states = [...this.#entries.values()].map((entry) => entry.pooled?.state ?? "starting");
    const count = (state: string): number => states.filter((candidate) => candidate === state).length;
    return {
      warm: this.#warm.length,
      active: count("active"),
      idle: count("idle"),
      paused: count("paused"),
      starting: this.#bounds.starts.taken,
      queued: this.#live.queued + this.#bounds.starts.queued,
    };
  }

  sessionOf(sandboxId: string): string | null {
    for (const [sessionId, { pooled }] of this.#entries) if (pooled?.sandbox.id === sandboxId) return sessionId;
    return this.#borrowed.sessionOf(sandboxId);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#filling;
    const endings = [...this.#entries.keys()].map((sessionId) => this.discard(sessionId));
    const warm = this.#warm.splice(0).map((pooled) => this.#removeUnclaimed(pooled));
    for (const ending of await Promise.allSettled([...endings, ...warm, ...this.#borrowed.endAll()])) {
      if (ending.status === "rejected") this.#options.onProblem(asError(ending.reason));
    }
  }

  /** Makes warm sandboxes one after the other, for as long as there is room and no caller waits for what that takes. */
  fill(): void {
    if (this.#filling !== null || !this.#wantsWarm()) return;
    this.#filling = this.#addWarm().then(
      () => {
        this.#filling = null;
        this.fill();
      },
      (error: unknown) => {
        // Tried again after the next claim.
        this.#filling = null;
        this.#options.onProblem(asError(error));
      },
    );
  }

  #wantsWarm(): boolean {
    const isBusy = this.#live.queued > 0 || this.#bounds.starts.queued > 0 || this.#bounds.starts.taken > 0;
    return !this.#isClosed && !isBusy && !this.#live.isFull && this.#warm.length < this.#options.warmCount;
  }

  async #addWarm(): Promise<void> {
    if (!this.#live.tryTake()) return;
    const volume = await this.#givingBack(this.#volumes.create());
    const pooled = await this.#start(volume);
    try {
      await pooled.tools.warm({ shell: true, fileTools: this.#warm.length < this.#options.warmFileToolsCount });
      this.#warm.push(pooled);
      // Who came while it was made found nothing that could give way.
      this.#makeRoom();
    } catch (error) {
      await this.#removeUnclaimed(pooled);
      throw error;
    }
  }

  #addEntry(sessionId: string, volumeId: string | null, equip: Equip): Entry {
    const ready = this.#provide(sessionId, volumeId, equip);
    const entry: Entry = { volumeId, ready, pooled: null, isReleased: false };
    this.#entries.set(sessionId, entry);
    ready.then(
      ({ pooled }) => {
        entry.pooled = pooled;
        pooled.onPause = () => this.#options.onPause(sessionId);
        // Released, and not claimed again, before it was there.
        if (entry.isReleased) {
          pooled.letIdle();
          this.#makeRoom();
        }
        void pooled.sandbox.gone.then(() => {
          this.#forget(sessionId, entry);
          this.fill();
        });
        this.fill();
      },
      () => this.#forget(sessionId, entry),
    );
    return entry;
  }

  #forget(sessionId: string, entry: Entry): void {
    if (this.#entries.get(sessionId) === entry) this.#entries.delete(sessionId);
  }

  async #provide(
    sessionId: string,
    volumeId: string | null,
    equip: Equip,
  ): Promise<{ pooled: PooledSandbox; source: "warm" | "cold" }> {
    const equipment = await equip();
    const own = volumeId === null ? await this.#volumes.ofSession(sessionId) : await this.#volumes.open(volumeId);
    const warm = own === null && equipment === null ? this.#warm.shift() : undefined;
    if (warm !== undefined) {
      await this.#volumes.claim(warm.volume, sessionId);
      return { pooled: warm, source: "warm" };
    }
    await this.#takeLiveSlot();
    const volume = own ?? (await this.#givingBack(this.#newVolume(sessionId)));
    return { pooled: await this.#start(volume, equipment), source: "cold" };
  }

  async #newVolume(sessionId: string): Promise<Volume> {
    const volume = await this.#volumes.create();
    await this.#volumes.claim(volume, sessionId);
    return volume;
  }

  async #startOnNewVolume(equipment: Equipment | null): Promise<PooledSandbox> {
    await this.#takeLiveSlot();
    const volume = await this.#givingBack(this.#volumes.create());
    const pooled = await this.#start(volume, equipment).catch(async (error: unknown) => {
      await this.#volumes.remove(volume.id);
      throw error;
    });
    void pooled.sandbox.gone.then(() => this.fill());
    return pooled;
  }

  /** The caller has taken a live slot; it is given back when the sandbox is gone. */
  async #start(volume: Volume, equipment: Equipment | null = null): Promise<PooledSandbox> {
    const { limits, env, openEgress, onProblem } = this.#options;
    let sandbox: Sandbox;
    try {
      sandbox = await this.#driver.create({ volume, ...(equipment === null ? {} : { equipment }), limits, env, openEgress });
    } catch (error) {
      this.#live.give();
      throw error;
    }
    void sandbox.gone.then(() => this.#live.give());
    return new PooledSandbox(volume, sandbox, new ToolClient(sandbox, this.#bounds), this.#options, onProblem);
  }

  async #takeLiveSlot(): Promise<void> {
    const slot = this.#live.take();
    this.#makeRoom();
    await slot;
    if (!this.#isClosed) return;
    this.#live.give();
    throw closedError();
  }

  /** The live slot that the caller has taken is free again when `work` fails. */
  async #givingBack<T>(work: Promise<T>): Promise<T> {
    return work.catch((error: unknown) => {
      this.#live.give();
      throw error;
    });
  }

  /** Destroys, for those who wait, what is used least: the longest idle first, then warm ones. */
  #makeRoom(): void {
    const idle = [...this.#entries.values()]
      .flatMap(({ pooled }) => (pooled !== null && (pooled.state === "idle" || pooled.state === "paused") ? [pooled] : []))
      .filter((pooled) => pooled.tools.callsRunning === 0)
      .sort((a, b) => a.idleSinceMs - b.idleSinceMs);
    for (let wanted = this.#live.queued; wanted > 0; wanted--) {
      const victim = idle.shift() ?? this.#warm.pop();
      if (victim === undefined) return;
      void this.#evict(victim);
    }
  }

  async #evict(victim: PooledSandbox): Promise<void> {
    const isClaimed = [...this.#entries.values()].some(({ pooled }) => pooled === victim);
    const ending = isClaimed ? victim.destroy() : this.#removeUnclaimed(victim);
    await ending.catch((error: unknown) => this.#options.onProblem(asError(error)));
  }

  async #removeUnclaimed(pooled: PooledSandbox): Promise<void> {
    await pooled.destroy();
    await this.#volumes.remove(pooled.volume.id);
  }

  #refuseWhenClosed(): void {
    if (this.#isClosed) throw closedError();
  }
}

function closedError(): SandboxError {
  return new SandboxError("unavailable", "the pool is closed");
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

const ignoreProblem = (): void => undefined;
const noEquipment = async (): Promise<null> => null;
