import { setTimeout as delay } from "node:timers/promises";
import { TurnStopped } from "@sandbox0/harness";
import { until } from "@sandbox0/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { CRASHED_TEXT } from "../domain/turn.ts";
import { DatabaseUnavailable } from "../store/database-error.ts";
import { readEventsAfter } from "../store/events.ts";
import { createStage, interrupt, type PlayedTurn, type Stage, type StageNode, say, step } from "./stage.fixture.ts";

let stage: Stage;
beforeAll(async () => {
  stage = await createStage();
});
afterAll(async () => {
  await stage.close();
});
/** Each test has its own nodes: none is left to take the next one's sessions. */
const nodes: StageNode[] = [];
afterEach(async () => {
  await Promise.all(nodes.splice(0).map((node) => node.close()));
});
function node(...args: Parameters<Stage["node"]>): StageNode {
  const made = stage.node(...args);
  nodes.push(made);
  return made;
}

/** The model says this, and the turn is over. */
async function answer({ effects, end }: PlayedTurn, text = "hello"): Promise<void> {
  const { spanId } = await effects.startStep();
  await effects.finishStep(spanId, step(effects, text));
  end({ type: "idle", stopReason: "end_turn" });
}
const atRest = (sessionId: string) => until(async () => (await stage.status(sessionId)) === "idle");
const RUNNING = ["session.status_running", "session.thread_status_running"];
const IDLE = ["session.thread_status_idle", "session.usage", "session.status_idle"];
const STEP = ["span.model_request_start", "agent.message", "span.model_request_end"];

test("one turn, from the message to the rest", async () => {
  const here = node();
  const sessionId = await stage.newSession();
  await stage.send(sessionId, say("hi"));
  await answer(await here.nextTurn());
  await atRest(sessionId);
  expect(await stage.types(sessionId)).toEqual(["user.message", ...RUNNING, ...STEP, ...IDLE]);
  await until(() => here.rested.includes(sessionId));
  expect(here.bugs).toEqual([]);
});

describe("a database that fails", () => {
  test("while the history is read: the turn goes on, and the session is told of nothing", async () => {
    const here = node();
    const sessionId = await stage.newSession();
    const cut = here.db.cut("before", /harness_records/);
    await stage.send(sessionId, say("hi"));
    await cut;
    await answer(await here.nextTurn());
    await atRest(sessionId);
    expect(await stage.types(sessionId)).not.toContain("session.error");
    expect(await stage.types(sessionId)).toContain("agent.message");
    expect(here.bugs).toEqual([]);
  });

  test("while a tool has its sandbox found: the call is closed, and the turn goes on", async () => {
    const here = node();
    const sessionId = await stage.newSession();
    await stage.send(sessionId, say("hi"));
    const first = await here.nextTurn();
    const { spanId } = await first.effects.startStep();
    const [call] = await first.effects.finishStep(spanId, step(first.effects, "", "bash"));
    const running = first.effects.executeTool(call?.id ?? "");
    (await here.nextTool()).fail(new DatabaseUnavailable("connection", true));
    const stopped = running.catch((error: unknown) => error);
    first.fail(await stopped);
    const second = await here.nextTurn();
    expect(second.turn.runnable).toEqual([]);
    await answer(second);
    await atRest(sessionId);
    const types = await stage.types(sessionId);
    expect(types).not.toContain("session.error");
    expect(types.filter((type) => type === "agent.tool_result")).toHaveLength(1);
    expect(here.bugs).toEqual([]);
  });
});

/** Longer than any test: what happens before did not happen because a lease ran out. */
const NEVER_MS = 3_600_000;

/** Everything about the log that must hold whatever happened (design §2). */
async function checkLog(sessionId: string): Promise<void> {
  const events = await readEventsAfter(stage.db, sessionId, 0, { rows: 10_000, bytes: 1e9 });
  expect(events.map((event) => event.seq)).toEqual(events.map((_, i) => i + 1));
  expect(new Set(events.map((event) => event.id)).size).toBe(events.length);
  const bodies = events.map((event): Record<string, string> => ({ id: event.id, ...JSON.parse(event.body) }));
  const of = (type: string, key: string) => bodies.filter((body) => body.type === type).map((body) => body[key]);
  expect(of("span.model_request_end", "model_request_start_id").toSorted()).toEqual(
    of("span.model_request_start", "id").toSorted(),
  );
  expect(of("agent.tool_result", "tool_use_id").toSorted()).toEqual(of("agent.tool_use", "id").toSorted());
}

describe("effects whose answer is lost", () => {
  test("a claim: the session is taken up again at the next sweep, not when the lease runs out", async () => {
    const here = node({ times: { leaseTtlMs: NEVER_MS } });
    const sessionId = await stage.newSession();
    const cut = here.db.cut("after", /lease_generation = lease_generation \+ 1/);
    await stage.send(sessionId, say("hi"));
    await cut;
    await answer(await here.nextTurn());
    await atRest(sessionId);
    expect((await stage.types(sessionId)).filter((type) => type === "agent.message")).toHaveLength(1);
    await checkLog(sessionId);
  });

  test("the last response: it is shown once, and the model is not asked again", async () => {
    const here = node({ times: { leaseTtlMs: NEVER_MS } });
    const sessionId = await stage.newSession();
    await stage.send(sessionId, say("hi"));
    const { effects, end } = await here.nextTurn();
    const { spanId } = await effects.startStep();
    const cut = here.db.cut("after", /insert into events/);
    await expect(effects.finishStep(spanId, step(effects, "hello"))).rejects.toThrow(TurnStopped);
    await cut;
    end({ type: "stopped" });
    await atRest(sessionId);
    expect(await stage.types(sessionId)).toEqual(["user.message", ...RUNNING, ...STEP, ...IDLE]);
    expect(here.turnsStarted()).toBe(1);
  });

  test("a response with calls: each is closed, none is run", async () => {
    const here = node({ times: { leaseTtlMs: NEVER_MS } });
    const sessionId = await stage.newSession();
    await stage.send(sessionId, say("hi"));
    const { effects, end } = await here.nextTurn();
    const { spanId } = await effects.startStep();
    const cut = here.db.cut("after", /insert into events/);
    await expect(effects.finishStep(spanId, step(effects, "", "bash", "bash"))).rejects.toThrow(TurnStopped);
    await cut;
    end({ type: "stopped" });
    const again = await here.nextTurn();
    expect(again.turn.runnable).toEqual([]);
    expect(JSON.stringify(again.turn.history)).toContain(CRASHED_TEXT);
    await answer(again);
    await atRest(sessionId);
    await checkLog(sessionId);
  });

  test("a tool's result: it is the one result, and the tool is not run again", async () => {
    const here = node({ times: { leaseTtlMs: NEVER_MS } });
    const sessionId = await stage.newSession();
    await stage.send(sessionId, say("hi"));
    const { effects, end } = await here.nextTurn();
    const { spanId } = await effects.startStep();
    const [call] = await effects.finishStep(spanId, step(effects, "", "bash"));
    const running = effects.executeTool(call?.id ?? "").catch((error: unknown) => error);
    const tool = await here.nextTool();
    const cut = here.db.cut("after", /insert into events/);
    tool.end();
    await cut;
    expect(await running).toBeInstanceOf(TurnStopped);
    end({ type: "stopped" });
    const again = await here.nextTurn();
    expect(again.turn.runnable).toEqual([]);
    const history = JSON.stringify(again.turn.history);
    expect(history).toContain("done");
    expect(history).not.toContain(CRASHED_TEXT);
    await answer(again);
    await atRest(sessionId);
    await checkLog(sessionId);
  });

  test("the end of the turn: it has ended once", async () => {
    const here = node({ times: { leaseTtlMs: NEVER_MS } });
    const sessionId = await stage.newSession();
    await stage.send(sessionId, say("hi"));
    const { effects, end } = await here.nextTurn();
    const { spanId } = await effects.startStep();
    await effects.finishStep(spanId, step(effects, "hello"));
    const cut = here.db.cut("after", /insert into events/);
    end({ type: "idle", stopReason: "end_turn" });
    await cut;
    await until(() => here.troubles.length > 0 && here.orchestrator.active() === 0);
    expect(await stage.types(sessionId)).toEqual(["user.message", ...RUNNING, ...STEP, ...IDLE]);
    await stage.send(sessionId, say("more"));
    await answer(await here.nextTurn());
    await atRest(sessionId);
    await checkLog(sessionId);
  });

  test("everything for a while: the turn goes on as soon as the database is back", async () => {
    const here = node({ times: { leaseTtlMs: NEVER_MS } });
    const sessionId = await stage.newSession();
    await stage.send(sessionId, say("hi"));
    const { effects, end } = await here.nextTurn();
    const { spanId } = await effects.startStep();
    here.db.down = true;
    await expect(effects.finishStep(spanId, step(effects, "hello"))).rejects.toThrow(TurnStopped);
    end({ type: "stopped" });
    await until(() => here.left.includes(sessionId));
    here.db.down = false;
    await answer(await here.nextTurn());
    await atRest(sessionId);
    await checkLog(sessionId);
  });
});

describe("two nodes on one database", () => {
  test("each session is run by one of them", async () => {
    const [a, b] = [node(), node()];
    const sessionIds = await Promise.all(Array.from({ length: 10 }, () => stage.newSession()));
    await Promise.all(sessionIds.map((sessionId) => stage.send(sessionId, say("hi"))));
    await until(() => a.turnsStarted() + b.turnsStarted() === 10);
    for (const each of [a, b]) for (let i = each.turnsStarted(); i > 0; i--) await answer(await each.nextTurn());
    for (const sessionId of sessionIds) {
      await atRest(sessionId);
      expect(await stage.types(sessionId)).toEqual(["user.message", ...RUNNING, ...STEP, ...IDLE]);
    }
    expect(a.turnsStarted() + b.turnsStarted()).toBe(10);
  });

  test("one that is taken for dead writes nothing more, and leaves the sandbox to the other", async () => {
    const a = node();
    const sessionId = await stage.newSession();
    await stage.send(sessionId, say("hi"));
    const first = await a.nextTurn();
    const { spanId } = await first.effects.startStep();
    const [call] = await first.effects.finishStep(spanId, step(first.effects, "", "bash"));
    const running = first.effects.executeTool(call?.id ?? "").catch((error: unknown) => error);
    const tool = await a.nextTool();
    stage.alive.delete(a.id);
    const b = node();
    const second = await b.nextTurn();
    await until(() => tool.signal.aborted, { describe: "the first node finds out when it renews its lease" });
    tool.end();
    expect(await running).toBeInstanceOf(TurnStopped);
    first.end({ type: "stopped" });
    await until(() => a.left.includes(sessionId));
    await answer(second);
    await atRest(sessionId);
    await checkLog(sessionId);
    expect(JSON.stringify(second.turn.history)).toContain(CRASHED_TEXT);
  });

  test("one whose sandbox does not end gives the session back all the same", async () => {
    const a = node({ stuck: true, times: { leaseTtlMs: NEVER_MS, leaveMs: 100 } });
    const sessionId = await stage.newSession();
    await stage.send(sessionId, say("hi"));
    const first = await a.nextTurn();
    const cut = a.db.cut("before", /insert into events/);
    await expect(
      first.effects.startStep().then(({ spanId }) => first.effects.finishStep(spanId, step(first.effects, ""))),
    ).rejects.toThrow(TurnStopped);
    await cut;
    first.end({ type: "stopped" });
    await answer(await a.nextTurn());
    await atRest(sessionId);
    await checkLog(sessionId);
  });

  test("one that cannot reach the database stops its turns before their leases run out", async () => {
    const a = node({ times: { leaseTtlMs: 10_000 } });
    const sessionId = await stage.newSession();
    await stage.send(sessionId, say("hi"));
    const first = await a.nextTurn();
    const { spanId } = await first.effects.startStep();
    const [call] = await first.effects.finishStep(spanId, step(first.effects, "", "bash"));
    const running = first.effects.executeTool(call?.id ?? "").catch((error: unknown) => error);
    const tool = await a.nextTool();
    a.db.down = true;
    await until(() => tool.signal.aborted);
    tool.end();
    expect(await running).toBeInstanceOf(TurnStopped);
    first.end({ type: "stopped" });
    const b = node();
    await answer(await b.nextTurn());
    await atRest(sessionId);
    await checkLog(sessionId);
  });

  test("an interrupt reaches the turn that another node runs, without a hint too", async () => {
    const deaf = node({ deaf: true });
    const sessionId = await stage.newSession();
    await stage.send(sessionId, say("hi"));
    const { effects, end } = await deaf.nextTurn();
    await effects.startStep();
    await stage.send(sessionId, interrupt);
    await until(() => effects.signal.aborted);
    end({ type: "stopped" });
    await atRest(sessionId);
    expect(await stage.types(sessionId)).toEqual([
      "user.message",
      ...RUNNING,
      "span.model_request_start",
      "span.model_request_end",
      "user.interrupt",
      ...IDLE,
    ]);
  });
});

describe("stopping", () => {
  test("a turn that was interrupted just before is handed over too, not run on", async () => {
    const a = node();
    const sessionId = await stage.newSession();
    await stage.send(sessionId, say("hi"));
    const first = await a.nextTurn();
    await first.effects.startStep();
    await stage.send(sessionId, interrupt, say("go on"));
    await until(() => first.effects.signal.aborted);
    const stopped = a.orchestrator.stop(0);
    // Behind the timer of `stop`: it has told the turn, which was stopped already.
    await delay(1);
    first.end({ type: "stopped" });
    await stopped;
    expect(a.turnsStarted()).toBe(1);
    await answer(await node().nextTurn());
    await atRest(sessionId);
    await checkLog(sessionId);
  });

  test("a session that is being claimed is handed over too", async () => {
    const a = node();
    const sessionId = await stage.newSession();
    const claim = a.db.pause(/lease_generation = lease_generation \+ 1/);
    await stage.send(sessionId, say("hi"));
    await claim.met;
    const stopped = a.orchestrator.stop(0);
    claim.release();
    await stopped;
    expect(a.turnsStarted()).toBe(0);
    await answer(await node().nextTurn());
    await atRest(sessionId);
    await checkLog(sessionId);
  });
});

describe("interrupts", () => {
  test("one that comes while the next turn is being taken up ends that turn, and leaves no trace in another", async () => {
    const here = node();
    const sessionId = await stage.newSession();
    await stage.send(sessionId, say("one"));
    const first = await here.nextTurn();
    await first.effects.startStep();
    await stage.send(sessionId, interrupt, say("two"));
    await until(() => first.effects.signal.aborted);
    // Between the end of the first turn and the start of the second.
    const next = here.db.pause(/for update/, 2);
    first.end({ type: "stopped" });
    await next.met;
    await stage.send(sessionId, interrupt, say("three"));
    next.release();
    await answer(await here.nextTurn());
    await atRest(sessionId);
    expect(await stage.types(sessionId)).toEqual([
      "user.message",
      ...RUNNING,
      "span.model_request_start",
      "span.model_request_end",
      "user.interrupt",
      ...IDLE,
      "user.message",
      ...RUNNING,
      "user.interrupt",
      ...IDLE,
      "user.message",
      ...RUNNING,
      ...STEP,
      ...IDLE,
    ]);
  });

  test("one whose hint comes late does not stop the turn behind it", async () => {
    const here = node();
    const sessionId = await stage.newSession();
    await stage.send(sessionId, say("one"));
    const first = await here.nextTurn();
    await first.effects.startStep();
    await stage.send(sessionId, interrupt, say("two"));
    await until(() => first.effects.signal.aborted);
    first.end({ type: "stopped" });
    const second = await here.nextTurn();
    const { rows } = await stage.db.query<{ inbox_position: number }>(
      "select inbox_position from session_heads where session_id = $1",
      [sessionId],
    );
    stage.bells.interrupt(sessionId, rows[0]?.inbox_position ?? 0);
    // Its own turn of the event loop comes after the hint's.
    await delay(1);
    expect(second.effects.signal.aborted).toBe(false);
    await answer(second);
    await atRest(sessionId);
    expect((await stage.types(sessionId)).slice(-STEP.length - IDLE.length)).toEqual([...STEP, ...IDLE]);
  });

  test("a call that was done when it came has its result; one that it cut has an error", async () => {
    const here = node();
    const sessionId = await stage.newSession();
    await stage.send(sessionId, say("hi"));
    const { effects, end } = await here.nextTurn();
    const { spanId } = await effects.startStep();
    const calls = await effects.finishStep(spanId, step(effects, "", "bash", "bash"));
    const running = calls.map((call) => effects.executeTool(call.id).catch((error: unknown) => error));
    const [done, cut] = [await here.nextTool(), await here.nextTool()];
    await stage.send(sessionId, interrupt);
    await until(() => effects.signal.aborted);
    done.end();
    cut.end({ isError: true });
    for (const each of await Promise.all(running)) expect(each).toBeInstanceOf(TurnStopped);
    end({ type: "stopped" });
    await atRest(sessionId);
    await checkLog(sessionId);
    const results = (await readEventsAfter(stage.db, sessionId, 0, { rows: 100, bytes: 1e9 })).filter(
      (event) => event.type === "agent.tool_result",
    );
    expect(results.map((event) => event.body.includes("done"))).toEqual([true, false]);
    expect(results[1]?.body).toContain("interrupted");
  });

  test("behind one of two confirmations: both calls are closed, and the model is not asked", async () => {
    const ask = {
      type: "agent_toolset_20260401",
      default_config: { enabled: true, permission_policy: { type: "always_ask" } },
      configs: [],
    };
    const here = node();
    const sessionId = await stage.newSession({ tools: [ask] });
    await stage.send(sessionId, say("hi"));
    const { effects, end } = await here.nextTurn();
    const { spanId } = await effects.startStep();
    const calls = await effects.finishStep(spanId, step(effects, "", "bash", "bash"));
    end({ type: "idle", stopReason: "requires_action" });
    await atRest(sessionId);
    await stage.send(sessionId, { type: "user.tool_confirmation", tool_use_id: calls[0]?.id ?? "", result: "allow" }, interrupt);
    await atRest(sessionId);
    await checkLog(sessionId);
    await stage.send(sessionId, say("go on"));
    const next = await here.nextTurn();
    expect(next.turn.runnable).toEqual([]);
    await answer(next);
    await atRest(sessionId);
    await checkLog(sessionId);
  });

  test("of a session that waits for answers: a message from before has its turn", async () => {
    const here = node();
    const sessionId = await stage.newSession();
    await stage.send(sessionId, say("hi"));
    const { effects, end } = await here.nextTurn();
    const { spanId } = await effects.startStep();
    await stage.send(sessionId, say("also"));
    await effects.finishStep(spanId, step(effects, "", "ask"));
    end({ type: "idle", stopReason: "requires_action" });
    await atRest(sessionId);
    await stage.send(sessionId, interrupt);
    const next = await here.nextTurn();
    expect(JSON.stringify(next.turn.history)).toContain("also");
    await answer(next);
    await atRest(sessionId);
  });
});
