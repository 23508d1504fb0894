import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { lstat, mkdtemp, readdir, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Volume } from "./port.ts";
import { defaultOwners, openVolumes, type OwnerRange, type Volumes } from "./volumes.ts";

const run = promisify(execFile);
const isRoot = process.getuid?.() === 0;

let dir: string;
let owners: OwnerRange | null;
let volumes: Volumes;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "sandbox0-volumes-"));
  owners = await defaultOwners();
  volumes = await openVolumes(dir, owners);
});

afterEach(() => rm(dir, { recursive: true, force: true }));

/** Leaves a mark as a server that is gone would have left it. */
async function pretendDead(volume: Volume): Promise<void> {
  const [mark = ""] = (await readdir(join(dir, "unclaimed"))).filter((name) => name.endsWith(volume.id));
  await rm(join(dir, "unclaimed", mark));
  await writeFile(join(dir, "unclaimed", `999999999.1.${volume.id}`), "");
}

describe("a volume", () => {
  test("is its session's from the first claim on, also for the next server", async () => {
    const volume = await volumes.create();
    expect(await volumes.ofSession("sesn_1")).toBe(null);
    await volumes.claim(volume, "sesn_1");
    expect(await volumes.ofSession("sesn_1")).toEqual(volume);
    expect(await (await openVolumes(dir, owners)).ofSession("sesn_1")).toEqual(volume);
    expect(await volumes.open(volume.id)).toEqual(volume);
  });

  test("of an earlier version gets the directories that it lacks", async () => {
    const volume = await volumes.create();
    await rm(join(volume.path, "skills"), { recursive: true });
    await volumes.open(volume.id);
    expect((await stat(join(volume.path, "skills"))).mode & 0o777).toBe(0o755);
  });

  test("is claimed once, and one for a session", async () => {
    const [first, second] = [await volumes.create(), await volumes.create()];
    await volumes.claim(first, "sesn_1");
    await expect(volumes.claim(first, "sesn_2")).rejects.toThrow(/EEXIST/);
    await expect(volumes.claim(second, "sesn_1")).rejects.toThrow(/EEXIST/);
  });

  test("that a crash has left half removed takes nothing from the one that its session has since", async () => {
    const [left, next] = [await volumes.create(), await volumes.create()];
    await volumes.claim(left, "sesn_1");
    await rm(join(dir, "sessions/sesn_1"));
    await volumes.claim(next, "sesn_1");
    await volumes.remove(left.id);
    expect(await volumes.ofSession("sesn_1")).toEqual(next);
  });

  test("is listed with its session, unless it was made ahead; and remembered as one that nothing names", async () => {
    const [claimed, left] = [await volumes.create(), await volumes.create()];
    await volumes.create();
    await volumes.claim(claimed, "sesn_1");
    await volumes.claim(left, "sesn_2");
    await rm(join(left.path, "session"));
    const found = (await volumes.list()).toSorted((a, b) => String(a.sessionId).localeCompare(String(b.sessionId)));
    expect(found).toEqual([
      { id: left.id, sessionId: null },
      { id: claimed.id, sessionId: "sesn_1" },
    ]);
    // From the second time on it is known since when.
    expect(await volumes.markUnnamed([left.id], -1)).toEqual([]);
    expect(await volumes.markUnnamed([left.id], 3_600_000)).toEqual([]);
    expect(await volumes.markUnnamed([left.id], -1)).toEqual([left.id]);
    expect(await volumes.markUnnamed([], -1)).toEqual([]);
    expect(await volumes.markUnnamed([left.id], -1)).toEqual([]);
  });

  test("leaves nothing when it is removed, twice if need be", async () => {
    const volume = await volumes.create();
    await volumes.claim(volume, "sesn_1");
    await volumes.remove(volume.id);
    await volumes.remove(volume.id);
    await expect(volumes.open(volume.id)).rejects.toMatchObject({ code: "not_found" });
    expect(await volumes.ofSession("sesn_1")).toBe(null);
    for (const name of ["volumes", "owners", "sessions", "unclaimed"]) expect(await readdir(join(dir, name))).toEqual([]);
  });

  test("can be removed whatever a session has left in it, and links are not followed", async () => {
    const volume = await volumes.create();
    const outside = join(dir, "outside");
    await writeFile(outside, "kept");
    await symlink(outside, join(volume.path, "workspace/link"));
    await symlink(dir, join(volume.path, "workspace/dir"));
    const mess = `cd "$1" && mkdir -p "$(printf 'd/%.0s' $(seq 1000))" && mkdir closed && touch closed/file && mkfifo pipe && touch -- $'new\\nline' -rf && chmod 000 closed`;
    await run("bash", ["--norc", "-c", mess, "bash", join(volume.path, "workspace")]);
    await volumes.remove(volume.id);
    expect(existsSync(volume.path)).toBe(false);
    expect((await lstat(outside)).isFile()).toBe(true);
  });

  test("has a name that cannot lead out of its directory", async () => {
    for (const name of ["../x", "a/b", "", ".", "..", "a\0", "x".repeat(200)]) {
      await expect(volumes.open(name)).rejects.toMatchObject({ code: "path_refused" });
      await expect(volumes.remove(name)).rejects.toMatchObject({ code: "path_refused" });
      await expect(volumes.ofSession(name)).rejects.toMatchObject({ code: "path_refused" });
    }
  });
});

describe.skipIf(!isRoot)("as root", () => {
  test("each volume has an owner of its own that may not see the others", async () => {
    const made = await Promise.all(Array.from({ length: 20 }, () => volumes.create()));
    const stats = await Promise.all(made.map(({ path }) => stat(path)));
    expect(new Set(stats.map(({ uid }) => uid)).size).toBe(20);
    for (const { uid, mode } of stats) {
      expect(uid).toBeGreaterThanOrEqual(owners?.first ?? Number.POSITIVE_INFINITY);
      expect(mode & 0o777).toBe(0o700);
    }
  });

  test("two servers never take the same owner, and a removed volume's is free again", async () => {
    const few = { first: 1_900_000_000, count: 3 };
    const [a, b] = [await openVolumes(dir, few), await openVolumes(dir, few)];
    const made = [await a.create(), await b.create(), await a.create()];
    expect((await readdir(join(dir, "owners"))).sort()).toEqual(["1900000000", "1900000001", "1900000002"]);
    await expect(b.create()).rejects.toMatchObject({ code: "limit" });
    await a.remove(made[1]?.id ?? "");
    await b.create();
  });
});

describe("the sweep", () => {
  test("removes what a dead server had made ahead, and nothing else", async () => {
    const [claimed, living, dead] = [await volumes.create(), await volumes.create(), await volumes.create()];
    await volumes.claim(claimed, "sesn_1");
    await pretendDead(dead);
    await volumes.sweep();
    expect((await readdir(join(dir, "volumes"))).sort()).toEqual([claimed.id, living.id].sort());
  });

  test("keeps a volume whose claim was cut short by a crash", async () => {
    const volume = await volumes.create();
    await symlink(volume.id, join(dir, "sessions/sesn_1"));
    await pretendDead(volume);
    await volumes.sweep();
    expect(await volumes.ofSession("sesn_1")).toEqual(volume);
    await volumes.remove(volume.id);
    for (const name of ["volumes", "owners", "sessions", "unclaimed"]) expect(await readdir(join(dir, name))).toEqual([]);
  });
});
