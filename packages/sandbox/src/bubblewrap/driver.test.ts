import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../pool.ts";
import { defaultOwners, openVolumes } from "../volumes.ts";
import { createBubblewrapDriver } from "./driver.ts";

let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "sandbox0-driver-"));
});

afterEach(() => rm(dir, { recursive: true, force: true }));

describe("check", () => {
  test("is content with a machine that has all it takes, and leaves nothing behind", async () => {
    const findings = await createBubblewrapDriver({ dir }).check();
    expect(findings.filter(({ ok }) => !ok)).toEqual([]);
    expect(findings.map(({ name }) => name)).toContain("a sandbox starts");
    expect(await readdir(join(dir, "sandboxes"))).toEqual([]);
    expect(await readdir(join(dir, "volumes"))).toEqual([]);
  });

  test("names the package that is missing", async () => {
    const driver = createBubblewrapDriver({ dir, bwrapPath: "/nonexistent/bwrap" });
    const finding = (await driver.check()).find(({ ok }) => !ok);
    expect(finding).toEqual({
      name: "bubblewrap",
      ok: false,
      detail: "not installed",
      fix: "install the package bubblewrap (apt-get install bubblewrap)",
    });
  });

  test("names what is too old", async () => {
    const old = (await createBubblewrapDriver({ dir, bwrapPath: "/bin/true" }).check()).find(({ ok }) => !ok);
    expect(old).toMatchObject({ name: "bubblewrap version", fix: "install bubblewrap 0.8 or newer" });
  });
});

describe("create", () => {
  test("refuses with a sentence that says what to install", async () => {
    const driver = createBubblewrapDriver({ dir, bwrapPath: "/nonexistent/bwrap" });
    const volume = await (await openVolumes(dir, await defaultOwners())).create();
    const spec = { volume, limits: DEFAULT_LIMITS, env: {}, openEgress: null };
    await expect(driver.create(spec)).rejects.toMatchObject({ code: "unavailable", message: /install the package bubblewrap/ });
  });

  test("refuses a volume that lies elsewhere, and as root one that belongs to root", async () => {
    const driver = createBubblewrapDriver({ dir });
    const elsewhere = await mkdtemp(join(tmpdir(), "sandbox0-driver-elsewhere-"));
    const spec = { limits: DEFAULT_LIMITS, env: {}, openEgress: null };
    const volume = await (await openVolumes(elsewhere, await defaultOwners())).create();
    await expect(driver.create({ ...spec, volume })).rejects.toMatchObject({ code: "unavailable" });
    await rm(elsewhere, { recursive: true });
    if (process.getuid?.() !== 0) return;
    const roots = await (await openVolumes(dir, null)).create();
    await expect(driver.create({ ...spec, volume: roots })).rejects.toMatchObject({
      code: "unavailable",
      message: /belongs to root/,
    });
  });
});
