import { randomBytes } from "node:crypto";
import { createConnection } from "node:net";
import { text } from "node:stream/consumers";
import pg from "pg";
import { runOn, type TestCluster, withDatabase } from "./test-postgres.ts";
import { until } from "./until.ts";

/** How long connections that were closed a moment ago may take to disappear before they count as leaked. */
const LINGER_MS = 30_000;

export interface TestDatabase {
  connectionString: string;
  /**
   * Drops the database. Idempotent.
   * @throws Error when a connection is still open: a pool, a listener or a node was not closed
   */
  drop(): Promise<void>;
}

/**
 * An own migrated database, cloned in tens of milliseconds from the run's template. One a test file: `beforeAll` creates it,
 * `afterAll` drops it. Works in every vitest project, by the global setup `postgres-setup.ts`.
 */
export async function createTestDatabase(): Promise<TestDatabase> {
  const { inject } = await import("vitest");
  const path = inject("testPostgres");
  if (path === undefined)
    throw new Error("no test Postgres: vitest runs without the global setup packages/testkit/src/postgres-setup.ts");
  return cloneDatabase(await askForCluster(path));
}

/** Clones the template of a cluster that runs. */
async function cloneDatabase(cluster: TestCluster): Promise<TestDatabase> {
  const name = `test_${randomBytes(6).toString("hex")}`;
  await runOn(cluster.connectionString, `create database ${name} template ${cluster.template}`);
  return {
    connectionString: withDatabase(cluster.connectionString, name),
    async drop() {
      const leaked = await connectionsLeft(cluster.connectionString, name);
      await runOn(cluster.connectionString, `drop database if exists ${name} with (force)`);
      if (leaked.length > 0) throw new Error(`connections to the test database were leaked: ${leaked.join("; ")}`);
    },
  };
}

async function askForCluster(path: string): Promise<TestCluster> {
  const answer = JSON.parse(await text(createConnection(path))) as { cluster: TestCluster } | { error: string };
  if ("error" in answer) throw new Error(`the test Postgres did not start: ${answer.error}`);
  return answer.cluster;
}

/** Who is still connected after a moment's patience, with the last statement of each. */
async function connectionsLeft(connectionString: string, name: string): Promise<string[]> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  let left: string[] = [];
  try {
    await until(
      async () => {
        const { rows } = await client.query<{ who: string }>(
          "select application_name || ': ' || left(query, 80) as who from pg_stat_activity where datname = $1 and backend_type = 'client backend'",
          [name],
        );
        left = rows.map(({ who }) => who);
        return left.length === 0;
      },
      { timeoutMs: LINGER_MS },
    ).catch((error: unknown) => {
      if (left.length === 0) throw error;
    });
    return left;
  } finally {
    await client.end();
  }
}
