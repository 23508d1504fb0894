import { execFileSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { MEMORIES_PER_STORE_MAX, MEMORY_CONTENT_BYTES_MAX } from "@sandbox0/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import { GuardedDir } from "./guarded-dir.ts";
import { createMemoryStage, type MemoryStage, type TestMount, type TestStore } from "./memory-stage.fixture.ts";
import { receiveAt } from "./tree-files.ts";

let stage: MemoryStage;
beforeAll(async () => {
  stage = await createMemoryStage();
});
afterAll(() => stage.close());

async function begun(contents: Record<string, string> = {}): Promise<{ store: TestStore; mount: TestMount }> {
  const store = await stage.createStore();
  for (const [path, content] of Object.entries(contents)) await store.write(path, content);
  const mount = await stage.createSession([store]);
  await mount.begin();
  return { store, mount };
}

test("what cannot be a memory stays where it is, and the agent is told once why", async () => {
  const { store, mount } = await begun();
  mount.write("/large", "x".repeat(MEMORY_CONTENT_BYTES_MAX + 1));
  mount.write("/fits", "x".repeat(MEMORY_CONTENT_BYTES_MAX));
  mount.write("/binary", Buffer.from([0xff, 0xfe]));
  mount.write("/e\u0301.md", "decomposed");
  mount.write("/bell\u0007", "control");
  mount.write("/.anthropic-memory-store", "reserved");
  mount.write(`${"/d".repeat(20)}/f`, "deep");
  const said = await mount.call();
  expect(Object.keys(await store.contents())).toEqual(["/fits"]);
  expect(said.sort()).toEqual([
    expect.stringMatching(/"\/mnt\/memory\/notes\/.anthropic-memory-store" is not saved as a memory, .* which is reserved\./),
    expect.stringMatching(/\/bell\\u0007" is not saved .* must not contain control characters/),
    expect.stringMatching(/\/binary" is not saved .*: a memory is UTF-8 text\./),
    expect.stringMatching(/\/d\/f" is not saved .*: a path can have 20 segments\./),
    expect.stringMatching(/\/e\u0301\.md" is not saved .* must be in Unicode Normalization Form C/),
    expect.stringMatching(/\/large" is not saved .*: a memory can have 102400 bytes\./),
  ]);
  expect(await mount.call()).toEqual([]);
  expect(mount.read("/binary")).not.toBeNull();
  mount.write("/binary", Buffer.from([0xff, 0xfe, 0xfd]));
  expect(await mount.call()).toHaveLength(1);
  mount.write("/binary", "text");
  expect(await mount.call()).toEqual([]);
  expect(await store.memory("/binary")).toMatchObject({ content: "text" });
});

test("a memory that grows too large keeps what it was, and is changed again when it fits", async () => {
  const { store, mount } = await begun({ "/log": "1" });
  mount.write("/log", "x".repeat(MEMORY_CONTENT_BYTES_MAX + 1));
  expect(await mount.call()).toHaveLength(1);
  expect(await store.contents()).toEqual({ "/log": "1" });
  await mount.end();
  await mount.begin();
  truncateSync(join(mount.dir, "log"), 3);
  await mount.call();
  expect(await store.contents()).toEqual({ "/log": "xxx" });
});

test("links, pipes and names that are no text: nothing is followed, opened or read", async () => {
  const { store, mount } = await begun({ "/a": "1", "/dir/b": "1" });
  const secret = join(stage.dir, "..", "secret");
  mkdirSync(secret);
  writeFileSync(join(secret, "b"), "secret");
  rmSync(join(mount.dir, "a"));
  symlinkSync(join(secret, "b"), join(mount.dir, "a"));
  rmSync(join(mount.dir, "dir"), { recursive: true });
  symlinkSync(secret, join(mount.dir, "dir"));
  symlinkSync(".", join(mount.dir, "loop"));
  execFileSync("/bin/sh", ["-c", 'mkfifo "$1"', "sh", join(mount.dir, "pipe")]);
  writeFileSync(Buffer.concat([Buffer.from(`${mount.dir}/`), Buffer.from([0xff, 0x0a])]), "x");
  const said = await mount.call();
  expect(said).toHaveLength(5);
  expect(said.filter((sentence) => sentence.includes("it is a symbolic link"))).toHaveLength(3);
  expect(said).toContainEqual(expect.stringMatching(/\/pipe" is not saved .* not a regular file/));
  expect(said.join("\n")).not.toMatch(/\n\n|secret/);
  expect(await store.contents()).toEqual({ "/a": "1", "/dir/b": "1" });
  // Changes of others do not go through them either.
  await store.write("/a", "2");
  await store.write("/dir/b", "2");
  await store.write("/dir/c", "1");
  await mount.call();
  expect(readdirSync(secret)).toEqual(["b"]);
  expect(readFileSync(join(secret, "b"), "utf8")).toBe("secret");
  for (const path of ["/a", "/dir", "/loop"]) rmSync(join(mount.dir, path));
  await mount.call();
  expect([mount.read("/a"), mount.read("/dir/b"), mount.read("/dir/c")]).toEqual(["2", "2", "1"]);
  rmSync(secret, { recursive: true });
});

test("a hard link is two memories, and a change of one by others leaves the other alone", async () => {
  const { store, mount } = await begun({ "/a": "1" });
  linkSync(join(mount.dir, "a"), join(mount.dir, "b"));
  await mount.call();
  await store.write("/a", "2");
  await mount.call();
  expect([mount.read("/a"), mount.read("/b")]).toEqual(["2", "1"]);
  expect(await store.contents()).toEqual({ "/a": "2", "/b": "1" });
});

test("a directory that is closed to its owner is not taken for deleted", async () => {
  const { store, mount } = await begun({ "/dir/a": "1" });
  chmodSync(join(mount.dir, "dir"), 0);
  const said = await mount.call();
  // Root reads it all the same.
  expect(said).toHaveLength(process.getuid?.() === 0 ? 0 : 1);
  expect(await store.contents()).toEqual({ "/dir/a": "1" });
  chmodSync(join(mount.dir, "dir"), 0o755);
});

test("a memory whose name is too long for a file is told of, and stays", async () => {
  const { store, mount } = await begun({ [`/${"n".repeat(300)}`]: "1", "/a": "1" });
  expect(await mount.call()).toEqual([expect.stringMatching(/cannot see as a file: no file can have such a long name/)]);
  expect(await mount.call()).toEqual([]);
  mount.delete("/a");
  await mount.call();
  expect(Object.keys(await store.contents())).toEqual([`/${"n".repeat(300)}`]);
});

test("a store takes 2,000 memories, those that it has can be changed, and room is used", async () => {
  const store = await stage.createStore();
  await stage.addMemories(store, MEMORIES_PER_STORE_MAX - 5);
  const mount = await stage.createSession([store]);
  await mount.begin();
  expect(readdirSync(join(mount.dir, "m"))).toHaveLength(MEMORIES_PER_STORE_MAX - 5);
  for (let i = 0; i < 25; i++) mount.write(`/a/${String(i).padStart(2, "0")}`, `${i}`);
  const said = await mount.call();
  expect(said).toHaveLength(9);
  expect(said[0]).toMatch(/"\/mnt\/memory\/notes\/a\/05" is not saved .* 2000 memories/);
  expect(said.at(-1)).toMatch(/^12 more under \/mnt\/memory\/notes are not saved either/);
  expect(await mount.call()).toEqual([]);
  mount.write("/m/1", "changed");
  mount.delete("/m/2");
  await mount.call();
  const contents = await store.contents();
  expect(Object.keys(contents)).toHaveLength(MEMORIES_PER_STORE_MAX);
  expect([contents["/m/1"], contents["/m/2"], contents["/a/05"], contents["/a/06"]]).toEqual([
    "changed",
    undefined,
    "5",
    undefined,
  ]);
});

test("in a tree without end nothing is saved, nothing is lost, and the agent is told", async () => {
  const { store, mount } = await begun({ "/a": "1", "/b": "1" });
  for (let i = 0; i <= stage.entriesMax; i++) mount.write(`/many/${i % 7}/${i}`, "");
  mount.write("/a", "2");
  await store.write("/b", "2");
  expect(await mount.call()).toEqual([
    expect.stringMatching(/has more than \d+ files and directories .* Nothing in it is saved/),
  ]);
  expect(await store.contents()).toEqual({ "/a": "1", "/b": "2" });
  expect(mount.read("/b")).toBe("1");
  mount.delete("/many");
  expect(await mount.call()).toEqual([]);
  expect(await store.contents()).toEqual({ "/a": "2", "/b": "2" });
});

test("a file of many gigabytes is not read", async () => {
  const { store, mount } = await begun();
  mount.write("/giant", "");
  truncateSync(join(mount.dir, "giant"), 2 ** 40);
  expect(await mount.call()).toHaveLength(1);
  expect(await store.contents()).toEqual({});
  mount.delete("/giant");
});

test("a directory that is removed while it is held open takes nothing, and says so", () => {
  const [path, source] = [join(stage.dir, "removed"), join(stage.dir, "source")];
  mkdirSync(path, { recursive: true });
  writeFileSync(source, "1");
  const root = GuardedDir.open(path);
  rmSync(path, { recursive: true });
  expect(receiveAt(root, "/a", source, null)).toBe(false);
  expect(receiveAt(root, "/dir/a", source, null)).toBe(false);
  expect(root.write("a", Buffer.from("1"), null)).toBe(false);
  expect([...root.names()]).toEqual([]);
  root.close();
  expect(readFileSync(source, "utf8")).toBe("1");
});

/** Makes `dir` a directory and a link to `secret` by turns, as fast as it can. */
const SWAP = `
const { renameSync, symlinkSync, unlinkSync } = require("node:fs");
const { workerData: { dir, secret, stop } } = require("node:worker_threads");
for (let i = 0; Atomics.load(stop, 0) === 0; i++) {
  try {
    renameSync(dir, dir + ".aside");
    symlinkSync(secret, dir);
    unlinkSync(dir);
    renameSync(dir + ".aside", dir);
  } catch (error) {
    // The host has made the directory again, or removed it.
    if (!["ENOENT", "EEXIST", "ENOTEMPTY", "EISDIR", "EPERM"].includes(error.code)) throw error;
    try { renameSync(dir + ".aside", dir); } catch {}
    Atomics.add(stop, 1, 1);
  }
  Atomics.add(stop, 2, 1);
}`;

test("a directory that becomes a link while it is looked at, written into and cleaned up leads nowhere", async () => {
  const { store, mount } = await begun({ "/dir/a": "0", "/dir/b": "0" });
  const secret = join(stage.dir, "..", "elsewhere");
  mkdirSync(secret);
  for (const name of ["a", "b", "other"]) writeFileSync(join(secret, name), "secret");
  const stop = new Int32Array(new SharedArrayBuffer(12));
  const worker = new Worker(SWAP, { eval: true, workerData: { dir: join(mount.dir, "dir"), secret, stop } });
  const ended = once(worker, "exit");
  try {
    for (let i = 1; i <= 25; i++) {
      await store.write("/dir/a", `${i}`);
      await store.write("/dir/b", `${i}`);
      await mount.call();
      await store.write(`/dir/new${i}`, "1");
      await mount.call();
    }
  } finally {
    Atomics.store(stop, 0, 1);
    await ended;
  }
  expect(Atomics.load(stop, 2)).toBeGreaterThan(100);
  expect(readdirSync(secret).sort()).toEqual(["a", "b", "other"]);
  for (const name of ["a", "b", "other"]) expect(readFileSync(join(secret, name), "utf8")).toBe("secret");
  expect(Object.values(await store.contents())).not.toContain("secret");
  rmSync(secret, { recursive: true });
});
