import { createHash, randomBytes } from "node:crypto";
import { chmodSync, mkdirSync, readdirSync, renameSync, statSync, utimesSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { repeat } from "../../resources/repeat.ts";
import type { BuildOrder } from "./mirror-builder.ts";

/** Sessions fetch what is newer by themselves; an older mirror is made anew while they do. */
export const MIRROR_FRESH_MS = 60 * 60_000;
/** After a build that came to nothing. */
const RETRY_MS = 10 * 60_000;
/** A sandbox may still be copying what another one has replaced. */
const RETIRE_MS = 60 * 60_000;
/** Of all that there are, in use or not; no mirror is made above it. */
const MIRRORS_BYTES_MAX = 20 * 1024 ** 3;
const CLEAR_MS = 60_000;
const BUILDS_MAX = 2;
/** Repositories whose last build is remembered. */
const REMEMBERED_MAX = 10_000;
/** Everybody may walk through and nobody may look: the names below it are not to be guessed. */
const PASSAGE_MODE = 0o711;
const READABLE_MODE = 0o755;
/** Of a mirror that is not complete. */
const PART_PREFIX = "part-";

export interface MirrorsDeps {
  /** Host directory of this server's own, below the sandbox driver's. */
  dir: string;
  /** Fills a directory; `false`: there is nothing to mirror. */
  build(order: BuildOrder, signal: AbortSignal): Promise<boolean>;
  now(): number;
  /** A build failed, and the sessions do without; or a directory could not be removed. */
  onProblem(error: unknown): void;
  bounds?: { bytesMax?: number; clearMs?: number };
}

/** Who asks for a mirror: a session whose token the server of the repository has just been shown. */
export interface MirrorUser {
  sessionId: string;
  workspaceId: string;
  url: string;
}

/**
 * Copies of repositories between sessions of one workspace. A mirror is a directory that never changes, `<dir>/<key>/<name>`;
 * the key is of workspace and URL, so that no workspace ever sees what another one's token has fetched.
 */
export interface Mirrors {
  /**
   * The mirror of a repository, for a sandbox to copy from; `null`: there is none yet. Has one made, or made anew, in the
   * background: nobody waits for it.
   */
  use(user: MirrorUser): string | null;
  /** It is of no use: a clone failed with it. */
  drop(user: MirrorUser): void;
  /** Ends what is being built. */
  close(): Promise<void>;
}

interface Mirror {
  path: string;
  bytes: number;
  madeAtMs: number;
  usedAtMs: number;
}

/** Takes up what earlier servers have left, complete ones only. */
export function openMirrors(deps: MirrorsDeps): Mirrors {
  return new MirrorDirectory(deps);
}

class MirrorDirectory implements Mirrors {
  readonly #deps: MirrorsDeps;
  readonly #mirrors = new Map<string, Mirror>();
  /** Replaced, dropped or evicted. */
  #retired: Mirror[] = [];
  readonly #building = new Map<string, Promise<void>>();
  /** When the last build of a repository began. */
  readonly #triedAtMs = new Map<string, number>();
  readonly #ending = new AbortController();
  readonly #bytesMax: number;
  readonly #clearing: { stop(): Promise<void> };

  constructor(deps: MirrorsDeps) {
    this.#deps = deps;
    this.#bytesMax = deps.bounds?.bytesMax ?? MIRRORS_BYTES_MAX;
    makeDir(deps.dir, PASSAGE_MODE);
    for (const key of readdirSync(deps.dir)) this.#takeUp(key);
    this.#clearing = repeat(() => this.#clear(), deps.bounds?.clearMs ?? CLEAR_MS, deps.onProblem);
  }

  use(user: MirrorUser): string | null {
    const key = keyOf(user);
    const nowMs = this.#deps.now();
    const mirror = this.#mirrors.get(key) ?? null;
    if (mirror !== null) {
      mirror.usedAtMs = nowMs;
      utimesSync(mirror.path, nowMs / 1_000, mirror.madeAtMs / 1_000);
    }
    if (mirror === null || nowMs - mirror.madeAtMs > MIRROR_FRESH_MS) this.#buildLater(key, user, mirror);
    return mirror?.path ?? null;
  }

  drop(user: MirrorUser): void {
    const key = keyOf(user);
    const mirror = this.#mirrors.get(key);
    if (mirror === undefined) return;
    this.#mirrors.delete(key);
    this.#triedAtMs.delete(key);
    this.#retired.push(mirror);
  }

  async close(): Promise<void> {
    this.#ending.abort();
    await this.#clearing.stop();
    await Promise.all(this.#building.values());
  }

  #buildLater(key: string, user: MirrorUser, before: Mirror | null): void {
    const nowMs = this.#deps.now();
    const triedAtMs = this.#triedAtMs.get(key) ?? Number.NEGATIVE_INFINITY;
    const isFull = this.#building.has(key) || this.#building.size >= BUILDS_MAX || this.#bytes() > this.#bytesMax;
    if (this.#ending.signal.aborted || isFull || nowMs - triedAtMs < RETRY_MS) return;
    this.#triedAtMs.delete(key);
    this.#triedAtMs.set(key, nowMs);
    const [oldest] = this.#triedAtMs.keys();
    if (this.#triedAtMs.size > REMEMBERED_MAX && oldest !== undefined) this.#triedAtMs.delete(oldest);
    const work = this.#build(key, user, before)
      .then(() => this.#clear())
      .catch((error: unknown) => {
        if (!this.#ending.signal.aborted) this.#deps.onProblem(error);
      });
    this.#building.set(key, work);
    void work.finally(() => this.#building.delete(key));
  }

  async #build(key: string, { sessionId, url }: MirrorUser, before: Mirror | null): Promise<void> {
    const home = join(this.#deps.dir, key);
    makeDir(home, PASSAGE_MODE);
    const name = randomBytes(16).toString("hex");
    const part = join(home, `${PART_PREFIX}${name}`);
    makeDir(part, READABLE_MODE);
    try {
      const order = { sessionId, url, seed: before?.path ?? null, into: part };
      if (!(await this.#deps.build(order, this.#ending.signal))) return;
      const path = join(home, name);
      renameSync(part, path);
      const replaced = this.#mirrors.get(key);
      if (replaced !== undefined) this.#retired.push(replaced);
      const nowMs = this.#deps.now();
      utimesSync(path, nowMs / 1_000, nowMs / 1_000);
      this.#mirrors.set(key, { path, bytes: bytesIn(path), madeAtMs: nowMs, usedAtMs: nowMs });
    } finally {
      await rm(part, { recursive: true, force: true });
    }
  }

  #bytes(): number {
    return bytesOf(this.#mirrors.values()) + bytesOf(this.#retired);
  }

  /** Takes the least used away until the rest has room, and removes what nobody can be copying from any more. */
  async #clear(): Promise<void> {
    const byUse = [...this.#mirrors].sort(([, a], [, b]) => a.usedAtMs - b.usedAtMs);
    // What is retired takes room as well, and gets less by itself.
    let bytes = bytesOf(this.#mirrors.values());
    for (const [key, mirror] of byUse) {
      if (bytes <= this.#bytesMax) break;
      bytes -= mirror.bytes;
      this.#mirrors.delete(key);
      this.#retired.push(mirror);
    }
    const nowMs = this.#deps.now();
    for (const mirror of this.#retired.filter(({ usedAtMs }) => nowMs - usedAtMs > RETIRE_MS)) {
      await rm(mirror.path, { recursive: true, force: true });
      this.#retired = this.#retired.filter((each) => each !== mirror);
    }
  }

  /** The newest counts; no sandbox of an earlier server is alive. */
  #takeUp(key: string): void {
    const home = join(this.#deps.dir, key);
    const found = readdirSync(home).map((name) => ({ name, path: join(home, name), stat: statSync(join(home, name)) }));
    const complete = found.filter(({ name }) => !name.startsWith(PART_PREFIX)).sort((a, b) => b.stat.mtimeMs - a.stat.mtimeMs);
    const [newest] = complete;
    if (newest !== undefined) {
      const { path, stat } = newest;
      this.#mirrors.set(key, { path, bytes: bytesIn(path), madeAtMs: stat.mtimeMs, usedAtMs: stat.atimeMs });
    }
    for (const { path } of found)
      if (path !== newest?.path) rm(path, { recursive: true, force: true }).catch(this.#deps.onProblem);
  }
}

function keyOf({ workspaceId, url }: MirrorUser): string {
  return createHash("sha256")
    .update(JSON.stringify([workspaceId, url]))
    .digest("hex")
    .slice(0, 32);
}

/** Whatever the umask. */
function makeDir(path: string, mode: number): void {
  mkdirSync(path, { recursive: true, mode });
  chmodSync(path, mode);
}

function bytesOf(mirrors: Iterable<Mirror>): number {
  return [...mirrors].reduce((sum, { bytes }) => sum + bytes, 0);
}

function bytesIn(path: string): number {
  return readdirSync(path).reduce((sum, name) => sum + statSync(join(path, name)).size, 0);
}
