import { spawn } from "node:child_process";
import { lchown, mkdir, mkdtemp, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { hasCode } from "./has-code.ts";
import type { PostgresBinaries } from "./postgres-binaries.ts";

/** Postgres refuses to be root. This id has no name and no other process: nothing else on the host can reach the files. */
const POSTGRES_ID = 65_432;
/** `initdb` alone insists on a user that has a name. */
const NAMED_USER = "nobody";
/** The superuser; authentication is by who may enter the socket's directory. */
export const POSTGRES_USER = "postgres";
const INITDB_TIMEOUT_MS = 60_000;
/** What a failing child may say into an error. */
const OUTPUT_CHARS_MAX = 4_000;

/** User and group for a child process; empty when it runs as we do. */
type Identity = { uid: number; gid: number } | Record<string, never>;

export interface Cluster {
  /** The data directory, absolute. */
  path: string;
  identity: Identity;
}

/**
 * Postgres makes its data directory's path absolute and enters it, which a user who may not enter a directory above it
 * cannot (data under /root). Through this path it reaches the directory it was started in without walking there.
 */
export const DATA_DIR_ARGUMENT = process.platform === "linux" ? "/proc/self/cwd" : undefined;

/** Minimal, and above all without our own environment: that holds keys. */
export const POSTGRES_ENV = { LC_ALL: "C", PATH: "/usr/bin:/bin" };

/**
 * Makes sure of a data directory `<root>/data`: made in one rename, so a crash leaves none or a whole one, and two servers
 * that start at once end with the same one.
 * @param onWaiting is told when there is nothing to do but wait for `initdb`
 * @throws Error when it is of another major version, or belongs to another user
 */
export async function ensureCluster(root: string, binaries: PostgresBinaries, onWaiting: () => void): Promise<Cluster> {
  const path = join(root, "data");
  await mkdir(root, { recursive: true, mode: 0o755 });
  if (!(await versionOf(path))) await createCluster(root, path, binaries, onWaiting);
  const version = await versionOf(path);
  if (version !== binaries.major) {
    throw new Error(
      `${path} was made by Postgres ${version}, and this build brings ${binaries.major}: dump it there and restore it here`,
    );
  }
  return { path, identity: await ownerOf(path) };
}

/** PG_VERSION of a data directory; `undefined` when there is none. */
async function versionOf(path: string): Promise<string | undefined> {
  try {
    return (await readFile(join(path, "PG_VERSION"), "utf8")).trim();
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
}

async function createCluster(root: string, path: string, binaries: PostgresBinaries, onWaiting: () => void): Promise<void> {
  const half = await mkdtemp(join(root, "init-"));
  try {
    const named = await namedIdentity();
    if (named.uid !== undefined) await lchown(half, named.uid, named.gid);
    const pgdata = DATA_DIR_ARGUMENT ?? half;
    const create = [
      "--no-sync",
      "--no-instructions",
      // Sorts by bytes, upper-cases all of Unicode, and needs no locale of the system's.
      "--locale-provider=builtin",
      "--builtin-locale=C.UTF-8",
      "--locale=C",
      "--encoding=UTF8",
      "--auth=trust",
      `--username=${POSTGRES_USER}`,
    ];
    const created = runInitdb(binaries, [...create, "-D", pgdata], half, named);
    onWaiting();
    await created;
    // One pass over the finished files instead of an fsync each: a tenth of a second for safety against a power cut.
    await runInitdb(binaries, ["--sync-only", "-D", pgdata], half, named);
    if (named.uid !== undefined) await chownTree(half, POSTGRES_ID);
    await rename(half, path);
    await syncDirectory(root);
  } catch (error) {
    await rm(half, { recursive: true, force: true });
    if (!(await versionOf(path))) throw error;
  }
}

function runInitdb(binaries: PostgresBinaries, args: string[], cwd: string, identity: Identity): Promise<void> {
  return new Promise((resolve, reject) => {
    const options = { cwd, env: POSTGRES_ENV, timeout: INITDB_TIMEOUT_MS, ...identity };
    const child = spawn(binaries.initdb, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    const keep = (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-OUTPUT_CHARS_MAX);
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    child.once("error", (cause) => reject(explainSpawn(cause)));
    child.once("close", (code, signal) => {
      if (code === 0) resolve();
      else reject(new Error(`initdb failed (${signal ?? code}): ${output.trim()}`));
    });
  });
}

/** What to do when a child could not even be started as another user. */
export function explainSpawn(cause: Error): Error {
  if (!hasCode(cause, "EINVAL", "EPERM", "EACCES")) return cause;
  const advice = "run the server as a normal user, or set DATABASE_URL";
  return new Error(
    `Postgres refuses to run as root, and this system does not let it run as another user (${cause.message}): ${advice}`,
    { cause },
  );
}

async function namedIdentity(): Promise<Identity> {
  if (process.getuid?.() !== 0) return {};
  const passwd = await readFile("/etc/passwd", "utf8");
  const fields = passwd
    .split("\n")
    .map((line) => line.split(":"))
    .find(([name]) => name === NAMED_USER);
  if (!fields)
    throw new Error(
      `initdb needs the user "${NAMED_USER}", and /etc/passwd has none: create it, run as a normal user, or set DATABASE_URL`,
    );
  return { uid: Number(fields[2]), gid: Number(fields[3]) };
}

/** A directory that root copied back is given to Postgres again; one of a normal user's runs as that user. */
async function ownerOf(path: string): Promise<Identity> {
  const { uid, gid } = await stat(path);
  const us = process.getuid?.();
  if (us === undefined || us === uid) {
    if (us !== 0) return {};
    await chownTree(path, POSTGRES_ID);
    return { uid: POSTGRES_ID, gid: POSTGRES_ID };
  }
  if (us !== 0)
    throw new Error(
      `${path} belongs to user ${uid} and we are user ${us}: run as that user or as root, or choose another data directory`,
    );
  return { uid, gid };
}

async function chownTree(root: string, id: number): Promise<void> {
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    await lchown(join(entry.parentPath, entry.name), id, id);
  }
  await lchown(root, id, id);
}

/** Until the directory is synced, a power cut may undo the rename although the rows behind it were durable. */
async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
