import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Captured } from "./capture-tree.ts";
import type { ManifestBlob } from "./manifest.ts";
import type { FileOwner } from "./tree-writer.ts";
import type { TreeThreads } from "./tree-threads.ts";

const run = promisify(execFile);
const NEVER = new AbortController().signal;

/** Blobs in memory, and captures and restores of trees that go there. */
export class Trees {
  readonly blobs = new Map<string, Uint8Array>();
  readonly threads: TreeThreads;
  readonly dir: string;
  stored = 0;
  private captures = 0;

  private constructor(threads: TreeThreads, dir: string) {
    this.threads = threads;
    this.dir = dir;
  }

  static async create(threads: TreeThreads): Promise<Trees> {
    return new Trees(threads, await mkdtemp(join(tmpdir(), "sandbox0-trees-")));
  }

  async capture(
    root: string,
    before: { captured: Captured; entriesPath: string } | null,
    signal = NEVER,
  ): Promise<{ captured: Captured; entriesPath: string }> {
    const entriesPath = join(this.dir, `entries-${++this.captures}`);
    const previous = before && { blobs: before.captured.blobs, entriesPath: before.entriesPath };
    const store = async (content: Uint8Array): Promise<string> => {
      const sha256 = createHash("sha256").update(content).digest("hex");
      this.blobs.set(sha256, content);
      this.stored++;
      return sha256;
    };
    const job = { root, names: ["home", "workspace"], previous, entriesPath };
    return { captured: await this.threads.capture(job, store, signal), entriesPath };
  }

  /** @returns the entries as they are there */
  async restore(
    from: { captured: Captured; entriesPath: string },
    root: string,
    owner: FileOwner = null,
  ): Promise<{ captured: Captured; entriesPath: string }> {
    const entriesPath = join(this.dir, `restored-${++this.captures}`);
    const manifestPath = join(this.dir, `manifest-${this.captures}`);
    const { blobs } = from.captured;
    await writeFile(manifestPath, `${JSON.stringify({ blobs })}\n${await readFile(from.entriesPath, "utf8")}`);
    const hashes = new Map(blobs.map(({ number, sha256 }: ManifestBlob) => [number, sha256]));
    const fetch = async (blob: number): Promise<Uint8Array> => this.blobs.get(hashes.get(blob) ?? "") as Uint8Array;
    await this.threads.restore({ root, owner, manifestPath, blobs, entriesPath }, fetch, NEVER);
    return { captured: from.captured, entriesPath };
  }
}

/** All that can be said of what is below a directory: names, types, modes, times, links and content. */
export async function describeTree(root: string): Promise<string> {
  const script = `cd "$1" && { find . -mindepth 1 -printf '%P %y %m %T@ %l %n\\n' | LC_ALL=C sort;
    find . -type f -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum; }`;
  const { stdout } = await run("bash", ["-c", script, "bash", root], { encoding: "latin1", maxBuffer: 1 << 28 });
  // As fine as times can be set.
  return stdout.replace(/\.(\d{9})\d/g, (_, ns: string) => `.${Math.round(Number(ns) / 1_000)}us`);
}

export async function bash(script: string, ...args: string[]): Promise<void> {
  await run("bash", ["-c", `set -e\n${script}`, "bash", ...args]);
}
