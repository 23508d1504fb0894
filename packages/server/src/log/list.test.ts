import { createId } from "@sandbox0/protocol";
import { createTestDatabase, type TestDatabase } from "@sandbox0/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { newEvent, promoted } from "../domain/lifecycle-events.ts";
import { writeSession } from "../store/append.ts";
import { createPool, type Database } from "../store/pool.ts";
import type { Queryable } from "../store/query.ts";
import { readPending } from "../store/session-state.ts";
import { insertSession } from "../store/sessions.ts";
import { listSessionEvents } from "./list.ts";

let database: TestDatabase;
let db: Database;
const threadId = "sthr_1";

beforeAll(async () => {
  database = await createTestDatabase();
  db = createPool({ connectionString: database.connectionString, max: 4 });
  await db.query("insert into workspaces (id, name) values ('wrkspc_1', 'test')");
  await db.query(
    "insert into environments (id, workspace_id, name, config, created_at, updated_at) values ('env_1', 'wrkspc_1', 'e', '{}', now(), now())",
  );
});
afterAll(async () => {
  await db.close();
  await database.drop();
});

async function newSession(): Promise<string> {
  const id = createId("session");
  const agent = { agentId: "agent_1", agentVersion: 1, agent: { name: "a" }, environmentId: "env_1", harness: "sandpi" };
  const rest = { title: null, metadata: {}, vaultIds: [], createdAt: new Date() };
  await insertSession(db, { id, workspaceId: "wrkspc_1", threadId, ...agent, ...rest });
  return id;
}

/** Takes everything up that waits, as a turn does. */
async function promote(sessionId: string): Promise<void> {
  const inbox = (await readPending(db, sessionId, [], null))?.inbox ?? [];
  await writeSession(db, {
    sessionId,
    threadId,
    generation: null,
    events: inbox.map(promoted),
    takenInputs: inbox.map((row) => row.position),
  });
}

function before(index: number, act: () => Promise<void>): Queryable {
  let count = 0;
  return {
    async query(...args) {
      if (++count === index) await act();
      return db.query(...args);
    },
  };
}

test.each(["asc", "desc"] as const)("an input that is taken up while a page is read (%s) is on it once", async (order) => {
  for (const index of [1, 2, 3]) {
    const sessionId = await newSession();
    await writeSession(db, { sessionId, threadId, generation: null, events: [newEvent("session.updated", {})] });
    const input = { id: createId("event"), type: "user.message", fields: { content: [] } };
    await writeSession(db, { sessionId, threadId, generation: null, enqueue: [input] });
    const { data, next_page } = await listSessionEvents(
      before(index, () => promote(sessionId)),
      sessionId,
      { order },
    );
    const types = data.map((json) => (JSON.parse(json) as { type: string }).type);
    expect([index, types.toSorted()]).toEqual([index, ["session.updated", "user.message"]]);
    expect(next_page).toBeNull();
  }
});

test.each(["asc", "desc"] as const)("pages of one (%s) show the log and what waits, each once", async (order) => {
  const sessionId = await newSession();
  for (let i = 0; i < 2; i++)
    await writeSession(db, { sessionId, threadId, generation: null, events: [newEvent("session.updated", { title: `${i}` })] });
  for (let i = 0; i < 2; i++) {
    const input = { id: createId("event"), type: "user.message", fields: { content: [{ type: "text", text: `${i}` }] } };
    await writeSession(db, { sessionId, threadId, generation: null, enqueue: [input] });
  }
  const shown: string[] = [];
  let page: string | undefined;
  do {
    const listed = await listSessionEvents(db, sessionId, { order, limit: 1, ...(page === undefined ? {} : { page }) });
    expect(listed.data).toHaveLength(1);
    const event = JSON.parse(listed.data[0] ?? "") as { title?: string; content?: { text: string }[] };
    shown.push(event.title ?? `message ${event.content?.[0]?.text}`);
    page = listed.next_page ?? undefined;
  } while (page !== undefined);
  const all = ["0", "1", "message 0", "message 1"];
  expect(shown).toEqual(order === "asc" ? all : all.toReversed());
});

test.each(["asc", "desc"] as const)("a page (%s) of large events is short, and the next one goes on", async (order) => {
  const sessionId = await newSession();
  const large = "x".repeat(5 * 1024 * 1024);
  for (let i = 0; i < 6; i++)
    await writeSession(db, { sessionId, threadId, generation: null, events: [newEvent("agent.message", { i, large })] });
  const pages: number[][] = [];
  let page: string | undefined;
  do {
    const listed = await listSessionEvents(db, sessionId, { order, ...(page === undefined ? {} : { page }) });
    pages.push(listed.data.map((json) => (JSON.parse(json) as { i: number }).i));
    page = listed.next_page ?? undefined;
  } while (page !== undefined);
  const all = [0, 1, 2, 3, 4, 5];
  expect(pages.flat()).toEqual(order === "asc" ? all : all.toReversed());
  expect(pages.map((each) => each.length)).toEqual([4, 2]);
});
