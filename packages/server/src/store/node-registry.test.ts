import { createTestDatabase, type TestDatabase, until } from "@sandbox0/testkit";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { type NodeRegistry, registerNode } from "./node-registry.ts";
import { createPool, type Database } from "./pool.ts";

let database: TestDatabase;
let db: Database;
const open: NodeRegistry[] = [];
beforeAll(async () => {
  database = await createTestDatabase();
  db = createPool({ connectionString: database.connectionString, max: 2 });
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((node) => node.close()));
});
afterAll(async () => {
  await db.close();
  await database.drop();
});

async function register(name: string, onLost?: () => void): Promise<NodeRegistry> {
  const node = await registerNode({
    connectionString: database.connectionString,
    name,
    roles: ["api", "worker"],
    onError: () => undefined,
    ...(onLost && { onLost }),
  });
  open.push(node);
  return node;
}

async function killConnections(): Promise<void> {
  await db.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'sandbox0 node' and datname = current_database()",
  );
}

test("nodes see each other while they live", async () => {
  const [one, two] = await Promise.all([register("one"), register("two")]);
  expect(one.id()).not.toBe(two.id());
  const both = [one.id(), two.id()].sort();
  expect((await one.aliveNodes()).sort()).toEqual(both);
  expect((await two.aliveNodes()).sort()).toEqual(both);
  const { rows } = await db.query("select name, roles from nodes where id = $1", [one.id()]);
  expect(rows).toEqual([{ name: "one", roles: "api,worker" }]);
  await two.close();
  await until(async () => (await one.aliveNodes()).length === 1);
});

test("another database's nodes are not ours", async () => {
  const other = await createTestDatabase();
  const stranger = await registerNode({
    connectionString: other.connectionString,
    name: "x",
    roles: ["api"],
    onError: () => undefined,
  });
  const one = await register("one");
  // Those of the test before count until Postgres has seen them go.
  await until(async () => (await one.aliveNodes()).join() === String(one.id()));
  await stranger.close();
  await other.drop();
});

test("after a lost connection a node is itself again", async () => {
  let lost = 0;
  const one = await register("one", () => {
    lost += 1;
  });
  const two = await register("two");
  const id = one.id();
  await killConnections();
  await until(() => lost === 1);
  await until(() => one.held() && two.held());
  expect(one.id()).toBe(id);
  await until(async () => (await two.aliveNodes()).includes(id));
  const { rows } = await db.query("select id from nodes where id = $1", [id]);
  expect(rows).toHaveLength(1);
  await one.close();
  expect(lost, "to close is not to lose").toBe(1);
});

test("while an old connection still holds the lock, the node waits for it and is not held", async () => {
  const errors: unknown[] = [];
  const one = await registerNode({
    connectionString: database.connectionString,
    name: "one",
    roles: ["api"],
    onError: (error) => errors.push(error),
  });
  open.push(one);
  const refused = () =>
    errors.some((error) => error instanceof Error && error.message.includes("still held by its old connection"));
  await db.withClient(async (client) => {
    const waiting = client.query("select pg_advisory_lock(723901643, $1)", [one.id()]);
    const queued = `select from pg_locks where locktype = 'advisory' and not granted and objid = $1
      and database = (select oid from pg_database where datname = current_database())`;
    await until(async () => (await db.query(queued, [one.id()])).rows.length === 1);
    await killConnections();
    await waiting;
    await until(refused);
    expect(one.held()).toBe(false);
    await expect(one.aliveNodes()).rejects.toMatchObject({ code: "database_unavailable" });
    await client.query("select pg_advisory_unlock(723901643, $1)", [one.id()]);
  });
  await until(() => one.held());
  expect(await one.aliveNodes()).toContain(one.id());
});

test("old rows of dead nodes go away when a node registers", async () => {
  await db.query(
    "insert into nodes (name, roles, started_at) values ('ancient', 'api', now() - interval '30 days'), ('recent', 'api', now())",
  );
  await register("new");
  const { rows } = await db.query<{ name: string }>("select name from nodes where name in ('ancient', 'recent')");
  expect(rows).toEqual([{ name: "recent" }]);
});
