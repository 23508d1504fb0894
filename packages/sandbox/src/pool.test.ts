import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createSandboxPool, type ClaimedSandbox, type PoolOptions, type SandboxPool } from "./pool.ts";
import { SandboxError, type SandboxDriver } from "./port.ts";
import { createProcessDriver } from "./process/driver.ts";

const POLL = { timeout: 60_000 };
/** Longer than any test. */
const NEVER_MS = 3_600_000;

let dir: string;
let driver: SandboxDriver;
let problems: Error[];
let pools: SandboxPool[];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "sandbox0-pool-"));
  driver = createProcessDriver({ dir });
  problems = [];
  pools = [];
});

afterEach(async () => {
  await Promise.all(pools.map((pool) => pool.close()));
  await rm(dir, { recursive: true, force: true });
  expect(problems).toEqual([]);
});

async function openPool(options: Partial<PoolOptions> = {}): Promise<SandboxPool> {
  const times = { pauseAfterMs: NEVER_MS, destroyAfterMs: NEVER_MS };
  const onProblem = (problem: Error): number => problems.push(problem);
  const pool = await createSandboxPool(driver, { dir, warmCount: 0, ...times, onProblem, ...options });
  pools.push(pool);
  return pool;
}

async function bash({ tools }: ClaimedSandbox, command: string): Promise<string> {
  const { content } = await tools.call("bash", { command });
  return content.map((block) => (block.type === "text" ? block.text : "")).join("");
}

/** Another session has been idle for as long as it takes until it is paused: any before it would be, too. */
async function anotherIsPaused(pool: SandboxPool, sessionId: string): Promise<void> {
  const before = pool.stats().paused;
  await pool.claim(sessionId, null);
  pool.release(sessionId);
  await expect.poll(() => pool.stats().paused, POLL).toBe(before + 1);
}

const warmed = (pool: SandboxPool, count: number): Promise<void> => expect.poll(() => pool.stats().warm, POLL).toBe(count);

describe("claim", () => {
  test("takes a warm sandbox for a new session, and the pool fills up again", async () => {
    const pool = await openPool({ warmCount: 2, warmFileToolsCount: 1 });
    await warmed(pool, 2);
    const claimed = await pool.claim("sesn_1", null);
    expect(claimed.source).toBe("warm");
    expect(await bash(claimed, "echo hello")).toBe("hello");
    expect((await claimed.tools.call("write", { file_path: "a", content: "b" })).isError).toBe(false);
    await warmed(pool, 2);
    expect(pool.stats()).toMatchObject({ active: 1, idle: 0, paused: 0, queued: 0 });
  });

  test("makes one when there is no warm one", async () => {
    const pool = await openPool();
    const claimed = await pool.claim("sesn_1", null);
    expect(claimed.source).toBe("cold");
    expect(await bash(claimed, "echo hello")).toBe("hello");
  });

  test("gives one session one sandbox, however often and however many ask at once", async () => {
    const pool = await openPool();
    const claims = await Promise.all(Array.from({ length: 5 }, () => pool.claim("sesn_1", null)));
    const again = await pool.claim("sesn_1", claims[0]?.volume.id ?? null);
    expect(new Set([...claims, again].map(({ sandbox }) => sandbox.id)).size).toBe(1);
    expect(new Set([...claims, again].map(({ volume }) => volume.id)).size).toBe(1);
    expect(claims.map(({ source }) => source).sort()).toEqual(["cold", "reused", "reused", "reused", "reused"]);
    expect(again.source).toBe("reused");
  });

  test("gives two sessions two sandboxes and two volumes", async () => {
    const pool = await openPool();
    const [a, b] = [await pool.claim("sesn_1", null), await pool.claim("sesn_2", null)];
    expect(a.volume.id).not.toBe(b.volume.id);
    await bash(a, "echo a > file");
    expect(await bash(b, "cat file")).toMatch(/No such file/);
  });

  test("finds the session's volume again when its caller has lost the id, also in a new pool", async () => {
    const first = await openPool();
    await bash(await first.claim("sesn_1", null), "echo work > file");
    await first.close();
    const second = await openPool({ warmCount: 1 });
    await warmed(second, 1);
    const claimed = await second.claim("sesn_1", null);
    expect(claimed.source).toBe("cold");
    expect(await bash(claimed, "cat file")).toBe("work");
  });

  test("refuses a volume that is not there", async () => {
    const pool = await openPool();
    await expect(pool.claim("sesn_1", "vol_gone")).rejects.toMatchObject({ code: "not_found" });
    expect((await pool.claim("sesn_1", null)).source).toBe("cold");
  });

  test("passes on why the driver cannot, keeps no slot for it, and works when it can again", async () => {
    const works = driver;
    let isBroken = true;
    driver = {
      ...works,
      create: (spec) => (isBroken ? Promise.reject(new SandboxError("unavailable", "no bubblewrap here")) : works.create(spec)),
    };
    const pool = await openPool({ liveMax: 1 });
    for (let i = 0; i < 3; i++) await expect(pool.claim("sesn_1", null)).rejects.toThrow("no bubblewrap here");
    isBroken = false;
    expect(await bash(await pool.claim("sesn_1", null), "echo fine")).toBe("fine");
  });

  test("is refused once the pool is closed", async () => {
    const pool = await openPool();
    await pool.close();
    await expect(pool.claim("sesn_1", null)).rejects.toMatchObject({ code: "unavailable" });
  });
});

describe("borrow", () => {
  test("gives a sandbox that is known by its session and shares nothing with it, and takes its volume away", async () => {
    const pool = await openPool();
    const claimed = await pool.claim("sesn_1", null);
    const borrowed = await pool.borrow("sesn_1", null);
    expect(pool.sessionOf(borrowed.sandbox.id)).toBe("sesn_1");
    expect(borrowed.sandbox.id).not.toBe(claimed.sandbox.id);
    await borrowed.sandbox.writeFile("/workspace/a", Buffer.from("x"));
    expect(await bash(claimed, "ls")).toBe("(no output)");
    expect(await readdir(join(dir, "volumes"))).toHaveLength(2);
    await borrowed.end();
    await borrowed.end();
    expect(pool.sessionOf(borrowed.sandbox.id)).toBeNull();
    expect(await readdir(join(dir, "volumes"))).toEqual([claimed.volume.id]);
  });

  test("waits while the pool is full, and ends with it", async () => {
    const pool = await openPool({ liveMax: 1 });
    const first = await pool.borrow("sesn_1", null);
    const second = pool.borrow("sesn_2", null);
    await expect.poll(() => pool.stats().queued, POLL).toBe(1);
    await first.end();
    const { sandbox } = await second;
    await pool.close();
    await sandbox.gone;
    expect(await readdir(join(dir, "volumes"))).toEqual([]);
    await expect(pool.borrow("sesn_1", null)).rejects.toThrow(SandboxError);
  });
});

describe("release", () => {
  test("pauses an idle sandbox; a claim resumes it as it was", async () => {
    const pool = await openPool({ pauseAfterMs: 10 });
    const claimed = await pool.claim("sesn_1", null);
    await bash(claimed, "A=kept; cd /tmp");
    pool.release("sesn_1");
    await expect.poll(() => pool.stats().paused, POLL).toBe(1);
    await expect(claimed.sandbox.exec(["/bin/true"])).rejects.toMatchObject({ code: "unavailable" });
    const again = await pool.claim("sesn_1", claimed.volume.id);
    expect(again.source).toBe("reused");
    expect(await bash(again, "echo $A")).toBe("kept");
    expect(pool.stats()).toMatchObject({ active: 1, paused: 0 });
  });

  test("destroys it later; a claim brings it back with its files", async () => {
    const pool = await openPool({ pauseAfterMs: 10, destroyAfterMs: 10 });
    const claimed = await pool.claim("sesn_1", null);
    await bash(claimed, "echo work > file; echo home > ~/file");
    pool.release("sesn_1");
    await claimed.sandbox.gone;
    await expect.poll(() => pool.stats(), POLL).toMatchObject({ active: 0, idle: 0, paused: 0 });
    const again = await pool.claim("sesn_1", claimed.volume.id);
    expect(again.source).toBe("cold");
    expect(again.volume.id).toBe(claimed.volume.id);
    expect(await bash(again, "cat file ~/file")).toBe("work\nhome");
  });

  test("does not pause while a call runs", async () => {
    const pool = await openPool({ pauseAfterMs: 10 });
    const claimed = await pool.claim("sesn_1", null);
    await bash(claimed, "mkfifo go");
    const running = bash(claimed, "cat go");
    pool.release("sesn_1");
    await anotherIsPaused(pool, "sesn_2");
    expect(pool.stats()).toMatchObject({ paused: 1, idle: 1 });
    const written = claimed.sandbox.writeFile("/workspace/go", Buffer.from("went on"));
    expect(await running).toBe("went on");
    await expect.poll(() => pool.stats().paused, POLL).toBe(2);
    // What wrote it is no call: it may have been paused on its way out.
    await pool.claim("sesn_1", null);
    await written;
  });

  test("freezes a program that was left running, and a claim thaws it; one in use is let alone, and ends with its sandbox", async () => {
    const pool = await openPool({ pauseAfterMs: 10 });
    const { sandbox, volume } = await pool.claim("sesn_1", null);
    const child = await sandbox.exec(["/bin/bash", "--norc", "-c", "while read -r line; do echo got $line; done"]);
    let text = "";
    child.stdout.on("data", (chunk: Buffer) => {
      text += chunk.toString();
    });
    await anotherIsPaused(pool, "sesn_2");
    child.stdin.write("used\n");
    await expect.poll(() => text, POLL).toBe("got used\n");
    pool.release("sesn_1");
    await expect.poll(() => pool.stats().paused, POLL).toBe(2);
    child.stdin.write("frozen\n");
    // One that is not frozen would have answered before another has come to life, run a command and been paused.
    const third = await pool.claim("sesn_3", null);
    expect(await bash(third, "echo third")).toBe("third");
    expect(text).toBe("got used\n");
    expect((await pool.claim("sesn_1", volume.id)).sandbox.id).toBe(sandbox.id);
    await expect.poll(() => text, POLL).toBe("got used\ngot frozen\n");
    await pool.discard("sesn_1");
    expect(await child.exited).toMatchObject({ signal: "SIGKILL" });
  });

  test("of a session that is not claimed does nothing", async () => {
    const pool = await openPool();
    pool.release("sesn_1");
    expect(pool.stats()).toMatchObject({ active: 0, idle: 0 });
  });
});

describe("while a session is still", () => {
  test("its sandbox is frozen, and goes on afterwards", async () => {
    const pool = await openPool();
    const claimed = await pool.claim("sesn_1", null);
    await bash(claimed, "(while true; do date +%N > tick; sleep 0.01; done) > /dev/null 2>&1 &");
    pool.release("sesn_1");
    const tick = (): Promise<string> => readFile(join(claimed.volume.path, "workspace/tick"), "utf8").catch(() => "");
    await expect.poll(tick, POLL).not.toBe("");
    await pool.whileStill("sesn_1", async () => {
      await expect(claimed.sandbox.exec(["/bin/true"])).rejects.toMatchObject({ code: "unavailable" });
      expect(pool.stats()).toMatchObject({ idle: 1 });
      expect(await pool.isQuiet("sesn_1")).toBe(false);
    });
    const then = await tick();
    await expect.poll(tick, POLL).not.toBe(then);
    expect(await bash(await pool.claim("sesn_1", null), "echo fine")).toBe("fine");
  });

  test("a claim does not wait, and says that it is over; while it is claimed, it is not still", async () => {
    const pool = await openPool();
    await pool.claim("sesn_1", null);
    await expect(pool.whileStill("sesn_1", async () => undefined)).rejects.toMatchObject({ code: "unavailable" });
    pool.release("sesn_1");
    const aborted = await pool.whileStill("sesn_1", async (signal) => {
      expect(await bash(await pool.claim("sesn_1", null), "echo runs")).toBe("runs");
      return signal.aborted;
    });
    expect(aborted).toBe(true);
    expect(pool.stats()).toMatchObject({ active: 1 });
  });

  test("a session without a sandbox is, until it is claimed; a paused one says so", async () => {
    const paused: string[] = [];
    const pool = await openPool({ pauseAfterMs: 10, onPause: (sessionId) => paused.push(sessionId) });
    expect(await pool.isQuiet("sesn_1")).toBe(true);
    const claimed = await pool.whileStill("sesn_1", (signal) => pool.claim("sesn_1", null).then(() => signal.aborted));
    expect(claimed).toBe(true);
    expect(await pool.isQuiet("sesn_1")).toBe(false);
    pool.release("sesn_1");
    await expect.poll(() => paused, POLL).toEqual(["sesn_1"]);
    expect(await pool.isQuiet("sesn_1")).toBe(true);
    expect(await pool.whileStill("sesn_1", async () => pool.stats().paused)).toBe(1);
    expect(pool.stats()).toMatchObject({ paused: 1 });
  });
});

test("a session that rests is quiet when nothing runs in the background", async () => {
  const pool = await openPool();
  const claimed = await pool.claim("sesn_1", null);
  await bash(claimed, "echo done");
  expect(await pool.isQuiet("sesn_1")).toBe(false);
  pool.release("sesn_1");
  expect(await pool.isQuiet("sesn_1")).toBe(true);
  await bash(await pool.claim("sesn_1", null), "(until [ -e go ]; do sleep 0.05; done) > /dev/null 2>&1 &");
  pool.release("sesn_1");
  expect(await pool.isQuiet("sesn_1")).toBe(false);
  await writeFile(join(claimed.volume.path, "workspace/go"), "");
  await expect.poll(() => pool.isQuiet("sesn_1"), POLL).toBe(true);
});

describe("a volume that is made ahead of its session's claim", () => {
  test("has its files then, and is not there when they could not be had", async () => {
    const pool = await openPool();
    const failing = pool.makeVolume("sesn_1", () => Promise.reject(new Error("no files")));
    await expect(failing).rejects.toThrow("no files");
    expect(await pool.volumeOf("sesn_1")).toBe(null);
    expect(await readdir(join(dir, "volumes"))).toEqual([]);
    const volume = await pool.makeVolume("sesn_1", ({ path }) => writeFile(join(path, "workspace/file"), "brought"));
    expect(await pool.volumeOf("sesn_1")).toEqual(volume);
    const claimed = await pool.claim("sesn_1", null);
    expect([claimed.volume, claimed.source]).toEqual([volume, "cold"]);
    expect(await bash(claimed, "cat file")).toBe("brought");
  });

  test("is in a directory that has a name of its own, for every server on it", async () => {
    const [first, second] = [await openPool(), await openPool()];
    expect(first.homeId).toMatch(/^home_[0-9a-f]{32}$/);
    expect(second.homeId).toBe(first.homeId);
  });
});

describe("bounds", () => {
  test("a full pool lets callers wait, and makes room with what is idle", async () => {
    const pool = await openPool({ liveMax: 2 });
    const first = await pool.claim("sesn_1", null);
    await pool.claim("sesn_2", null);
    const third = pool.claim("sesn_3", null);
    await expect.poll(() => pool.stats().queued, POLL).toBe(1);
    await bash(first, "echo work > file");
    pool.release("sesn_1");
    expect((await third).source).toBe("cold");
    const fourth = pool.claim("sesn_1", first.volume.id);
    pool.release("sesn_2");
    expect(await bash(await fourth, "cat file")).toBe("work");
  });

  test("warm sandboxes give way to callers", async () => {
    const pool = await openPool({ liveMax: 2, warmCount: 2 });
    const volume = (await pool.claim("sesn_1", null)).volume.id;
    await pool.discard("sesn_1");
    await warmed(pool, 2);
    const claimed = await pool.claim("sesn_1", volume);
    expect(claimed.source).toBe("cold");
    expect(await bash(claimed, "echo fine")).toBe("fine");
  });

  test("a full pool that would like warm ones waits for room, and lets everything else go on", async () => {
    const pool = await openPool({ liveMax: 1, warmCount: 1 });
    await warmed(pool, 1);
    const claimed = await pool.claim("sesn_1", null);
    expect(claimed.source).toBe("warm");
    expect(await bash(claimed, "echo fine")).toBe("fine");
    await pool.discard("sesn_1");
    await warmed(pool, 1);
  });

  test("who comes while a warm one is made in the last place gets it, or its place", async () => {
    const pool = await openPool({ liveMax: 1, warmCount: 1 });
    for (let n = 0; n < 5; n++) {
      const claimed = await pool.claim(`sesn_${n}`, null);
      expect(await bash(claimed, "echo fine")).toBe("fine");
      await pool.discard(`sesn_${n}`);
    }
    const borrowed = await pool.borrow("sesn_6", null);
    await borrowed.end();
    await warmed(pool, 1);
  });

  test("refuses callers beyond the queue's length", async () => {
    const pool = await openPool({ liveMax: 1, queueMax: 1 });
    await pool.claim("sesn_1", null);
    const second = pool.claim("sesn_2", null);
    await expect.poll(() => pool.stats().queued, POLL).toBe(1);
    await expect(pool.claim("sesn_3", null)).rejects.toMatchObject({ code: "limit" });
    pool.release("sesn_1");
    await second;
  });

  test("starts no more processes at once than allowed", async () => {
    const works = driver;
    let [starting, most] = [0, 0];
    driver = {
      ...works,
      create: async (spec) => {
        const sandbox = await works.create(spec);
        const exec = sandbox.exec;
        return Object.assign(sandbox, {
          exec: async (...args: Parameters<typeof exec>) => {
            starting++;
            most = Math.max(most, starting);
            const child = await exec(...args);
            child.stdout.once("readable", () => starting--);
            return child;
          },
        });
      },
    };
    const pool = await openPool({ startingMax: 2 });
    const sessions = Array.from({ length: 10 }, (_, i) => `sesn_${i}`);
    const texts = await Promise.all(sessions.map(async (session) => bash(await pool.claim(session, null), "echo fine")));
    expect(texts).toEqual(sessions.map(() => "fine"));
    expect(most).toBeLessThanOrEqual(2);
  });
});

describe("the end", () => {
  test("discard destroys the sandbox and keeps the files", async () => {
    const pool = await openPool();
    const claimed = await pool.claim("sesn_1", null);
    await bash(claimed, "echo work > file");
    await pool.discard("sesn_1");
    await claimed.sandbox.gone;
    await pool.discard("sesn_1");
    expect(await bash(await pool.claim("sesn_1", claimed.volume.id), "cat file")).toBe("work");
  });

  test("deleteVolume ends what runs on it and removes it for good", async () => {
    const pool = await openPool();
    const claimed = await pool.claim("sesn_1", null);
    await pool.deleteVolume(claimed.volume.id);
    await claimed.sandbox.gone;
    await pool.deleteVolume(claimed.volume.id);
    expect(existsSync(join(dir, "volumes", claimed.volume.id))).toBe(false);
    await expect(pool.claim("sesn_1", claimed.volume.id)).rejects.toMatchObject({ code: "not_found" });
    expect((await pool.claim("sesn_1", null)).volume.id).not.toBe(claimed.volume.id);
  });

  test("close destroys everything, the volumes nobody claimed too, and refuses those who wait", async () => {
    const pool = await openPool({ warmCount: 1, liveMax: 2 });
    await warmed(pool, 1);
    const claimed = await pool.claim("sesn_1", null);
    await warmed(pool, 1);
    const [second, third] = [pool.claim("sesn_2", null), pool.claim("sesn_3", null)];
    const refused = expect(third).rejects.toMatchObject({ code: "unavailable" });
    const { volume } = await second;
    await pool.close();
    await refused;
    await claimed.sandbox.gone;
    expect((await readdir(join(dir, "volumes"))).sort()).toEqual([claimed.volume.id, volume.id].sort());
    expect(await readdir(join(dir, "sandboxes"))).toEqual([]);
    expect(await readdir(join(dir, "unclaimed"))).toEqual([]);
  });
});
