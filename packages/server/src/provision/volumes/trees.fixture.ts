import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "vitest";
import type { CaptureBounds, Captured } from "./capture-tree.ts";
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
    bounds: CaptureBounds = {},
  ): Promise<{ captured: Captured; entriesPath: string }> {
    const entriesPath = join(this.dir, `entries-${++this.captures}`);
    const previous = before && { blobs: before.captured.blobs, entriesPath: before.entriesPath };
    const store = async (content: Uint8Array, sha256: string): Promise<void> => {
      expect(createHash("sha256").update(content).digest("hex")).toBe(sha256);
      // A copy: the memory goes back.
      this.blobs.set(sha256, Uint8Array.from(content));
      this.stored++;
    };
    const job = { root, names: ["home", "workspace"], previous, entriesPath, ...bounds };
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
    const fetch = async (blob: number) => ({ content: Uint8Array.from(this.blobs.get(hashes.get(blob) ?? "") ?? []) });
    await this.threads.restore({ root, owner, manifestPath, blobs, entriesPath }, fetch, NEVER);
    return { captured: from.captured, entriesPath };
  }
}

/** All that can be said of what is below a directory: names, types, modes, links and content; and the times, in microseconds. */
async function describeTree(root: string): Promise<{ text: string; timesUs: number[] }> {
  const script = `cd "$1" && { find . -mindepth 1 -printf '%P %y %m %l %n at %T@\\n' | LC_ALL=C sort;
    find . -type f -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum; }`;
  const { stdout } = await run("bash", ["--norc", "-c", script, "bash", root], { encoding: "latin1", maxBuffer: 1 << 28 });
  const timesUs: number[] = [];
  const text = stdout.replace(/ at (\d+)\.(\d{9})\d/g, (_, seconds: string, ns: string) => {
    timesUs.push(Number(seconds) * 1e6 + Number(ns) / 1e3);
    return "";
  });
  return { text, timesUs };
}

/** Times may be a microsecond off. */
export async function expectSameTree(found: string, wanted: string): Promise<void> {
  const [a, b] = [await describeTree(found), await describeTree(wanted)];
  expect(a.text).toBe(b.text);
  for (const [index, time] of a.timesUs.entries()) expect(Math.abs(time - (b.timesUs[index] ?? 0))).toBeLessThanOrEqual(1);
}

export async function bash(script: string, ...args: string[]): Promise<void> {
  await run("bash", ["--norc", "-c", `set -e\n${script}`, "bash", ...args]);
}
