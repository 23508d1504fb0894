import { createId } from "@sandbox0/protocol";
import { createTestDatabase, type TestDatabase, until } from "@sandbox0/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { newEvent } from "../domain/lifecycle-events.ts";
import { createNotifier, type Notifier } from "../store/notify.ts";
import { createPool, type Database } from "../store/pool.ts";
import { deleteSessionRow, insertSession } from "../store/sessions.ts";
import { createBells, type LivePreview } from "./bells.ts";
import { createEventLog } from "./event-log.ts";
import { createFollower, type Follower, type LogFrame, type Subscription } from "./follow.ts";

let database: TestDatabase;
let db: Database;
/** Two processes on one database: one writes, both follow. */
let here: Notifier;
let there: Notifier;
const followers: Follower[] = [];
const threadId = "sthr_1";

beforeAll(async () => {
  database = await createTestDatabase();
  db = createPool({ connectionString: database.connectionString, max: 8 });
  await db.query("insert into workspaces (id, name) values ('wrkspc_1', 'test')");
  await db.query(
    "insert into environments (id, workspace_id, name, config, created_at, updated_at) values ('env_1', 'wrkspc_1', 'e', '{}', now(), now())",
  );
  here = createNotifier({ connectionString: database.connectionString, onError: rethrow });
  there = createNotifier({ connectionString: database.connectionString, onError: rethrow });
  await Promise.all([here.ready, there.ready]);
});
afterAll(async () => {
  for (const follower of followers) follower.close();
  await Promise.all([here.close(), there.close()]);
  await db.close();
  await database.drop();
});

function rethrow(error: unknown): never {
  throw error;
}
function follower(notifier: Notifier): Follower {
  const made = createFollower(db, createBells(notifier), rethrow);
  followers.push(made);
  return made;
}

async function newSession(): Promise<string> {
  const id = createId("session");
  const agent = { agentId: "agent_1", agentVersion: 1, agent: { name: "a" }, environmentId: "env_1", harness: "sandpi" };
  await insertSession(db, {
    id,
    workspaceId: "wrkspc_1",
    threadId,
    ...agent,
    title: null,
    metadata: {},
    vaultIds: [],
    createdAt: new Date(),
  });
  return id;
}

/** A reader of a stream; `room` frames fit its socket. */
class Reader {
  readonly frames: LogFrame[] = [];
  readonly previews: LivePreview[] = [];
  ended: string | null = null;
  room = Number.POSITIVE_INFINITY;
  subscription!: Subscription;
  get seqs(): number[] {
    return this.frames.map((frame) => frame.seq);
  }
  async open(from: Follower, sessionId: string): Promise<this> {
    const subscription = await from.follow(sessionId, {
      events: (frames) => {
        this.frames.push(...frames);
        return this.frames.length < this.room;
      },
      preview: (preview) => this.previews.push(preview),
      end: (reason) => {
        this.ended = reason;
      },
    });
    if (!subscription) throw new Error("no such session");
    this.subscription = subscription;
    return this;
  }
}

const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

test("every reader gets every event after its opening, once and in order, in both processes", async () => {
  const sessionId = await newSession();
  const log = createEventLog(db, createBells(here));
  const write = (count: number) =>
    Promise.all(
      numbers(1, count).map((i) =>
        log.append({
          sessionId,
          threadId,
          generation: null,
          events: [newEvent("agent.message", { i }), newEvent("agent.thinking", {})],
        }),
      ),
    );
  const [near, far] = [follower(here), follower(there)];
  const early = await Promise.all([
    new Reader().open(near, sessionId),
    new Reader().open(near, sessionId),
    new Reader().open(far, sessionId),
  ]);
  await write(20);
  const late = await new Reader().open(near, sessionId);
  await write(30);
  await until(() => [...early, late].every((reader) => reader.seqs.at(-1) === 100), {
    describe: () => `got ${early.map((r) => r.seqs.length)}`,
  });
  for (const reader of early) expect(reader.seqs).toEqual(numbers(1, 100));
  expect(late.seqs).toEqual(numbers(41, 100));
  expect(near.size()).toBe(3);
  for (const reader of [...early, late]) reader.subscription.close();
  expect(near.size()).toBe(0);
});

test("a full socket gets nothing more until it drains, then goes on from the log", async () => {
  const sessionId = await newSession();
  const log = createEventLog(db, createBells(here));
  const reader = new Reader();
  reader.room = 5;
  await reader.open(follower(here), sessionId);
  for (let i = 0; i < 40; i++)
    await log.append({ sessionId, threadId, generation: null, events: [newEvent("agent.message", { i })] });
  await until(() => reader.seqs.length >= 5);
  const stalledAt = reader.seqs.length;
  createBells(here).preview(sessionId, { type: "start", eventType: "agent.message", eventId: "x" });
  await log.append({ sessionId, threadId, generation: null, events: [newEvent("agent.message", {})] });
  reader.room = Number.POSITIVE_INFINITY;
  reader.subscription.resume();
  await until(() => reader.seqs.at(-1) === 41);
  expect(reader.seqs).toEqual(numbers(1, 41));
  expect(stalledAt).toBeLessThan(41);
  expect(reader.previews).toEqual([]);
  await log.append({ sessionId, threadId, generation: null, events: [newEvent("agent.message", {})] });
  await until(() => reader.seqs.at(-1) === 42);
});

test("without a single hint everything still arrives", async () => {
  const sessionId = await newSession();
  const reader = await new Reader().open(follower(here), sessionId);
  const silent = createEventLog(
    db,
    createBells({ ...here, publish: () => undefined, subscribe: () => () => undefined, onReconnect: () => () => undefined }),
  );
  await silent.append({ sessionId, threadId, generation: null, events: [newEvent("agent.message", {})] });
  await until(() => reader.seqs.length === 1, { timeoutMs: 30_000 });
});

test("previews reach both processes in pieces that join to the text", async () => {
  const sessionId = await newSession();
  const readers = [await new Reader().open(follower(here), sessionId), await new Reader().open(follower(there), sessionId)];
  const text = "ü€\u0001".repeat(2_000);
  createBells(here).preview(sessionId, { type: "text", eventId: "e", index: 0, offset: 0, text });
  const joined = (reader: Reader) => reader.previews.map((preview) => (preview.type === "text" ? preview.text : "")).join("");
  await until(() => readers.every((reader) => joined(reader).length === text.length));
  for (const reader of readers) expect(joined(reader)).toBe(text);
});

test("a deleted session says so and ends its streams; an unknown one is null", async () => {
  const sessionId = await newSession();
  const readers = [await new Reader().open(follower(here), sessionId), await new Reader().open(follower(there), sessionId)];
  await db.transaction((tx) => deleteSessionRow(tx, sessionId, null));
  createBells(here).deleted(sessionId);
  await until(() => readers.every((reader) => reader.ended === "deleted"));
  for (const reader of readers) expect(reader.frames.map((frame) => frame.type)).toEqual(["session.deleted"]);
  expect(
    await follower(here).follow(sessionId, { events: () => true, preview: () => undefined, end: () => undefined }),
  ).toBeNull();
});
