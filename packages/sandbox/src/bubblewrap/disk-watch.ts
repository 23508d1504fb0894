import { execFile } from "node:child_process";
import { readdir, stat, statfs } from "node:fs/promises";
import { promisify } from "node:util";
import { HELPER_ENV } from "./host.ts";
import { descendants } from "./process-tree.ts";

const run = promisify(execFile);

/** How often the file system's free space is looked at while sandboxes live. */
const LOOK_MS = 200;
/** Nobody's measurement is older than this while the file system changes. */
const MEASURE_AGE_MS_MAX = 30_000;
const MEASURE_TIMEOUT_MS = 60_000;
/** A measurement may take this share of the time: the pause after one is so many times its duration. */
const MEASURE_PAUSE_FACTOR = 4;
/** What a file costs at least, so that ten million empty ones count. */
const ENTRY_BYTES = 4096;
/** What a session over its budget may still write, so that it can clean up. */
const GRACE_BYTES = 16 * 1024 * 1024;

export interface DiskSubject {
  dirs: readonly string[];
  bytesMax: number;
  /** Processes on the host whose descendants may hold files that have no name any more. */
  pids(): readonly number[];
  /** Called when the budget is passed. */
  stop(): void;
}

export interface WatchedDisk {
  stop(): void;
}

interface Watched {
  subject: DiskSubject;
  usedBytes: number;
  /** Free bytes of the file system when it was measured. */
  freeAtMeasure: number;
  measuredAtMs: number;
  measureTookMs: number;
  /** Highest use that is let go on: the budget, or what was there when the session was last stopped. */
  allowedBytes: number;
}

/**
 * Enforces disk budgets by watching. Counting files costs time, so it happens only when it could matter: a volume cannot
 * have grown by more than the file system's free space has shrunk (but for what others have freed, hence a maximum age).
 * Quotas would be exact, and need a file system and a privilege that most machines do not have.
 */
export class DiskWatch {
  readonly #watched = new Set<Watched>();
  readonly #dir: string;
  readonly #onProblem: (problem: Error) => void;
  readonly #asRoot: boolean;
  #timer: NodeJS.Timeout | null = null;

  /** @param dir a directory on the file system that holds what is watched */
  constructor(dir: string, asRoot: boolean, onProblem: (problem: Error) => void) {
    this.#dir = dir;
    this.#asRoot = asRoot;
    this.#onProblem = onProblem;
  }

  watch(subject: DiskSubject): WatchedDisk {
    const watched: Watched = {
      subject,
      usedBytes: 0,
      freeAtMeasure: 0,
      measuredAtMs: 0,
      measureTookMs: 0,
      allowedBytes: subject.bytesMax,
    };
    this.#watched.add(watched);
    this.#schedule();
    return { stop: () => this.#watched.delete(watched) };
  }

  #schedule(): void {
    if (this.#timer !== null || this.#watched.size === 0) return;
    this.#timer = setTimeout(() => {
      this.#look()
        .catch((error: unknown) => this.#onProblem(asError(error)))
        .finally(() => {
          this.#timer = null;
          this.#schedule();
        });
    }, LOOK_MS);
    this.#timer.unref();
  }

  async #look(): Promise<void> {
    const free = await this.#freeBytes();
    for (const watched of [...this.#watched]) {
      if (!this.#watched.has(watched) || !needsMeasure(watched, free, Date.now())) continue;
      await this.#measure(watched);
      if (this.#watched.has(watched)) judge(watched);
    }
  }

  async #measure(watched: Watched): Promise<void> {
    const startedAtMs = Date.now();
    const freeBefore = await this.#freeBytes();
    const named = await countNamed(watched.subject.dirs, this.#asRoot);
    watched.usedBytes = named + (await countUnnamed(watched.subject.pids()));
    watched.freeAtMeasure = freeBefore;
    watched.measuredAtMs = Date.now();
    watched.measureTookMs = watched.measuredAtMs - startedAtMs;
  }

  /** Inodes count as bytes: they run out as well. */
  async #freeBytes(): Promise<number> {
    const fs = await statfs(this.#dir);
    return fs.bavail * fs.bsize + fs.ffree * ENTRY_BYTES;
  }
}

function needsMeasure(watched: Watched, free: number, nowMs: number): boolean {
  const ageMs = nowMs - watched.measuredAtMs;
  if (free === watched.freeAtMeasure || ageMs < watched.measureTookMs * MEASURE_PAUSE_FACTOR) return false;
  const shrunkBytes = Math.max(0, watched.freeAtMeasure - free);
  return watched.usedBytes + shrunkBytes > watched.allowedBytes || ageMs > MEASURE_AGE_MS_MAX;
}

function judge(watched: Watched): void {
  const { subject, usedBytes } = watched;
  if (usedBytes > watched.allowedBytes) {
    watched.allowedBytes = usedBytes + GRACE_BYTES;
    subject.stop();
  } else if (usedBytes <= subject.bytesMax) {
    watched.allowedBytes = subject.bytesMax;
  }
}

/**
 * `du` in a process of its own, not Node: it counts 50,000 files in a tenth of a second and holds up nothing. A user's
 * own directories can be closed to it by their mode; in a user namespace it may look into them all the same.
 */
async function countNamed(dirs: readonly string[], asRoot: boolean): Promise<number> {
  const du = async (...options: string[]): Promise<number> => {
    const command = ["du", "-s", "-c", ...options, "--", ...dirs];
    const [file = "du", ...args] = asRoot ? command : ["unshare", "--user", "--map-root-user", ...command];
    const { stdout } = await run(file, args, { env: HELPER_ENV, timeout: MEASURE_TIMEOUT_MS }).catch(keepPartial);
    return Number(/^(\d+)\ttotal$/m.exec(stdout)?.[1] ?? 0);
  };
  const [bytes, entries] = await Promise.all([du("--block-size=1"), du("--inodes")]);
  return bytes + entries * ENTRY_BYTES;
}

/** `du` ends with 1 when files vanish while it counts; its total is still good. */
function keepPartial(error: Error & { code?: unknown; stdout?: string }): { stdout: string } {
  if (error.code === 1 && error.stdout?.includes("\ttotal")) return { stdout: error.stdout };
  throw error;
}

/** Bytes of files that are open and have no name: `du` cannot see them. */
async function countUnnamed(roots: readonly number[]): Promise<number> {
  const seen = new Map<string, number>();
  for (const { pid } of roots.flatMap((root) => descendants(root))) {
    const names = await readdir(`/proc/${pid}/fd`).catch(() => []);
    for (const name of names) {
      const file = await stat(`/proc/${pid}/fd/${name}`).catch(() => null);
      if (file?.isFile() && file.nlink === 0) seen.set(`${file.dev}:${file.ino}`, file.blocks * 512);
    }
  }
  return [...seen.values()].reduce((sum, bytes) => sum + bytes, 0);
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
