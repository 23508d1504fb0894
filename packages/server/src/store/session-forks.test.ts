import { createId } from "@sandbox0/protocol";
import { createTestDatabase, type TestDatabase } from "@sandbox0/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { newEvent, totalsOf } from "../domain/lifecycle-events.ts";
import { writeSession } from "./append.ts";
import { listEvents, readEventById, readEventsAfter, readTranscript } from "./events.ts";
import { type LogPoint, readIdleFacts, readIdlePoint, readLogEnd } from "./log-points.ts";
import { createPool, type Database } from "./pool.ts";
import { insertFork, readUnsettledCalls, rewindCalls, rewindLog } from "./session-forks.ts";
import { readPending } from "./session-state.ts";
import { insertSession } from "./sessions.ts";

let database: TestDatabase;
let db: Database;
const MOST = { rows: 1000, bytes: 1e9 };

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

/** A session whose log has one event a name, each written by itself. */
async function sessionOf(names: string): Promise<string> {
  const id = createId("session");
  await insertSession(db, {
    id,
    workspaceId: "wrkspc_1",
    threadId: `thread ${id}`,
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
  await write(id, names);
  return id;
}
async function write(sessionId: string, names: string): Promise<void> {
  for (const name of names) {
    const event = newEvent(
      "user.message",
      { content: name, session_thread_id: `thread ${sessionId}` },
      `${name} of ${sessionId}`,
    );
    await writeSession(db, {
      sessionId,
      threadId: `thread ${sessionId}`,
      generation: null,
      events: [event],
      native: { index: 0, value: name },
    });
  }
}
async function rewind(sessionId: string, to: LogPoint): Promise<void> {
  const end = await readLogEnd(db, sessionId);
  await rewindLog(db, sessionId, to, end?.seq ?? 0);
  await rewindCalls(db, sessionId, to, []);
}
async function namesIn(sessionId: string): Promise<string> {
  const events = await readEventsAfter(db, sessionId, 0, MOST);
  return events.map(({ body }) => (JSON.parse(body) as { content: string }).content).join("");
}
async function endOf(sessionId: string): Promise<LogPoint> {
  const end = await readLogEnd(db, sessionId);
  if (end === null) throw new Error("no session");
  return end;
}
async function fork(sourceId: string, point: LogPoint, calls: Parameters<typeof insertFork>[1]["calls"] = []): Promise<string> {
  const id = createId("session");
  await insertFork(db, {
    sourceId,
    point,
    id,
    threadId: `thread ${id}`,
    sourceThreadId: `thread ${sourceId}`,
    title: undefined,
    metadata: undefined,
    stopReason: null,
    usage: totalsOf(null),
    calls,
    createdAt: new Date(),
  });
  return id;
}

test("what was taken back is on the log for good, and in no list, transcript or stream", async () => {
  const id = await sessionOf("abc");
  const at = await endOf(id);
  await write(id, "de");
  await rewind(id, at);
  expect(await namesIn(id)).toBe("abc");
  await write(id, "fg");
  expect(await namesIn(id)).toBe("abcfg");
  expect((await readEventsAfter(db, id, 3, MOST)).map(({ seq }) => seq)).toEqual([6, 7]);
  const { events } = await listEvents(db, id, { order: "desc", from: null, most: MOST }, {});
  expect(events.map(({ seq }) => seq)).toEqual([7, 6, 3, 2, 1]);
  expect((await readTranscript(db, id))?.map(({ native }) => native)).toEqual(["a", "b", "c", "f", "g"]);
  expect(await readEventById(db, id, `d of ${id}`)).toBeNull();
  const { rows } = await db.query("select count(*) as count, max(seq) as max from events where session_id = $1", [id]);
  expect(rows).toEqual([{ count: 7, max: 7 }]);
});

test("back, forward and between, as often as one likes", async () => {
  const id = await sessionOf("ab");
  const ab = await endOf(id);
  await write(id, "cd");
  const abcd = await endOf(id);
  await rewind(id, ab);
  await write(id, "ef");
  const abef = await endOf(id);
  await rewind(id, abcd);
  await write(id, "g");
  const abcdg = await endOf(id);
  await rewind(id, abef);
  expect(await namesIn(id)).toBe("abef");
  await rewind(id, abcdg);
  expect(await namesIn(id)).toBe("abcdg");
  await rewind(id, abcdg);
  expect(await namesIn(id)).toBe("abcdg");
  await rewind(id, ab);
  expect(await namesIn(id)).toBe("ab");
});

test("a fork has the log as it was shown at the point, without gaps, on a thread of its own", async () => {
  const id = await sessionOf("ab");
  const ab = await endOf(id);
  await write(id, "cd");
  await rewind(id, ab);
  await write(id, "ef");
  const abef = await endOf(id);
  await rewind(id, ab);
  await write(id, "g");

  const early = await fork(id, abef);
  expect(await namesIn(early)).toBe("abef");
  const late = await fork(id, await endOf(id));
  expect(await namesIn(late)).toBe("abg");
  expect(await endOf(late)).toEqual({ seq: 3, rewound: "{}" });
  expect((await readTranscript(db, late))?.map(({ native }) => native)).toEqual(["a", "b", "g"]);
  const { rows } = await db.query(
    "select seq, thread_id, bytes = octet_length(body::text) as counted, body->>'session_thread_id' as named from events where session_id = $1 order by seq",
    [late],
  );
  expect(rows).toEqual([1, 2, 3].map((seq) => ({ seq, thread_id: `thread ${late}`, counted: true, named: `thread ${late}` })));
  await write(late, "h");
  expect(await namesIn(late)).toBe("abgh");
  expect(await namesIn(id)).toBe("abg");
});

test("calls go along as they stood then", async () => {
  const id = await sessionOf("a");
  const threadId = `thread ${id}`;
  const call = (callId: string, done: boolean) => ({
    id: callId,
    kind: "builtin" as const,
    name: "bash",
    input: {},
    permission: "ask" as const,
    resultId: `result of ${callId}`,
    started: done,
    finished: done,
  });
  const used = (callId: string) => newEvent("agent.tool_use", { name: "bash", input: {} }, callId);
  const result = (callId: string) => newEvent("agent.tool_result", { tool_use_id: callId }, `result of ${callId}`);
  const idle = newEvent("session.status_idle", { stop_reason: { type: "requires_action", event_ids: ["two"] } });
  const usage = newEvent("session.usage", { usage: { input_tokens: 7, active_seconds: 1.5 } });
  const step = { sessionId: id, threadId, generation: null };
  await writeSession(db, {
    ...step,
    events: [used("one"), used("two"), result("one")],
    calls: [call("one", true), call("two", false)],
  });
  await writeSession(db, { ...step, events: [usage, idle] });
  const point = await readIdlePoint(db, id, idle.id);
  expect(point).toEqual({ seq: 6, rewound: "{}" });
  if (point === null) return;
  await writeSession(db, {
    ...step,
    events: [newEvent("user.tool_confirmation", { tool_use_id: "two", result: "allow" }, "yes"), result("two"), used("three")],
    answers: [{ callId: "two", answerId: "yes", answer: { result: "allow" }, confirmed: "allow", finishes: true }],
    calls: [call("three", false)],
  });
  const facts = await readIdleFacts(db, id, point);
  expect([facts.eventId, totalsOf(facts.usage)]).toMatchObject([idle.id, { inputTokens: 7, activeMs: 1500, outputTokens: 0 }]);
  expect(await readUnsettledCalls(db, id, point)).toEqual([{ id: "two", kind: "builtin" }]);

  const open = { id: "two", resultId: "new", answer: null, answerId: null, confirmed: null, finished: false };
  const forked = await fork(id, point, [open]);
  const pending = await readPending(db, forked, ["one", "two", "three"], null);
  expect(pending?.calls.map(({ id: callId, finished, confirmed, resultId }) => [callId, finished, confirmed, resultId])).toEqual([
    ["one", true, null, "result of one"],
    ["two", false, null, "new"],
  ]);
  // The same in place: what was made later is closed.
  await rewindLog(db, id, point, (await endOf(id)).seq);
  await rewindCalls(db, id, point, [open]);
  const back = await readPending(db, id, [], null);
  expect(back?.calls.map(({ id: callId, started }) => [callId, started])).toEqual([["two", false]]);
});
