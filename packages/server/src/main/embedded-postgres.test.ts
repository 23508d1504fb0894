import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "@sandbox0/testkit";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { createPool, type Database } from "../store/pool.ts";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "./embedded-postgres.ts";

const ROOT = process.getuid?.() === 0;
const NOBODY = 65_534;

const directories: string[] = [];
const servers: EmbeddedPostgres[] = [];
const pools: Database[] = [];
const children: ChildProcess[] = [];
afterEach(async () => {
  await Promise.all(pools.splice(0).map((pool) => pool.close()));
  for (const child of children.splice(0)) child.kill("SIGKILL");
  await Promise.all(servers.splice(0).map((server) => server.stop()));
  for (const directory of directories.splice(0)) {
    const left = postmaster(directory);
    if (left !== undefined) process.kill(left, "SIGQUIT");
    await until(() => postmaster(directory) === undefined);
    rmSync(directory, { recursive: true, force: true });
  }
});

/** Made once and copied: most tests are not about the first start, and `initdb` is the slowest part of it. */
let made: string;
beforeAll(async () => {
  made = mkdtempSync(join(tmpdir(), "sandbox0-embedded-"));
  await (await startEmbeddedPostgres({ dataDir: made })).stop();
});
afterAll(() => rmSync(made, { recursive: true, force: true }));

function emptyDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "sandbox0-embedded-"));
  directories.push(directory);
  return directory;
}

/** With a database in it. */
function newDirectory(): string {
  const directory = emptyDirectory();
  execFileSync("cp", ["-a", join(made, "postgres"), directory]);
  return directory;
}

async function start(dataDir: string, settings: Record<string, string> = {}): Promise<EmbeddedPostgres> {
  const server = await startEmbeddedPostgres({ dataDir, settings });
  servers.push(server);
  return server;
}

function connect({ connectionString }: { connectionString: string }): Database {
  const pool = createPool({ connectionString, max: 2 });
  pools.push(pool);
  return pool;
}

async function closeAll(): Promise<void> {
  await Promise.all(pools.splice(0).map((pool) => pool.close()));
}

/** A server in its own process. */
async function startChild(
  dataDir: string,
  options: { uid?: number; abandonedAfterSeconds?: number } = {},
): Promise<{ child: ChildProcess; connectionString: string }> {
  const { uid, abandonedAfterSeconds = 30 } = options;
  const file = new URL("./embedded-postgres.fixture.ts", import.meta.url).pathname;
  const child = spawn(process.execPath, [file, dataDir, String(abandonedAfterSeconds)], {
    stdio: ["pipe", "pipe", "inherit"],
    ...(uid !== undefined && { uid, gid: uid }),
  });
  children.push(child);
  for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream })) {
    return { child, ...(JSON.parse(line) as { connectionString: string }) };
  }
  throw new Error("the server did not start");
}

/** The process that runs on this data directory. */
function postmaster(dataDir: string): number | undefined {
  try {
    const id = Number.parseInt(readFileSync(join(dataDir, "postgres/data/postmaster.pid"), "utf8"), 10);
    return readFileSync(`/proc/${id}/cmdline`, "utf8").includes("postgres") ? id : undefined;
  } catch {
    return undefined;
  }
}

async function remember(db: Database, value: number): Promise<void> {
  await db.query("create table if not exists memory (value int)");
  await db.query("insert into memory values ($1)", [value]);
}

async function remembered(db: Database): Promise<number[]> {
  return (await db.query<{ value: number }>("select value from memory order by value")).rows.map(({ value }) => value);
}

test("it is durable, reachable by its socket alone, and keeps its data", async () => {
  const dataDir = emptyDirectory();
  const first = await start(dataDir);
  const db = connect(first);
  const { rows } = await db.query(
    "select current_setting('fsync') as fsync, current_setting('synchronous_commit') as commit, current_setting('full_page_writes') as pages, current_setting('listen_addresses') as tcp",
  );
  expect(rows).toEqual([{ fsync: "on", commit: "on", pages: "on", tcp: "" }]);
  await remember(db, 1);
  await closeAll();
  await first.stop();
  expect(postmaster(dataDir)).toBeUndefined();
  expect(existsSync(join(dataDir, "postgres/data/postmaster.pid"))).toBe(false);
  expect(await remembered(connect(await start(dataDir)))).toEqual([1]);
});

test("nothing of our environment reaches Postgres", async () => {
  const dataDir = newDirectory();
  await start(dataDir);
  expect(readFileSync(`/proc/${postmaster(dataDir)}/environ`, "utf8")).not.toContain("VITEST");
});

/** Until Postgres has seen that a killed server is gone, it counts. */
async function untilAlone(db: Database): Promise<void> {
  const stakes = "select pid from pg_stat_activity where application_name = 'sandbox0 tenancy'";
  await until(async () => (await db.query(stakes)).rows.length === 1);
}

test("a killed server finds its Postgres running, and stops it in the end", async () => {
  const dataDir = newDirectory();
  const { child, connectionString } = await startChild(dataDir);
  await remember(connect({ connectionString }), 7);
  await closeAll();
  const before = postmaster(dataDir);
  child.kill("SIGKILL");
  await until(() => child.signalCode !== null);
  const server = await start(dataDir);
  expect(postmaster(dataDir)).toBe(before);
  const db = connect(server);
  expect(await remembered(db)).toEqual([7]);
  await untilAlone(db);
  await closeAll();
  await server.stop();
  expect(postmaster(dataDir)).toBeUndefined();
});

test("SIGTERM of the server leaves nothing behind", async () => {
  const dataDir = newDirectory();
  const { child } = await startChild(dataDir);
  const id = postmaster(dataDir);
  child.kill("SIGTERM");
  await until(() => child.exitCode !== null);
  expect(child.exitCode).toBe(0);
  expect(postmaster(dataDir)).toBeUndefined();
  // Ended; whoever inherits it may be slow to take note.
  await until(() => !existsSync(`/proc/${id}`));
});

test("servers that start at once on an empty directory share one Postgres, and the last stops it", async () => {
  const dataDir = emptyDirectory();
  const [one, two, three] = await Promise.all([start(dataDir), start(dataDir), startChild(dataDir)]);
  expect(new Set([one, two, three].map(({ connectionString }) => connectionString)).size).toBe(1);
  await remember(connect(one), 1);
  expect(await remembered(connect(three))).toEqual([1]);
  await closeAll();
  await one.stop();
  await one.stop();
  expect(postmaster(dataDir)).toBeDefined();
  three.child.kill("SIGKILL");
  const db = connect(two);
  expect(await remembered(db)).toEqual([1]);
  await untilAlone(db);
  await closeAll();
  await two.stop();
  expect(postmaster(dataDir)).toBeUndefined();
});

test("servers that come and go at once always have a database", async () => {
  const dataDir = newDirectory();
  await (await start(dataDir)).stop();
  const comeAndGo = async (): Promise<void> => {
    for (let round = 0; round < 20; round += 1) {
      const server = await startEmbeddedPostgres({ dataDir });
      const db = createPool({ connectionString: server.connectionString, max: 1 });
      expect((await db.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
      await db.close();
      await server.stop();
    }
  };
  await Promise.all([comeAndGo(), comeAndGo(), comeAndGo(), comeAndGo()]);
  expect(postmaster(dataDir)).toBeUndefined();
});

test("a Postgres that dies under its server is started again with what was committed", async () => {
  const dataDir = newDirectory();
  const logged: string[] = [];
  const server = await startEmbeddedPostgres({ dataDir, log: (message) => logged.push(message) });
  servers.push(server);
  const db = connect(server);
  await remember(db, 1);
  const dead = postmaster(dataDir) as number;
  process.kill(dead, "SIGKILL");
  // The old one answers for a moment more.
  await until(() => postmaster(dataDir) !== dead);
  await until(async () => (await remembered(db)).length === 1);
  await until(() => logged.some((message) => message.includes("back")));
  await remember(db, 2);
  expect(await remembered(db)).toEqual([1, 2]);
});

test("after a kill of server and Postgres the next start recovers", async () => {
  const dataDir = newDirectory();
  const { child, connectionString } = await startChild(dataDir);
  const db = connect({ connectionString });
  for (let value = 0; value < 20; value += 1) await remember(db, value);
  process.kill(postmaster(dataDir) as number, "SIGKILL");
  child.kill("SIGKILL");
  await closeAll();
  expect(await remembered(connect(await start(dataDir)))).toHaveLength(20);
});

test("an abandoned Postgres stops by itself, and not while somebody uses it", async () => {
  const dataDir = newDirectory();
  const { child, connectionString } = await startChild(dataDir, { abandonedAfterSeconds: 3 });
  const guest = connect({ connectionString });
  await remember(guest, 1);
  child.kill("SIGKILL");
  // Longer than it waits for one without a client.
  await guest.query("select pg_sleep(6)");
  expect(postmaster(dataDir)).toBeDefined();
  await closeAll();
  await until(() => postmaster(dataDir) === undefined);
  expect(await remembered(connect(await start(dataDir)))).toEqual([1]);
});

test("it stays for a client that came another way, like a server with DATABASE_URL", async () => {
  const dataDir = newDirectory();
  const server = await start(dataDir);
  const guest = connect(server);
  await remember(guest, 1);
  await server.stop();
  expect(await remembered(guest)).toEqual([1]);
  const next = await start(dataDir);
  await closeAll();
  await next.stop();
  expect(postmaster(dataDir)).toBeUndefined();
});

test.each([
  ["a living stranger", process.pid],
  ["nobody", 2 ** 31 - 2],
])("a pid file left by a crash that names %s does not keep it from starting", async (_, id) => {
  const dataDir = newDirectory();
  const { child, connectionString } = await startChild(dataDir);
  await remember(connect({ connectionString }), 1);
  const pidFile = join(dataDir, "postgres/data/postmaster.pid");
  const text = readFileSync(pidFile, "utf8");
  process.kill(postmaster(dataDir) as number, "SIGKILL");
  child.kill("SIGKILL");
  await closeAll();
  await until(() => postmaster(dataDir) === undefined);
  writeFileSync(pidFile, text.replace(/^\d+/, String(id)), { flag: "r+" });
  expect(await remembered(connect(await start(dataDir)))).toEqual([1]);
});

test("a path too long for a socket address", async () => {
  const dataDir = join(emptyDirectory(), "d".repeat(60), "e".repeat(60));
  const server = await start(dataDir);
  expect(decodeURIComponent(server.connectionString).length).toBeLessThan(100);
  await remember(connect(server), 1);
  await closeAll();
  const socketDirectory = new URL(server.connectionString.replace("///", "//host/")).searchParams.get("host") ?? "";
  expect(existsSync(socketDirectory)).toBe(true);
  await server.stop();
  expect(existsSync(socketDirectory)).toBe(false);
  expect(await remembered(connect(await start(dataDir)))).toEqual([1]);
  await closeAll();
  await servers.pop()?.stop();
  mkdirSync(socketDirectory, { mode: 0o777 });
  chmodSync(socketDirectory, 0o777);
  await expect(start(dataDir), "a directory that others may enter").rejects.toThrow(/is not ours alone/);
  rmSync(socketDirectory, { recursive: true });
});

test("data in a directory that only we may enter, as /root is", async () => {
  const home = emptyDirectory();
  chmodSync(home, 0o700);
  const dataDir = join(home, "data");
  expect(await remember(connect(await start(dataDir)), 1)).toBeUndefined();
});

test.runIf(ROOT)("Postgres is never root, and other users cannot enter its directory", async () => {
  const dataDir = newDirectory();
  await start(dataDir);
  const status = readFileSync(`/proc/${postmaster(dataDir)}/status`, "utf8");
  expect(status).toMatch(/^Uid:\t(?!0\t)(\d+)\t\1\t\1\t\1$/m);
  expect(status).toMatch(/^Groups:\s*$/m);
});

test.runIf(ROOT)("a normal user", async () => {
  const dataDir = emptyDirectory();
  chownSync(dataDir, NOBODY, NOBODY);
  const { connectionString } = await startChild(dataDir, { uid: NOBODY });
  await remember(connect({ connectionString }), 1);
  expect(readFileSync(`/proc/${postmaster(dataDir)}/status`, "utf8")).toMatch(new RegExp(`^Uid:\t${NOBODY}\t`, "m"));
});

test.runIf(ROOT)("root takes a user's directory over, and gives its own to Postgres when a copy lost the owner", async () => {
  const dataDir = emptyDirectory();
  chownSync(dataDir, NOBODY, NOBODY);
  const { child, connectionString } = await startChild(dataDir, { uid: NOBODY });
  await remember(connect({ connectionString }), 1);
  await closeAll();
  child.kill("SIGTERM");
  await until(() => child.exitCode !== null);
  const server = await start(dataDir);
  expect(await remembered(connect(server))).toEqual([1]);
  await closeAll();
  await server.stop();
  chownSync(join(dataDir, "postgres/data"), 0, 0);
  expect(await remembered(connect(await start(dataDir)))).toEqual([1]);
});

test("a directory of another major version is left alone, with a reason", async () => {
  const dataDir = emptyDirectory();
  mkdirSync(join(dataDir, "postgres/data"), { recursive: true });
  writeFileSync(join(dataDir, "postgres/data/PG_VERSION"), "9\n");
  await expect(start(dataDir)).rejects.toThrow(/made by Postgres 9, and this build brings \d+/);
});

test("what Postgres says when it does not start is in the error", async () => {
  await expect(start(newDirectory(), { shared_buffers: "nonsense" })).rejects.toThrow(/Postgres ended.*shared_buffers/s);
});
