import { readdirSync, statfsSync } from "node:fs";
import { readdir, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { VOLUME_MOUNTS } from "../layout.ts";
import { HELPER_ENV } from "./host.ts";
import { descendants } from "./process-tree.ts";
import type { Spawner } from "./spawner.ts";

/** How often the file system's free space is looked at while sandboxes live. */
const LOOK_MS = 200;
/** Nobody's measurement is older than this while the file system changes. */
const MEASURE_AGE_MS_MAX = 30_000;
/** A measurement may take this share of the time: the pause after one is so many times its duration. */
const MEASURE_PAUSE_FACTOR = 4;
/** The pause ends when the free space has shrunk by this share of the budget: at the disk's speed, minutes are several budgets. */
const PAUSE_BUDGET_SHARE = 1 / 8;
/** One with millions of names takes seconds, and the others are measured meanwhile. */
const MEASURES_AT_ONCE = 4;
/** What a name costs at least, so that ten million empty files count, and as many links to one: they must be looked at, too. */
const ENTRY_BYTES = 4096;
/** No more are counted, so that a measurement takes seconds: with more, a session is over its budget, whatever that is. */
const NAMES_MAX = 5_000_000;
/** What a session over its budget may still write, so that it can clean up. */
const GRACE_BYTES = 16 * 1024 * 1024;
/** What is frozen dies later. */
const STOP_MS_MAX = 1_000;

export interface DiskSubject {
  volumePath: string;
  /** What counts besides the volume. */
  otherDirs: readonly string[];
  bytesMax: number;
  /** Processes on the host whose descendants may hold files that have no name any more. */
  pids(): readonly number[];
  /** Called when the budget is passed; resolves when nothing of what was stopped writes any more. */
  stop(): Promise<void>;
}

export interface WatchedDisk {
  stop(): void;
}

interface Watched {
  subject: DiskSubject;
  /** Infinite with more names than are counted. */
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
  readonly #measuring = new Set<Watched>();
  readonly #dir: string;
  readonly #onProblem: (problem: Error) => void;
  readonly #asRoot: boolean;
  readonly #spawner: Pick<Spawner, "spawn">;
  readonly #namesMax: number;
  #timer: NodeJS.Timeout | null = null;

  /**
   * @param dir a directory on the file system that holds what is watched
   * @param namesMax for tests
   */
  constructor(
    dir: string,
    spawner: Pick<Spawner, "spawn">,
    asRoot: boolean,
    onProblem: (problem: Error) => void,
    namesMax = NAMES_MAX,
  ) {
    this.#dir = dir;
    this.#spawner = spawner;
    this.#asRoot = asRoot;
    this.#onProblem = onProblem;
    this.#namesMax = namesMax;
  }

  watch(subject: DiskSubject): WatchedDisk {
    const isNew = isEmptyVolume(subject.volumePath) && subject.otherDirs.every(isEmptyDir);
    const watched: Watched = {
      subject,
      usedBytes: 0,
      // A volume with files is measured at the next look; a new one needs it only when space gets less.
      freeAtMeasure: isNew ? freeBytesOf(statfsSync(this.#dir)) : Number.POSITIVE_INFINITY,
      measuredAtMs: Date.now(),
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

  /** Starts the measurements that are due, those of the longest ago first. */
  async #look(): Promise<void> {
    const free = await this.#freeBytes();
    const due = [...this.#watched].filter((each) => !this.#measuring.has(each) && needsMeasure(each, free, Date.now()));
    due.sort((a, b) => a.measuredAtMs - b.measuredAtMs);
    for (const watched of due.slice(0, MEASURES_AT_ONCE - this.#measuring.size)) void this.#measureAndJudge(watched);
  }

  /** Never rejects. */
  async #measureAndJudge(watched: Watched): Promise<void> {
    this.#measuring.add(watched);
    try {
      await this.#measure(watched);
      if (this.#watched.has(watched)) await this.#judge(watched);
    } catch (error) {
      watched.measuredAtMs = Date.now();
      // A sandbox that has been destroyed meanwhile takes its files along.
      if (this.#watched.has(watched)) this.#onProblem(asError(error));
    } finally {
      this.#measuring.delete(watched);
    }
  }

  async #judge(watched: Watched): Promise<void> {
    const { subject } = watched;
    if (watched.usedBytes <= subject.bytesMax) watched.allowedBytes = subject.bytesMax;
    if (watched.usedBytes <= watched.allowedBytes) return;
    await Promise.race([subject.stop(), delay(STOP_MS_MAX, undefined, { ref: false })]);
    // They wrote on until they were gone: counted from before, the grace would be used up.
    await this.#measure(watched);
    // With names without end there is no more grace than the time until the next measurement.
    if (Number.isFinite(watched.usedBytes)) watched.allowedBytes = Math.max(subject.bytesMax, watched.usedBytes + GRACE_BYTES);
  }

  async #measure(watched: Watched): Promise<void> {
    const startedAtMs = Date.now();
    const freeBefore = await this.#freeBytes();
    const { volumePath, otherDirs, pids } = watched.subject;
    watched.usedBytes = (await this.#countNamed([volumePath, ...otherDirs])) + (await countUnnamed(pids()));
    watched.freeAtMeasure = freeBefore;
    watched.measuredAtMs = Date.now();
    watched.measureTookMs = watched.measuredAtMs - startedAtMs;
  }

  async #freeBytes(): Promise<number> {
    return freeBytesOf(await statfs(this.#dir));
  }

  /**
   * By `find` and `du` in processes of their own: they count 50,000 files in a tenth of a second and hold up nothing. A user's own
   * directories can be closed to it by their mode; in a user namespace it may look into them all the same.
   */
  async #countNamed(dirs: readonly string[]): Promise<number> {
    const shell = ["/bin/sh", "-c", COUNT_SCRIPT, "sh", String(this.#namesMax + 1), ...dirs];
    const [file = "", ...args] = this.#asRoot ? shell : ["unshare", "--user", "--map-root-user", ...shell];
    const { stdin, stdout, stderr, exited } = await this.#spawner.spawn({ file, args, env: HELPER_ENV, cwd: "/", files: [] });
    stdin.end();
    stderr.resume();
    let text = "";
    for await (const chunk of stdout) text += String(chunk);
    await exited;
    const names = /^(\d+) names$/m.exec(text)?.[1];
    if (Number(names) > this.#namesMax) return Number.POSITIVE_INFINITY;
    const bytes = /^(\d+)\ttotal$/m.exec(text)?.[1];
    if (names === undefined || bytes === undefined) throw new Error(`the disk use of ${dirs[0]} could not be counted`);
    return Number(bytes) + Number(names) * ENTRY_BYTES;
  }
}

/**
 * $1: how many names are counted at most; then directories. `find` looks at no file, and stops at that count; `du` counts the
 * content of a file once, whatever names it has. Files that vanish meanwhile are complaints, and the totals are still good.
 * A directory is a name as well: with fewer of those than directories, `find` did not run.
 */
const COUNT_SCRIPT = `max=$1; shift
names=$(find "$@" -printf . | head -c "$max" | wc -c)
there=0
for dir; do [ ! -e "$dir" ] || there=$((there + 1)); done
[ "$names" -ge "$there" ] || exit 1
echo "$names names"
[ "$names" -ge "$max" ] || du -s -c --block-size=1 -- "$@"`;

/** Inodes count as bytes: they run out as well. */
function freeBytesOf(fs: { bavail: number; bsize: number; ffree: number }): number {
  return fs.bavail * fs.bsize + fs.ffree * ENTRY_BYTES;
}

function isEmptyVolume(path: string): boolean {
  return VOLUME_MOUNTS.every(({ name }) => isEmptyDir(join(path, name)));
}

function isEmptyDir(path: string): boolean {
  return readdirSync(path).length === 0;
}

function needsMeasure(watched: Watched, free: number, nowMs: number): boolean {
  if (free === watched.freeAtMeasure) return false;
  const { usedBytes, allowedBytes, subject } = watched;
  const ageMs = nowMs - watched.measuredAtMs;
  const shrunkBytes = Math.max(0, watched.freeAtMeasure - free);
  const canBeOver = usedBytes + shrunkBytes > allowedBytes;
  if (canBeOver && shrunkBytes > subject.bytesMax * PAUSE_BUDGET_SHARE) return true;
  if (ageMs < watched.measureTookMs * MEASURE_PAUSE_FACTOR) return false;
  // What cannot be counted is not counted all the time, so that it can be removed.
  return (canBeOver && Number.isFinite(usedBytes)) || ageMs > MEASURE_AGE_MS_MAX;
}

/** Bytes of files that are open and have no name: `du` cannot see them. */
async function countUnnamed(roots: readonly number[]): Promise<number> {
  const seen = new Map<string, number>();
  for (const { pid } of roots.flatMap((root) => descendants(root))) {
    // Processes end and close files while we look: what is gone holds no space.
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
