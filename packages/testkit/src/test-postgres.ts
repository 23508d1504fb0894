import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startEmbeddedPostgres } from "@sandbox0/server/main/embedded-postgres";
import { migrate } from "@sandbox0/server/store/migrate";
import { createPool } from "@sandbox0/server/store/pool";
import pg from "pg";

/** Tests end with their databases: nothing of theirs must survive a power cut, and without fsync they are faster. */
const SETTINGS = {
  fsync: "off",
  synchronous_commit: "off",
  full_page_writes: "off",
  max_connections: "400",
  max_wal_size: "256MB",
};

/** Where the databases of this run are cloned. */
export interface TestCluster {
  /** Of a superuser, to a database that nobody uses. */
  connectionString: string;
  /** Name of the migrated database to clone. */
  template: string;
}

export interface TestPostgres {
  /** A socket: whoever connects gets the {@link TestCluster} as JSON, once it is up. */
  path: string;
  close(): Promise<void>;
}

/**
 * One Postgres for a whole run, started when the first test file asks for it: a run without a database never starts one.
 * `connectionString`: use this server instead of an embedded one, under an own template database that is dropped at the end.
 */
export async function serveTestPostgres(options: { connectionString?: string | undefined } = {}): Promise<TestPostgres> {
  const directory = await mkdtemp(join(tmpdir(), "sandbox0-test-"));
  const path = join(directory, "cluster.sock");
  let running: Promise<RunningCluster> | undefined;
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    running ??= startCluster(directory, options.connectionString);
    running.then(
      ({ cluster }) => socket.end(JSON.stringify({ cluster })),
      (error: unknown) => socket.end(JSON.stringify({ error: error instanceof Error ? error.message : String(error) })),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, resolve);
  });
  return {
    path,
    async close() {
      await closeServer(server);
      // A start that failed was reported to those who asked.
      const started = await running?.catch(() => undefined);
      await started?.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

interface RunningCluster {
  cluster: TestCluster;
  stop(): Promise<void>;
}

async function startCluster(directory: string, given: string | undefined): Promise<RunningCluster> {
  const embedded = given === undefined ? await startEmbeddedPostgres({ dataDir: directory, settings: SETTINGS }) : undefined;
  const connectionString = given ?? (embedded?.connectionString as string);
  const template = `sandbox0_template_${process.pid}`;
  await runOn(connectionString, `drop database if exists ${template}`, `create database ${template}`);
  const db = createPool({ connectionString: withDatabase(connectionString, template), max: 1 });
  try {
    await migrate(db);
  } finally {
    await db.close();
  }
  return {
    cluster: { connectionString, template },
    async stop() {
      if (embedded) await embedded.stop();
      else await runOn(connectionString, `drop database if exists ${template} with (force)`);
    },
  };
}

/** Runs statements one after the other, outside a transaction. */
export async function runOn(connectionString: string, ...statements: string[]): Promise<void> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}

/** The same server and user, another database. */
export function withDatabase(connectionString: string, name: string): string {
  // A URL with an empty host ("postgresql:///db?host=/dir") is legal here and not to `URL`.
  const match = /^(postgres(?:ql)?:\/\/[^/?]*)(?:\/[^?]*)?(\?.*)?$/.exec(connectionString);
  if (!match) throw new Error("not a postgres:// connection string");
  return `${match[1]}/${name}${match[2] ?? ""}`;
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve, reject) => server.close((error) => (error ? reject(error) : resolve())));
}
