import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { until } from "@sandbox0/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { createPostgresProxy, type PostgresProxy } from "./postgres-proxy.ts";
import { GO_FILE, STARTED_FILE } from "./model.ts";
import type { ServerProcess } from "./server-process.ts";
import type { SessionRecord } from "./session-record.ts";
import { createStage, message, type ServerOptions, type Stage } from "./stage.ts";

let stage: Stage;
const servers: ServerProcess[] = [];
const proxies: PostgresProxy[] = [];

beforeAll(async () => {
  stage = await createStage();
});
afterEach(async () => {
  stage.model.answerAll();
  await Promise.all(servers.splice(0).map((server) => server.kill()));
  await Promise.all(proxies.splice(0).map((proxy) => proxy.close()));
});
afterAll(() => stage.close());

async function start(roles = "api,worker", options: ServerOptions = {}): Promise<ServerProcess> {
  const server = await stage.startServer({ ...options, environment: { SANDBOX0_ROLES: roles } });
  servers.push(server);
  return server;
}

async function startBehindProxy(roles: string): Promise<{ server: ServerProcess; proxy: PostgresProxy }> {
  const proxy = await createPostgresProxy(stage.database.connectionString);
  proxies.push(proxy);
  return { proxy, server: await start(roles, { databaseUrl: proxy.connectionString }) };
}

/** At rest and in order, with so many turns. */
async function expectTurns(sessionId: string, turns: number): Promise<SessionRecord> {
  const record = await stage.untilRest(sessionId);
  expect(await stage.violations(record)).toEqual([]);
  expect(record.events.filter((event) => event.type === "session.status_running")).toHaveLength(turns);
  return record;
}

async function untilToolRuns(sessionId: string): Promise<void> {
  await until(async () => existsSync((await stage.workspacePath(sessionId, STARTED_FILE)) ?? ""), {
    describe: "the tool to run",
  });
}

async function letToolGoOn(sessionId: string): Promise<void> {
  await writeFile((await stage.workspacePath(sessionId, GO_FILE)) as string, "");
}

/** What the database does by itself when a lease is not renewed for its 15 seconds. */
async function expireLease(sessionId: string): Promise<void> {
  await stage.db.query("update session_heads set wake_at = clock_timestamp() where session_id = $1", [sessionId]);
}

test("two nodes hear the same bell: one of them has the turn, and the model is asked once", async () => {
  const api = await start("api");
  await Promise.all([start("worker"), start("worker")]);
  const sessionId = await stage.createSession(api);
  const before = stage.model.received;
  for (let turn = 1; turn <= 10; turn++) {
    await stage.send(api, sessionId, [message("one after the other")]);
    await expectTurns(sessionId, turn);
  }
  expect(stage.model.received - before).toBe(30);
});

test("another node goes on with the turn of one that was killed", async () => {
  const doomed = await start();
  const sessionId = await stage.createSession(doomed);
  const gate = stage.model.stopAt(2, "answering");
  await stage.send(doomed, sessionId, [message("one after the other")]);
  await gate.reached;
  await start("worker");
  await doomed.kill();
  const killedAt = performance.now();
  await expectTurns(sessionId, 1);
  console.log(`the other node ended the turn ${Math.round(performance.now() - killedAt)} ms after the kill, budget 2000 ms`);
});

describe("every notification is lost", () => {
  test("turns start, streams go on and interrupts arrive all the same, by looking at the rows", async () => {
    const { server: api, proxy: first } = await startBehindProxy("api");
    const { proxy: second } = await startBehindProxy("worker");
    first.losesNotifications = second.losesNotifications = true;
    const sessionId = await stage.createSession(api);
    const seen: string[] = [];
    const stream = await stage.client(api).beta.sessions.events.stream(sessionId);
    const following = (async () => {
      for await (const event of stream) if ("id" in event && event.id) seen.push(event.id);
    })();
    await stage.send(api, sessionId, [message("one after the other")]);
    const { events } = await expectTurns(sessionId, 1);
    await until(() => events.every(({ id }) => seen.includes(id)), { describe: "the stream to show the whole log" });

    const gate = stage.model.stopAt(1, "answering");
    await stage.send(api, sessionId, [message("only talk")]);
    await gate.reached;
    await stage.send(api, sessionId, [{ type: "user.interrupt" }]);
    await expectTurns(sessionId, 2);
    stream.controller.abort();
    await following;
  });

  test("the connection that listens is lost again and again", async () => {
    const { server: api, proxy } = await startBehindProxy("api");
    await start("worker");
    const sessionId = await stage.createSession(api);
    for (let turn = 1; turn <= 5; turn++) {
      await stage.send(api, sessionId, [message("only talk")]);
      await stage.db.query("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'sandbox0 notifier'");
      await expectTurns(sessionId, turn);
    }
    expect(proxy.accepting).toBe(true);
  });
});

describe("a node that is frozen for longer than its lease", () => {
  test("loses the turn while the model answers, and writes nothing more", async () => {
    const frozen = await start();
    const sessionId = await stage.createSession(frozen);
    const gate = stage.model.stopAt(1, "answering");
    await stage.send(frozen, sessionId, [message("one after the other")]);
    await gate.reached;
    frozen.signal("SIGSTOP");
    await start("worker");
    await expireLease(sessionId);
    const record = await expectTurns(sessionId, 1);
    gate.open();
    await thaw(frozen);
    expect((await stage.record(sessionId)).events).toEqual(record.events);
    await stage.send(frozen, sessionId, [message("only talk")]);
    await expectTurns(sessionId, 2);
  });

  test("loses the turn while a tool runs, and its result counts no more", async () => {
    const frozen = await start();
    const sessionId = await stage.createSession(frozen);
    await stage.send(frozen, sessionId, [message("wait, then the effect")]);
    await untilToolRuns(sessionId);
    frozen.signal("SIGSTOP");
    await start("worker");
    await expireLease(sessionId);
    const record = await expectTurns(sessionId, 1);
    await letToolGoOn(sessionId);
    await thaw(frozen);
    const after = await stage.record(sessionId);
    expect(after.events).toEqual(record.events);
    expect(await stage.violations(after)).toEqual([]);
  });
});

/** Lets it run again, until it has found out that the turn is no longer its own. */
async function thaw(frozen: ServerProcess): Promise<void> {
  frozen.signal("SIGCONT");
  await until(() => frozen.output().includes("a turn was left to be recovered"), {
    describe: () => `the node to notice that it lost its lease\n${frozen.output()}`,
  });
}

describe("SIGTERM in the middle of a turn", () => {
  test("the turn ends here when it can in time", async () => {
    const leaving = await start();
    const sessionId = await stage.createSession(leaving);
    const gate = stage.model.stopAt(2, "answering");
    await stage.send(leaving, sessionId, [message("one after the other")]);
    await gate.reached;
    leaving.signal("SIGTERM");
    await until(() => leaving.output().includes("draining"));
    gate.open();
    expect(await leaving.exited).toBe(0);
    const { events } = await expectTurns(sessionId, 1);
    expect(events.filter((event) => event.body.is_error === true)).toEqual([]);
  });

  test("a turn that takes longer is handed over", async () => {
    const leaving = await start();
    const sessionId = await stage.createSession(leaving);
    const gate = stage.model.stopAt(2, "answering");
    await stage.send(leaving, sessionId, [message("one after the other")]);
    await gate.reached;
    await start("worker");
    leaving.signal("SIGTERM");
    expect(await leaving.exited).toBe(0);
    expect((await expectTurns(sessionId, 1)).head.stopReason).toEqual({ type: "end_turn" });
  });
});
