import { chmod, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { SandboxProgram } from "../programs.ts";
import { runCommand } from "../testing/run-command.ts";
import { writeTestProgram } from "../testing/test-program.ts";
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

describe("programs", { timeout: 120_000 }, () => {
  async function runIn(dir: string, program: SandboxProgram): Promise<string> {
    const driver = createBubblewrapDriver({ dir, programs: [program] });
    const volume = await (await openVolumes(dir, await defaultOwners())).create();
    const sandbox = await driver.create({ volume, limits: DEFAULT_LIMITS, env: {}, openEgress: null });
    try {
      return (await runCommand(sandbox, `${program.mountedAt}/run`)).stdout;
    } finally {
      await sandbox.destroy();
    }
  }

  test("are run from where they are when sandboxes can read that, else from the same files in the driver's directory", async () => {
    const outside = await mkdtemp(join(tmpdir(), "sandbox0-programs-"));
    const directory = join(outside, "program");
    const program = { directory, mountedAt: "/opt/harness/test" };
    await writeTestProgram(directory);
    const isRoot = process.getuid?.() === 0;
    const kept = async (): Promise<number> => (await readdir(dir)).filter((name) => name === "programs").length;
    try {
      // Closed by the directory above and by their own modes, then by their own modes alone, then open.
      for (const mode of [0o700, 0o755]) {
        await chmod(outside, mode);
        expect(await runIn(dir, program)).toBe("read from beside it\n");
        expect(await kept()).toBe(isRoot ? 1 : 0);
        await rm(join(dir, "programs"), { recursive: true, force: true });
      }
      for (const [name, mode] of [
        ["", 0o755],
        ["lib", 0o755],
        ["lib/words", 0o644],
        ["run", 0o755],
      ] as const)
        await chmod(join(directory, name), mode);
      expect(await runIn(dir, program)).toBe("read from beside it\n");
      expect(await kept()).toBe(0);
    } finally {
      await rm(outside, { recursive: true });
    }
  });

  test("that are gone make a sandbox unavailable; places elsewhere are refused at once", async () => {
    await expect(runIn(dir, { directory: "/nonexistent/program", mountedAt: "/opt/harness/test" })).rejects.toMatchObject({
      code: "unavailable",
      message: /\/nonexistent\/program is not there/,
    });
    for (const mountedAt of ["/usr/bin", "/opt/harness", "/opt/harness/../x", "/opt/harness/a/b"])
      expect(() => createBubblewrapDriver({ dir, programs: [{ directory: dir, mountedAt }] })).toThrow(/is not a directory in/);
  });
});
