import { type ChildProcess, execFile, spawn } from "node:child_process";
import { open, readFile, rename, rm, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { hasCode } from "./has-code.ts";
import { type Cluster, DATA_DIR_ARGUMENT, explainSpawn, POSTGRES_ENV } from "./postgres-cluster.ts";

/** The socket in its directory; 5432 is part of the name and no port is open. */
export const SOCKET_NAME = ".s.PGSQL.5432";
/** Name of the setting that only serves to find the postmaster of a data directory again by its command line. */
const MARKER = "sandbox0.data_dir";
/** A log larger than this is put aside (one generation) when the postmaster starts. */
const LOG_BYTES_MAX = 8 * 1024 * 1024;
/** How much of the log goes into an error. */
const LOG_TAIL_BYTES = 2_000;
/** The watchdog stops the postmaster after so many looks without a client. */
const WATCH_LOOKS = 3;
const STOP_STEPS = [
  { signal: "SIGINT", waitMs: 20_000 },
  // Postgres then recovers at its next start.
  { signal: "SIGQUIT", waitMs: 5_000 },
] as const;
const POLL_MS = 10;
/** Above every possible process id: what a stale pid file is made to name. */
const NO_PROCESS_ID = 2 ** 31 - 1;

export interface PostmasterOptions {
  cluster: Cluster;
  /** The `postgres` binary. */
  binary: string;
  logFile: string;
  /** Where the socket is made: a directory, or `.` for the data directory. */
  socketDirectory: string;
  settings: Readonly<Record<string, string>>;
  /** Without any client for about this long it is stopped, when no server is left to do it. */
  abandonedAfterSeconds: number;
}

/**
 * Starts a postmaster that outlives this process. Two at once on one data directory are safe: the second exits.
 * `ended` is pending while it runs, then says why it ended, with the end of its log.
 */
export async function spawnPostmaster(options: PostmasterOptions): Promise<{ ended: Promise<Error> }> {
  const { cluster, binary, logFile } = options;
  const log = await openLog(logFile);
  const logStart = (await log.stat()).size;
  const settings = {
    ...options.settings,
    listen_addresses: "",
    unix_socket_directories: options.socketDirectory,
    [MARKER]: cluster.path,
  };
  const args = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const child = spawn(binary, ["-D", DATA_DIR_ARGUMENT ?? cluster.path, ...args], {
    cwd: cluster.path,
    env: POSTGRES_ENV,
    // Its own session: a Ctrl-C on our terminal is for us, and we stop it when we are done with it.
    detached: true,
    stdio: ["ignore", log.fd, log.fd],
    ...cluster.identity,
  });
  const ended = new Promise<Error>((resolveEnd) => {
    child.once("error", (cause) => resolveEnd(explainSpawn(cause)));
    child.once("exit", (code, signal) => {
      tail(logFile, logStart).then((text) => resolveEnd(new Error(`Postgres ended (${signal ?? code}): ${text}`)), resolveEnd);
    });
  });
  child.unref();
  await log.close();
  const watchdog = startWatchdog(cluster, child, options.abandonedAfterSeconds);
  child.once("exit", () => endGroup(watchdog));
  return { ended };
}

async function openLog(path: string) {
  try {
    if ((await stat(path)).size > LOG_BYTES_MAX) await rename(path, `${path}.old`);
  } catch (error) {
    if (!hasCode(error, "ENOENT")) throw error;
  }
  return open(path, "a", 0o600);
}

async function tail(path: string, from: number): Promise<string> {
  const text = await readFile(path);
  return text
    .subarray(Math.max(from, text.length - LOG_TAIL_BYTES))
    .toString()
    .trim();
}

/**
 * After a SIGKILL of every server nobody is left to stop the postmaster. This shell looks whether it still has a client and
 * stops it when it has had none for a while: a restarted server finds it running, an abandoned one does not stay.
 * `$1` postmaster, `$2` seconds between looks, `$3` looks. The working directory tells it from a later process of that id.
 */
const WATCHDOG = `
alone=0
while sleep "$2" && [ "/proc/$1/cwd" -ef . ] && [ -r "/proc/$1/task/$1/children" ]; do
  titles=$(for child in $(cat "/proc/$1/task/$1/children"); do echo "/proc/$child/cmdline"; done)
  if grep -qsF "[local]" $titles; then alone=0; else alone=$((alone + 1)); fi
  if [ "$alone" -ge "$3" ]; then kill -INT "$1"; fi
done`;

/** Only where there is a /proc; elsewhere an abandoned postmaster runs until the next server takes it over. */
function startWatchdog(cluster: Cluster, postmaster: ChildProcess, seconds: number): ChildProcess | undefined {
  if (process.platform !== "linux" || postmaster.pid === undefined) return undefined;
  const pause = Math.max(1, Math.round(seconds / WATCH_LOOKS));
  const args = ["-c", WATCHDOG, "sandbox0-postgres-watchdog", String(postmaster.pid), String(pause), String(WATCH_LOOKS)];
  const shell = spawn("/bin/sh", args, {
    cwd: cluster.path,
    env: POSTGRES_ENV,
    detached: true,
    stdio: "ignore",
    ...cluster.identity,
  });
  // Without it the database works all the same.
  shell.once("error", () => undefined);
  shell.unref();
  return shell;
}

/** The shell and the `sleep` it waits for; by itself it would notice only at its next look. */
function endGroup(shell: ChildProcess | undefined): void {
  if (shell?.pid === undefined || shell.exitCode !== null) return;
  try {
    process.kill(-shell.pid, "SIGKILL");
  } catch (error) {
    if (!hasCode(error, "ESRCH")) throw error;
  }
}

/**
 * Fast shutdown: open transactions are rolled back, then a checkpoint. An immediate one when that takes too long.
 * @throws Error when the postmaster is still there after that
 */
export async function stopPostmaster(cluster: Cluster): Promise<void> {
  for (const { signal, waitMs } of STOP_STEPS) {
    const id = await findPostmaster(cluster);
    if (id === undefined) return;
    process.kill(id, signal);
    const deadline = Date.now() + waitMs;
    while (Date.now() < deadline) {
      if (!(await isPostmaster(id, cluster))) return;
      await delay(POLL_MS);
    }
  }
  throw new Error(`the Postgres of ${cluster.path} does not stop`);
}

/** The process id of the living postmaster of this data directory. */
export async function findPostmaster(cluster: Cluster): Promise<number | undefined> {
  const recorded = await readPidFile(cluster);
  return recorded !== undefined && (await isPostmaster(recorded, cluster)) ? recorded : undefined;
}

/**
 * Postgres does not start when a process with the id in its lock files lives, whatever that process is: a zombie, or in a
 * container often we. When it is no postmaster of this directory, the pid file is made to name no process; it stays, because
 * Postgres finds by it whether backends of a killed postmaster still run.
 */
export async function releaseStaleLocks(cluster: Cluster, socketDirectory: string): Promise<void> {
  const file = await openPidFile(cluster);
  if (file === undefined) return;
  try {
    // Read and written through one handle: the file of a postmaster that starts meanwhile is another one.
    const text = await file.readFile("utf8");
    const id = Number.parseInt(text, 10);
    if (!(id > 0) || !isProcess(id) || (await isPostmaster(id, cluster))) return;
    await file.write(text.replace(/^\d+/, String(NO_PROCESS_ID)), 0);
    await rm(join(resolve(cluster.path, socketDirectory), `${SOCKET_NAME}.lock`), { force: true });
  } finally {
    await file.close();
  }
}

async function openPidFile(cluster: Cluster) {
  try {
    return await open(pidFile(cluster), "r+");
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
}

function isProcess(id: number): boolean {
  try {
    return process.kill(id, 0);
  } catch (error) {
    return !hasCode(error, "ESRCH");
  }
}

const pidFile = (cluster: Cluster): string => join(cluster.path, "postmaster.pid");

/** The process id in the lock file of the data directory. */
async function readPidFile(cluster: Cluster): Promise<number | undefined> {
  try {
    const id = Number.parseInt(await readFile(pidFile(cluster), "utf8"), 10);
    return id > 0 ? id : undefined;
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
}

async function isPostmaster(processId: number, cluster: Cluster): Promise<boolean> {
  return (await commandLineOf(processId)).includes(`${MARKER}=${cluster.path}`);
}

/** Empty for a process that is gone, also for one that nobody has waited for. */
async function commandLineOf(processId: number): Promise<string> {
  try {
    if (process.platform === "linux") return (await readFile(`/proc/${processId}/cmdline`, "utf8")).replaceAll("\0", " ");
    return (await promisify(execFile)("ps", ["-o", "command=", "-p", String(processId)])).stdout;
  } catch (error) {
    // `ps` exits with 1 for an unknown id.
    if (hasCode(error, "ENOENT", "ESRCH", "1")) return "";
    throw error;
  }
}
