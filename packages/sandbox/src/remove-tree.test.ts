import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { afterEach, beforeEach, expect, test } from "vitest";
import { removeTree } from "./remove-tree.ts";

const ROUNDS = 10;
const TIME = { timeout: 120_000 };
/** From the directory that is swapped to the files: a long way, on which there is time to swap. */
const WAY = "d/".repeat(25);

/** As soon as something is gone from the tree, puts a link in the place of its directory. */
const SWAPPER = `
  const { existsSync, renameSync, symlinkSync } = require("node:fs");
  const { parentPort, workerData: { stop, tree, aside, outside } } = require("node:worker_threads");
  parentPort.postMessage("ready");
  for (let swaps = 0; Atomics.load(stop, 0) === 0;) {
    if (existsSync(tree + "/first")) continue;
    try {
      renameSync(tree + "/swapped", aside + swaps++);
      symlinkSync(outside, tree + "/swapped");
    } catch (error) {
      // Another round has begun.
      if (error.code !== "ENOENT" && error.code !== "EEXIST") throw error;
    }
  }
`;

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "sandbox0-remove-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function fill(dir: string, files: number): string[] {
  mkdirSync(dir, { recursive: true });
  const names = Array.from({ length: files }, (_, index) => `file${index}`);
  for (const name of names) writeFileSync(join(dir, name), "");
  return names.sort();
}

test.each([8, 200])("nothing outside goes when a link takes the place of a directory with %i files", TIME, async (files) => {
  const [outside, tree, aside] = [join(root, "outside"), join(root, "tree"), join(root, "aside")];
  const names = fill(join(outside, WAY), files);
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(SWAPPER, { eval: true, workerData: { stop, tree, aside, outside } });
  const ended = once(worker, "exit");
  await once(worker, "message");
  try {
    for (let round = 0; round < ROUNDS; round++) {
      const made = join(root, "made");
      fill(join(made, "swapped", WAY), files);
      writeFileSync(join(made, "first"), "");
      renameSync(made, tree);
      // Whoever writes in it meanwhile may hold it up; that is told.
      await removeTree(tree).catch(() => undefined);
      expect(readdirSync(join(outside, WAY)).sort()).toEqual(names);
      if (existsSync(tree)) renameSync(tree, join(root, `left${round}`));
    }
  } finally {
    Atomics.store(stop, 0, 1);
    await ended;
  }
});

test(
  "trees of any size go, whole, and one that is not there is no trouble",
  async () => {
    for (const files of [0, 1, 63, 64, 65, 200]) {
      const tree = join(root, `tree${files}`);
      fill(join(tree, "a/b"), files);
      writeFileSync(Buffer.concat([Buffer.from(`${tree}/a/`), Buffer.from([0xff, 0xfe])]), "");
      symlinkSync(root, join(tree, "a/link"));
      await removeTree(tree);
      expect(existsSync(tree)).toBe(false);
    }
    await removeTree(join(root, "nowhere"));
    expect(existsSync(root)).toBe(true);
  },
  TIME.timeout,
);
