import { execFile } from "node:child_process";
import { link, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { VOLUME_MOUNTS } from "../layout.ts";
import { DiskWatch, type WatchedDisk } from "./disk-watch.ts";
import { Spawner, type SpawnRequest } from "./spawner.ts";

const run = promisify(execFile);
const POLL = { timeout: 60_000 };
const MIB = 1024 ** 2;
const isRoot = process.getuid?.() === 0;

let dir: string;
let spawner: Spawner;
let problems: Error[];
let watched: WatchedDisk[];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "sandbox0-disk-"));
  spawner = new Spawner();
  problems = [];
  watched = [];
});

afterEach(async () => {
  vi.useRealTimers();
  for (const each of watched) each.stop();
  spawner.stop();
  await rm(dir, { recursive: true, force: true });
  expect(problems).toEqual([]);
});

async function makeVolume(name: string): Promise<string> {
  for (const mount of VOLUME_MOUNTS) await mkdir(join(dir, name, mount.name), { recursive: true });
  return join(dir, name);
}

/** `count` names of one file without content. */
async function linkFiles(volume: string, count: number): Promise<void> {
  const file = join(volume, "workspace/file");
  await writeFile(file, "");
  for (let i = 1; i < count; i++) await link(file, `${file}-${i}`);
}

function createWatch(namesMax?: number, spawn: Spawner["spawn"] = (request) => spawner.spawn(request)): DiskWatch {
  return new DiskWatch(tmpdir(), { spawn }, isRoot, (problem) => problems.push(problem), namesMax);
}

/** @returns how often it was stopped */
function watch(disk: DiskWatch, volumePath: string, bytesMax: number): { stops: number } {
  const seen = { stops: 0 };
  const stop = async (): Promise<void> => void seen.stops++;
  watched.push(disk.watch({ volumePath, otherDirs: [], bytesMax, pids: () => [], stop }));
  return seen;
}

const countsOf = (volume: string, { args }: SpawnRequest): boolean => args.includes(volume);

test("each further name of a file costs what a file does, and its content costs nothing more", async () => {
  const linked = await makeVolume("linked");
  await linkFiles(linked, 2_000);
  const large = await makeVolume("large");
  await linkFiles(large, 100);
  await writeFile(join(large, "workspace/file"), Buffer.alloc(MIB, "x"));
  let counted = 0;
  const disk = createWatch(undefined, async (request) => {
    const spawned = await spawner.spawn(request);
    if (countsOf(large, request)) void spawned.exited.then(() => counted++);
    return spawned;
  });
  const [over, within] = [watch(disk, linked, 4 * MIB), watch(disk, large, 4 * MIB)];
  await expect.poll(() => over.stops > 0 && counted > 0, POLL).toBe(true);
  expect(within.stops).toBe(0);
});

test("one that takes long to count leaves no other one unmeasured", async () => {
  const [slow, full] = [await makeVolume("slow"), await makeVolume("full")];
  await linkFiles(slow, 1);
  await writeFile(join(full, "workspace/file"), Buffer.alloc(2 * MIB, "x"));
  const done = Promise.withResolvers<void>();
  const disk = createWatch(undefined, async (request) => {
    if (countsOf(slow, request)) await done.promise;
    return spawner.spawn(request);
  });
  watch(disk, slow, MIB);
  const over = watch(disk, full, MIB);
  await expect.poll(() => over.stops, POLL).toBe(1);
  done.resolve();
});

test("one with more names than are counted is stopped again when it writes, until it has fewer", async () => {
  const volume = await makeVolume("volume");
  await linkFiles(volume, 300);
  const over = watch(createWatch(100), volume, 64 * MIB);
  for (const stops of [1, 2]) {
    await expect.poll(() => over.stops, POLL).toBeGreaterThanOrEqual(stops);
    await writeFile(join(volume, `workspace/written-${stops}`), Buffer.alloc(16 * MIB, "x"));
  }
  await run("/bin/sh", ["-c", 'rm "$1"/file-*', "sh", join(volume, "workspace")]);
  let begun = 0;
  const within = watch(
    createWatch(100, (request) => {
      begun++;
      return spawner.spawn(request);
    }),
    volume,
    64 * MIB,
  );
  await expect.poll(() => begun, POLL).toBeGreaterThan(0);
  // So much is gone that it is counted again, which begins when the first count has been judged.
  await writeFile(join(dir, "elsewhere"), Buffer.alloc(64 * MIB, "x"));
  await expect.poll(() => begun, POLL).toBeGreaterThan(1);
  expect(within.stops).toBe(0);
});

for (const end of ["exit 127", "kill -9 $$"]) {
  test(`names that could not be counted are a problem and not none: ${end}`, async () => {
    const volume = await makeVolume("volume");
    await linkFiles(volume, 1);
    await mkdir(join(dir, "bin"));
    await writeFile(join(dir, "bin/find"), `#!/bin/sh\n${end}\n`, { mode: 0o755 });
    const disk = createWatch(undefined, (request) =>
      spawner.spawn({ ...request, env: { ...request.env, PATH: `${join(dir, "bin")}:${request.env["PATH"]}` } }),
    );
    watch(disk, volume, MIB);
    await expect.poll(() => problems[0]?.message, POLL).toContain("could not be counted");
    watched.pop()?.stop();
    problems = [];
  });
}

test("a directory that is gone counts as nothing", async () => {
  const [volume, gone] = [await makeVolume("volume"), join(dir, "gone")];
  await writeFile(join(volume, "workspace/file"), Buffer.alloc(2 * MIB, "x"));
  await mkdir(gone);
  let stops = 0;
  const stop = async (): Promise<void> => void stops++;
  watched.push(createWatch().watch({ volumePath: volume, otherDirs: [gone], bytesMax: MIB, pids: () => [], stop }));
  await rm(gone, { recursive: true });
  await expect.poll(() => stops, POLL).toBeGreaterThan(0);
});

test("the pause after a long measurement ends when much is written", async () => {
  vi.useFakeTimers({ toFake: ["Date"] });
  const volume = await makeVolume("volume");
  await linkFiles(volume, 1);
  const measured = Promise.withResolvers<void>();
  const disk = createWatch(undefined, async (request) => {
    vi.setSystemTime(Date.now() + 3_600_000);
    const spawned = await spawner.spawn(request);
    void spawned.exited.then(() => measured.resolve());
    return spawned;
  });
  const over = watch(disk, volume, 16 * MIB);
  await measured.promise;
  expect(over.stops).toBe(0);
  await writeFile(join(volume, "workspace/much"), Buffer.alloc(64 * MIB, "x"));
  await expect.poll(() => over.stops, { ...POLL, interval: 50 }).toBeGreaterThan(0);
});
