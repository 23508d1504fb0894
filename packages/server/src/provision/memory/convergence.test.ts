import { mkdirSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { dirname, join } from "node:path";
import { ApiError } from "@sandbox0/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createMemoryStage, type MemoryStage, type TestMount, type TestStore } from "./memory-stage.fixture.ts";

let stage: MemoryStage;
beforeAll(async () => {
  stage = await createMemoryStage();
});
afterAll(() => stage.close());

/** Files that can become directories for each other, and the other way round. */
const PATHS = ["/a", "/b", "/a/x", "/a/y", "/d/e/f", "/d"];
const STEPS = 40;

test.each([6, 7, 11, 13, 15, 17])(
  "whatever two sessions and a user do, all come to the same, and no text is lost (seed %i)",
  async (seed) => {
    const pick = createPick(seed);
    const store = await stage.createStore();
    const mounts = [await stage.createSession([store]), await stage.createSession([store])];
    for (const mount of mounts) await mount.begin();
    const trace: string[] = [];
    for (let step = 0; step < STEPS; step++) {
      const mount = pick(mounts);
      const text = `text ${seed}.${step}`;
      const act = pick(ACTS);
      const [path, other] = [pick(PATHS), pick(PATHS)];
      const isDone = await unlessInTheWay(() => act({ store, mount, path, other, text }));
      trace.push(`${step}: ${act.name} ${path} ${other} ${mount.sessionId}${isDone ? "" : " (not possible)"}`);
      if (pick([true, false, false, false, false, false])) {
        mount.restart();
        await mount.begin();
      }
      trace.push(...(await mount.call()));
      if (!isDone || act !== writeFile) continue;
      const known = [...(await store.texts()), ...mount.keptTexts(), ...Object.values(filesOf(mount))];
      expect(known, trace.join("\n")).toContain(text);
    }
    for (const mount of mounts) {
      await mount.begin();
      // What the store cannot have is in the way of what it has until the agent removes it.
      const stored = new Set(Object.keys(await store.contents()));
      for (const path of Object.keys(filesOf(mount))) if (!stored.has(path)) mount.delete(path);
      await mount.call();
    }
    for (const mount of mounts) {
      await mount.call();
      expect(filesOf(mount), trace.join("\n")).toEqual(await store.contents());
    }
  },
);

interface Scene {
  store: TestStore;
  mount: TestMount;
  path: string;
  other: string;
  text: string;
}
type Act = (scene: Scene) => Promise<void>;

const writeFile: Act = async ({ mount, path, text }) => mount.write(path, text);
const deleteFile: Act = async ({ mount, path }) => {
  if (path in filesOf(mount)) mount.delete(path);
};
const moveFile: Act = async ({ mount, path, other }) => {
  if (!(path in filesOf(mount)) || path === other) return;
  mkdirSync(dirname(join(mount.dir, other)), { recursive: true });
  renameSync(join(mount.dir, path), join(mount.dir, other));
};
const userWrites: Act = ({ store, path, text }) => store.write(path, `${text} by the user`);
const userDeletes: Act = ({ store, path }) => store.delete(path);
const userMoves: Act = ({ store, path, other }) => store.move(path, other);
const ACTS: readonly Act[] = [
  writeFile,
  writeFile,
  writeFile,
  deleteFile,
  moveFile,
  userWrites,
  userWrites,
  userDeletes,
  userMoves,
];

/** @returns false when it could not be done, and nothing has happened */
async function unlessInTheWay(work: () => Promise<void>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const isInTheWay = error instanceof ApiError || ["EISDIR", "ENOTDIR", "EEXIST", "ENOTEMPTY", "EINVAL"].includes(code ?? "");
    if (!isInTheWay && !message.startsWith("there is no memory")) throw error;
    return false;
  }
}

/** Contents by path. */
function filesOf({ dir }: TestMount): Record<string, string> {
  const files = readdirSync(dir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const entries = files
    .map(({ parentPath, name }) => join(parentPath, name))
    .map((path) => [path.slice(dir.length), path] as const);
  return Object.fromEntries(entries.map(([path, at]) => [path, readFileSync(at, "utf8")]));
}

/** The same choices for the same seed. */
function createPick(seed: number): <T>(from: readonly T[]) => T {
  let state = seed;
  return <T>(from: readonly T[]) => {
    // The generator of Park and Miller.
    state = (state * 48_271) % 2_147_483_647;
    return from[state % from.length] as T;
  };
}
