import { afterAll, expect, test } from "vitest";
import pg from "pg";
import { createTestDatabase } from "./database.ts";

const clients: pg.Client[] = [];
afterAll(async () => {
  await Promise.all(clients.map((client) => client.end()));
});

async function connect(connectionString: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString });
  // `drop` ends the connections it finds.
  client.on("error", () => undefined);
  await client.connect();
  clients.push(client);
  return client;
}

test("each database is migrated, empty and its own", async () => {
  const [first, second] = await Promise.all([createTestDatabase(), createTestDatabase()]);
  const one = await connect(first.connectionString);
  const other = await connect(second.connectionString);
  await one.query("insert into workspaces (id, name) values ('wrk_1', 'here')");
  expect((await one.query("select name from workspaces")).rows).toEqual([{ name: "here" }]);
  expect((await other.query("select name from workspaces")).rows).toEqual([]);
  await Promise.all([one.end(), other.end()]);
  clients.length = 0;
  await first.drop();
  await second.drop();
  await expect(connect(first.connectionString)).rejects.toThrow(/does not exist/);
});

test("a connection that was not closed fails the drop, and the database is gone all the same", async () => {
  const database = await createTestDatabase();
  const client = await connect(database.connectionString);
  await client.query("select 'left open'");
  await expect(database.drop()).rejects.toThrow(/leaked.*left open/);
  await expect(connect(database.connectionString)).rejects.toThrow(/does not exist/);
});
