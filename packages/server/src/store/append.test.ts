import { createId } from "@sandbox0/protocol";
import { createTestDatabase, type TestDatabase } from "@sandbox0/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { newEvent, resultEvent } from "../domain/lifecycle-events.ts";
import { LeaseLost, writeSession } from "./append.ts";
import { eventJson, readEventsAfter } from "./events.ts";
import { claimLease, expireLeasesOfDead, readDue, renewLeases } from "./leases.ts";
import { insertModelRequests, type NewModelRequest } from "./model-requests.ts";
import { createPool, type Database } from "./pool.ts";
import { lockHead, readPending } from "./session-state.ts";
import { deleteSessionRow, insertSession } from "./sessions.ts";

let database: TestDatabase;
let db: Database;

beforeAll(async () => {
  database = await createTestDatabase();
  db = createPool({ connectionString: database.connectionString, max: 16 });
  await db.query("insert into workspaces (id, name) values ('wrkspc_1', 'test')");
  await db.query(
    "insert into environments (id, workspace_id, name, config, created_at, updated_at) values ('env_1', 'wrkspc_1', 'e', '{}', now(), now())",
  );
});
afterAll(async () => {
  await db.close();
  await database.drop();
});

const threadId = "sthr_1";

async function newSession(): Promise<string> {
  const id = createId("session");
  await insertSession(db, {
    id,
    workspaceId: "wrkspc_1",
    threadId,
    agentId: "agent_1",
    agentVersion: 1,
    agent: { name: "a" },
    environmentId: "env_1",
    harness: "sandpi",
    title: null,
    metadata: {},
    vaultIds: [],
    createdAt: new Date(),
  });
  return id;
}
const modelRequest = (sessionId: string): NewModelRequest => ({
  key: crypto.randomUUID(),
  sessionId,
  model: "m",
  at: new Date(),
  status: 200,
  firstTokenMs: 1,
  totalMs: 2,
  inputTokens: 1,
  outputTokens: 1,
  cacheReadTokens: 0,
  cacheWriteTokens: 0,
});
const message = (text: string) => newEvent("agent.message", { content: [{ type: "text", text }] });

test("concurrent writers get a dense seq in commit order, and times never go back", async () => {
  const sessionId = await newSession();
  await Promise.all(
    Array.from({ length: 50 }, (_, i) =>
      writeSession(db, { sessionId, threadId, generation: null, events: [message(`a${i}`), message(`b${i}`)] }),
    ),
  );
  const events = await readEventsAfter(db, sessionId, 0, { rows: 1000, bytes: 1e9 });
  expect(events.map((event) => event.seq)).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
  const times = events.map((event) => event.processedAt.getTime());
  expect(times).toEqual([...times].sort((a, b) => a - b));
});

test("counts the web searches that have an answer, also when the call comes with it", async () => {
  const sessionId = await newSession();
  const callNamed = (name: string, kind: "builtin" | "custom" = "builtin") => {
    const made = { id: createId("event"), resultId: createId("event"), input: {}, permission: "allow" as const };
    return { ...made, kind, name, started: true, finished: false };
  };
  const [one, failed, other, custom] = [
    callNamed("web_search"),
    callNamed("web_search"),
    callNamed("bash"),
    callNamed("web_search", "custom"),
  ];
  const write = { sessionId, threadId, generation: null };
  await writeSession(db, { ...write, calls: [one, failed, other, custom] });
  const results = [one, other, custom].map((call) => resultEvent(call, [], false));
  await writeSession(db, { ...write, events: [...results, resultEvent(failed, [], true)], finishedCalls: [one.id, failed.id] });
  const whole = { ...callNamed("web_search"), finished: true };
  await writeSession(db, { ...write, calls: [whole], events: [resultEvent(whole, [], false)] });
  expect((await lockHead(db, sessionId, null))?.usage.webSearches).toBe(2);
});

test("any text survives, NUL and line breaks included", async () => {
  const sessionId = await newSession();
  const text = 'a\u0000b\n\r\u2028"\\ \ud83d\ude00';
  const event = message(text);
  await writeSession(db, { sessionId, threadId, generation: null, events: [event] });
  const [stored] = await readEventsAfter(db, sessionId, 0, { rows: 1, bytes: 1e9 });
  if (!stored) throw new Error("nothing stored");
  const json = eventJson(stored);
  expect(json).not.toContain("\n");
  expect(JSON.parse(json)).toEqual({
    id: event.id,
    processed_at: stored.processedAt.toISOString(),
    type: "agent.message",
    content: [{ type: "text", text }],
  });
});

const call = {
  id: "c1",
  kind: "builtin",
  name: "bash",
  input: { command: "x" },
  permission: "allow",
  resultId: "r1",
  started: true,
  finished: false,
} as const;

test("everything one write does is there or nothing of it", async () => {
  const sessionId = await newSession();
  const start = newEvent("span.model_request_start", {});
  const end = newEvent("span.model_request_end", { model_request_start_id: start.id });
  const usage = { inputTokens: 1, outputTokens: 2, cacheReadTokens: 3, cacheWriteTokens: 4 };
  await writeSession(db, { sessionId, threadId, generation: null, events: [start], spanStart: { id: start.id, model: "m" } });
  expect(await readPending(db, sessionId, [], null)).toMatchObject({ openSpans: [start.id], calls: [], inbox: [] });
  await writeSession(db, {
    sessionId,
    threadId,
    generation: null,
    events: [message("x"), end],
    native: { index: 1, value: { raw: true } },
    calls: [call, { ...call, id: "c2", resultId: "r2", permission: "ask", started: false }],
    spanEnds: [{ id: start.id, failed: false, firstTokenMs: 1, totalMs: 2, ...usage }],
    enqueue: [{ id: "m1", type: "user.message", fields: { content: [] } }],
    patch: { status: "running", addUsage: { ...usage, costUsd: null }, wake: "now", turnPending: true },
  });
  expect(await readPending(db, sessionId, [], null)).toMatchObject({
    agentName: "a",
    archived: false,
    calls: [
      { id: "c1", started: true },
      { id: "c2", started: false, permission: "ask" },
    ],
    inbox: [{ position: 1, id: "m1", type: "user.message", fields: { content: [] } }],
    openSpans: [],
  });
  const native = await db.query("select seq, native from harness_records where session_id = $1", [sessionId]);
  expect(native.rows).toEqual([{ seq: 3, native: { raw: true } }]);
  await writeSession(db, {
    sessionId,
    threadId,
    generation: null,
    takenInputs: [1],
    finishedCalls: ["c1"],
    answers: [{ callId: "c2", answerId: "a2", answer: { deny_message: "no" }, confirmed: "deny", finishes: false }],
    patch: { status: "idle", stopReason: { type: "end_turn" } },
  });
  expect(await readPending(db, sessionId, [], null)).toMatchObject({
    calls: [{ id: "c2", confirmed: "deny", denyMessage: "no", answerId: "a2" }],
    inbox: [],
  });
  expect((await readPending(db, sessionId, ["c1"], null))?.calls).toMatchObject([{ id: "c1", finished: true }, { id: "c2" }]);
  const head = await db.transaction((tx) => lockHead(tx, sessionId, null));
  expect(head).toMatchObject({
    seq: 3,
    status: "idle",
    inboxCount: 0,
    inboxPosition: 1,
    runningSince: null,
    usage: { inputTokens: 1, cacheWriteTokens: 4 },
  });
});

test("a lease is taken once, fences the holder before it, and ends with its node", async () => {
  const sessionId = await newSession();
  await writeSession(db, { sessionId, threadId, generation: null, patch: { turnPending: true, wake: "now" } });
  expect(await readDue(db, 10)).toContain(sessionId);
  const claims = await Promise.all([1, 2, 3, 4].map((node) => db.transaction((tx) => claimLease(tx, sessionId, node, 60_000))));
  const winners = claims.filter((claim) => claim !== null);
  expect(winners).toHaveLength(1);
  const [first] = winners;
  if (!first?.leaseOwner) throw new Error("nobody holds the lease");
  // A client's wake leaves the holder alone.
  await writeSession(db, { sessionId, threadId, generation: null, patch: { wake: "now" } });
  expect(await readDue(db, 10)).not.toContain(sessionId);
  expect(await renewLeases(db, first.leaseOwner, [sessionId], 60_000)).toEqual([
    { sessionId, generation: first.leaseGeneration, interrupted: false, inboxPosition: 0 },
  ]);

  await expireLeasesOfDead(db, [first.leaseOwner]);
  expect(await readDue(db, 10)).not.toContain(sessionId);
  await expireLeasesOfDead(db, [99]);
  expect(await readDue(db, 10)).toContain(sessionId);
  const second = await db.transaction((tx) => claimLease(tx, sessionId, 99, 60_000));
  expect(second?.leaseGeneration).toBe(first.leaseGeneration + 1);
  await expect(
    writeSession(db, { sessionId, threadId, generation: first.leaseGeneration, events: [message("late")] }),
  ).rejects.toThrow(LeaseLost);
  expect(await readEventsAfter(db, sessionId, 0, { rows: 10, bytes: 1e9 })).toEqual([]);
});

test("a deleted session leaves nothing behind", async () => {
  const sessionId = await newSession();
  await writeSession(db, {
    sessionId,
    threadId,
    generation: null,
    events: [message("x")],
    native: { index: 0, value: 1 },
    calls: [call],
    spanStart: { id: "s", model: "m" },
    enqueue: [{ id: "i", type: "user.message", fields: {} }],
  });
  await insertModelRequests(db, [modelRequest(sessionId)]);
  await db.query(
    `insert into files (id, workspace_id, session_id, filename, mime_type, size_bytes, downloadable, created_at)
     values ('file_1', 'wrkspc_1', $1, 'f', 'text/plain', 0, true, now())`,
    [sessionId],
  );
  // Where a foreign key says it, the database does it. Kept are: what a session sent out, until it ages (an audit that the
  // audited could delete would be none), and checkpoints, which go with the last that refers to them.
  const { rows } = await db.query<{ name: string }>(
    `select table_name as name from information_schema.columns c
     where column_name = 'session_id' and table_name not in ('egress_audit', 'volume_checkpoints') and not exists (
       select from pg_constraint k where k.conrelid = table_name::regclass and k.confrelid = 'sessions'::regclass
         and k.confdeltype = 'c')`,
  );
  expect(rows.map(({ name }) => name)).toContain("events");
  const left = async () => {
    const counts = await Promise.all(
      rows.map(({ name }) => db.query<{ n: number }>(`select count(*) as n from ${name} where session_id = $1`, [sessionId])),
    );
    return rows.flatMap(({ name }, index) => (counts[index]?.rows[0]?.n === 0 ? [] : [name]));
  };
  expect((await left()).length).toBe(rows.length);
  await db.transaction((tx) => deleteSessionRow(tx, sessionId));
  expect(await left()).toEqual([]);
});
