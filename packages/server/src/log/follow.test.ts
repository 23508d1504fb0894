import { createId } from "@sandbox0/protocol";
import { createTestDatabase, type TestDatabase, until } from "@sandbox0/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { newEvent } from "../domain/lifecycle-events.ts";
import { createNotifier, type Notifier } from "../store/notify.ts";
import { createPool, type Database } from "../store/pool.ts";
import type { Queryable } from "../store/query.ts";
import { deleteSessionRow, insertSession } from "../store/sessions.ts";
import { Troubles } from "../store/troubles.fixture.ts";
import { createBells, type LivePreview } from "./bells.ts";
import { createEventLog, type EventLog } from "./event-log.ts";
import { createFollower, type Follower, type LogFrame, type Subscription } from "./follow.ts";
import { FreshEvents } from "./fresh-events.ts";

let database: TestDatabase;
let db: Database;
/** Two processes on one database: one writes, both follow. */
let here: Notifier;
let there: Notifier;
const followers: Follower[] = [];
const troubles = new Troubles();
const threadId = "sthr_1";

beforeAll(async () => {
  database = await createTestDatabase();
  db = createPool({ connectionString: database.connectionString, max: 8 });
  await db.query("insert into workspaces (id, name) values ('wrkspc_1', 'test')");
  await db.query(
    "insert into environments (id, workspace_id, name, config, created_at, updated_at) values ('env_1', 'wrkspc_1', 'e', '{}', now(), now())",
  );
  here = createNotifier({ connectionString: database.connectionString, onError: troubles.add });
  there = createNotifier({ connectionString: database.connectionString, onError: troubles.add });
  await Promise.all([here.ready, there.ready]);
});
afterAll(async () => {
  for (const follower of followers) follower.close();
  await Promise.all([here.close(), there.close()]);
  await db.close();
  await database.drop();
  troubles.check();
});

function follower(notifier: Notifier, fresh?: FreshEvents): Follower {
  const made = createFollower(db, createBells(notifier), troubles.add, fresh);
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

/** Carries out the next statement of this name at once and keeps its answer back until `release`. */
class LateAnswers implements Queryable {
  private late: { name: string; arrived: () => void; released: Promise<void> } | null = null;

  hold(name: string): { arrived: Promise<void>; release: () => void } {
    const arrived = Promise.withResolvers<void>();
    const released = Promise.withResolvers<void>();
    this.late = { name, arrived: arrived.resolve, released: released.promise };
    return { arrived: arrived.promise, release: released.resolve };
  }

  async query<Row extends object>(...args: Parameters<Queryable["query"]>) {
    const { late } = this;
    const held = late?.name === args[2] ? late : null;
    if (held) this.late = null;
    const answer = await db.query<Row>(...args);
    held?.arrived();
    await held?.released;
    return answer;
  }
}

const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

test("every reader gets every event after its opening, once and in order, in both processes", async () => {
  const sessionId = await newSession();
  const fresh = new FreshEvents();
  const log = createEventLog(db, createBells(here), fresh);
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
  const [near, far] = [follower(here, fresh), follower(there)];
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

test("what this process writes is not read again, unless another has written in between", async () => {
  const sessionId = await newSession();
  const [bells, fresh] = [createBells(here), new FreshEvents()];
  const append = (log: EventLog, count: number) =>
    log.append({
      sessionId,
      threadId,
      generation: null,
      events: numbers(1, count).map((i) => newEvent("agent.message", { content: [{ type: "text", text: `\u0000 é ${i}` }] })),
    });
  const [own, others] = [createEventLog(db, bells, fresh), createEventLog(db, createBells(there))];
  let reads = 0;
  const counting: Queryable = {
    query<Row extends object>(...args: Parameters<Queryable["query"]>) {
      // Its sweep may find what was written before the writer has told of it.
      if (args[2] === "read_seqs") return new Promise(() => undefined);
      if (args[2] === "read_events_after") reads += 1;
      return db.query<Row>(...args);
    },
  };
  const near = createFollower(counting, bells, troubles.add, fresh);
  followers.push(near);
  const [reader, far] = [await new Reader().open(near, sessionId), await new Reader().open(follower(there), sessionId)];
  for (const count of [1, 2, 3]) await append(own, count);
  await until(() => reader.seqs.length === 6);
  expect(reads).toBe(0);
  await append(others, 2);
  await append(own, 1);
  await until(() => reader.seqs.length === 9 && far.seqs.length === 9);
  expect(reader.seqs).toEqual(numbers(1, 9));
  expect(reader.frames.map(({ json }) => json)).toEqual(far.frames.map(({ json }) => json));
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
  const bells = createBells(here);
  // What comes before the other process listens is lost, as previews may be.
  await until(() => {
    bells.preview(sessionId, { type: "start", eventType: "agent.message", eventId: "e" });
    return readers.every(({ previews }) => previews.length > 0);
  });
  bells.preview(sessionId, { type: "text", eventId: "e", index: 0, offset: 0, text });
  const joined = (reader: Reader) => reader.previews.map((preview) => (preview.type === "text" ? preview.text : "")).join("");
  await until(() => readers.every((reader) => joined(reader).length === text.length));
  for (const reader of readers) expect(joined(reader)).toBe(text);
});

test("a preview comes behind the events that were logged before it, and before those logged after it", async () => {
  const sessionId = await newSession();
  const bells = createBells(here);
  const log = createEventLog(db, bells);
  const append = (type: string) => log.append({ sessionId, threadId, generation: null, events: [newEvent(type, {})] });
  const answers = new LateAnswers();
  const from = createFollower(answers, bells, troubles.add);
  followers.push(from);
  const seen: string[] = [];
  const subscription = await from.follow(sessionId, {
    events: (frames) => seen.push(...frames.map((frame) => frame.type)) > 0,
    preview: (preview) => seen.push(preview.type === "text" ? preview.text : preview.type),
    end: () => undefined,
  });
  const look = answers.hold("read_events_after");
  await append("session.status_running");
  await look.arrived;
  await append("span.model_request_start");
  bells.preview(sessionId, { type: "start", eventType: "agent.message", eventId: "e" });
  bells.preview(sessionId, { type: "text", eventId: "e", index: 0, offset: 0, text: "a" });
  await append("agent.message");
  look.release();
  await until(() => seen.includes("agent.message"));
  bells.preview(sessionId, { type: "start", eventType: "agent.message", eventId: "f" });
  await until(() => seen.length === 6);
  expect(seen).toEqual(["session.status_running", "span.model_request_start", "start", "a", "agent.message", "start"]);
  subscription?.close();
});

test("a deleted session says so and ends its streams; an unknown one is null", async () => {
  const sessionId = await newSession();
  const readers = [await new Reader().open(follower(here), sessionId), await new Reader().open(follower(there), sessionId)];
  await db.transaction((tx) => deleteSessionRow(tx, sessionId));
  createBells(here).deleted(sessionId);
  await until(() => readers.every((reader) => reader.ended === "deleted"));
  for (const reader of readers) expect(reader.frames.map((frame) => frame.type)).toEqual(["session.deleted"]);
  expect(
    await follower(here).follow(sessionId, { events: () => true, preview: () => undefined, end: () => undefined }),
  ).toBeNull();
});

test("a reader that catches up misses nothing that the others were handed meanwhile", async () => {
  const sessionId = await newSession();
  const bells = createBells(here);
  const log = createEventLog(db, bells);
  const append = () => log.append({ sessionId, threadId, generation: null, events: [newEvent("agent.message", {})] });
  const answers = new LateAnswers();
  const from = createFollower(answers, bells, troubles.add);
  followers.push(from);
  const live = await new Reader().open(from, sessionId);
  const slow = new Reader();
  slow.room = 1;
  await slow.open(from, sessionId);
  await append();
  await until(() => live.seqs.length === 1 && slow.seqs.length === 1);

  const look = answers.hold("read_events_after");
  slow.room = Number.POSITIVE_INFINITY;
  slow.subscription.resume();
  await look.arrived;
  await append();
  await until(() => live.seqs.length === 2);
  look.release();
  await append();
  await until(() => slow.seqs.at(-1) === 3);
  expect(slow.seqs).toEqual([1, 2, 3]);
});

test("a stream that opens while the sweep is under way is not taken for one of a deleted session", async () => {
  const [known, fresh] = [await newSession(), await newSession()];
  const bells = createBells(here);
  let sweep: () => void = () => undefined;
  const answers = new LateAnswers();
  const onReconnect = (fn: () => void) => {
    sweep = fn;
    return () => undefined;
  };
  const from = createFollower(answers, { ...bells, onReconnect }, troubles.add);
  followers.push(from);
  await new Reader().open(from, known);
  const look = answers.hold("read_seqs");
  sweep();
  await look.arrived;
  const reader = await new Reader().open(from, fresh);
  look.release();
  await createEventLog(db, bells).append({
    sessionId: fresh,
    threadId,
    generation: null,
    events: [newEvent("agent.message", {})],
  });
  await until(() => reader.frames.length > 0);
  expect(reader.frames.map((frame) => frame.type)).toEqual(["agent.message"]);
  expect(reader.ended).toBeNull();
});

test("a reader that opens while its session is deleted is told that there is none, and nothing else", async () => {
  const sessionId = await newSession();
  const bells = createBells(here);
  const answers = new LateAnswers();
  const from = createFollower(answers, bells, troubles.add);
  followers.push(from);
  const early = await new Reader().open(from, sessionId);
  await db.transaction((tx) => deleteSessionRow(tx, sessionId));
  const look = answers.hold("read_seq");
  const late = new Reader();
  const opening = late.open(from, sessionId);
  await look.arrived;
  bells.deleted(sessionId);
  await until(() => early.ended === "deleted");
  look.release();
  await expect(opening).rejects.toThrow("no such session");
  expect(late.ended).toBeNull();
});

test("a reader behind many large events gets them a few at a time", async () => {
  const sessionId = await newSession();
  const log = createEventLog(db, createBells(here));
  const large = "x".repeat(700_000);
  const append = () =>
    log.append({
      sessionId,
      threadId,
      generation: null,
      events: [1, 2, 3, 4].map((i) => newEvent("agent.message", { i, large })),
    });
  const from = follower(here);
  const reader = new Reader();
  reader.room = 1;
  await reader.open(from, sessionId);
  await append();
  await until(() => reader.frames.length > 0);
  expect(reader.frames.length).toBeLessThan(3);
  reader.room = Number.POSITIVE_INFINITY;
  reader.subscription.resume();
  await until(() => reader.seqs.at(-1) === 4);
  expect(reader.seqs).toEqual([1, 2, 3, 4]);
});
