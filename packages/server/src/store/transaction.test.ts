import { Socket } from "node:net";
import { createTestDatabase, type TestDatabase } from "@sandbox0/testkit";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { inTransaction } from "./transaction.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

async function connectOver(socket: Socket): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: database.connectionString, pipeline: true, stream: () => socket });
  client.on("error", () => undefined);
  await client.connect();
  return client;
}

test("lost before `begin` was answered, with the commit on its way: the outcome is unknown", async () => {
  const socket = new Socket();
  const client = await connectOver(socket);
  const lost = inTransaction(client, (tx) => {
    const answer = tx.last("select 1");
    socket.destroy();
    return answer;
  });
  await expect(lost).rejects.toMatchObject({ reason: "connection", outcomeUnknown: true });
});

test("lost before the commit was sent: nothing was done", async () => {
  const socket = new Socket();
  const client = await connectOver(socket);
  const lost = inTransaction(client, (tx) => {
    const answer = tx.query("select 1");
    socket.destroy();
    return answer;
  });
  await expect(lost).rejects.toMatchObject({ reason: "connection", outcomeUnknown: false });
});
