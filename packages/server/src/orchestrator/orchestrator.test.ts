import { until } from "@sandbox0/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { DatabaseUnavailable } from "../store/database-error.ts";
import { createStage, type PlayedTurn, type Stage, type StageNode, say, step } from "./stage.fixture.ts";

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
  await Promise.all(nodes.splice(0).map((node) => node.orchestrator.stop(0)));
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
