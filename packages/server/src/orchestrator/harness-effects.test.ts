import { type HarnessSandbox, type ToolResult, TurnStopped } from "@sandbox0/harness";
import type { ModelSpan } from "@sandbox0/egress";
import { SandboxError } from "@sandbox0/sandbox";
import { until } from "@sandbox0/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { CRASHED_TEXT } from "../domain/turn.ts";
import { createMeasuredRequests } from "../policy/measured-requests.ts";
import { readEventsAfter } from "../store/events.ts";
import { createStage, interrupt, type PlayedTurn, type Stage, type StageNode, say, step } from "./stage.fixture.ts";

/** What a harness in a sandbox does through its effects, and others do not. */

let stage: Stage;
beforeAll(async () => {
  stage = await createStage();
});
afterAll(async () => {
  await stage.close();
});
const nodes: StageNode[] = [];
afterEach(async () => {
  await Promise.all(nodes.splice(0).map((node) => node.orchestrator.stop(0)));
});
function node(...args: Parameters<Stage["node"]>): StageNode {
  const made = stage.node(...args);
  nodes.push(made);
  return made;
}

const DONE: ToolResult = { content: [{ type: "text", text: "listed" }], isError: false };
const CUT: ToolResult = { content: [{ type: "text", text: "killed" }], isError: true };

async function call({ effects }: PlayedTurn, ...names: string[]): Promise<string[]> {
  const { spanId } = await effects.startStep();
  const fates = await effects.finishStep(spanId, step(effects, "", ...names));
  expect(fates.map(({ action }) => action)).toEqual(names.map(() => "run"));
  return fates.map(({ id }) => id);
}

async function answer({ effects, end }: PlayedTurn): Promise<void> {
  const { spanId } = await effects.startStep();
  await effects.finishStep(spanId, step(effects, "hello"));
  end({ type: "idle", stopReason: "end_turn" });
}

const atRest = (sessionId: string) => until(async () => (await stage.status(sessionId)) === "idle");

async function results(sessionId: string): Promise<{ call: string; text: string; isError: boolean }[]> {
  const events = await readEventsAfter(stage.db, sessionId, 0, { rows: 10_000, bytes: 1e9 });
  return events.flatMap(({ type, body }) => {
    if (type !== "agent.tool_result") return [];
    const { tool_use_id, content, is_error } = JSON.parse(body);
    return [{ call: tool_use_id, text: content[0].text, isError: is_error }];
  });
}

describe("a result of the harness's own tool", () => {
  test("is the one result of its call, in the order they come", async () => {
    const here = node();
    const sessionId = await stage.newSession();
    await stage.send(sessionId, say("hi"));
    const turn = await here.nextTurn();
    const [first = "", second = ""] = await call(turn, "bash", "read");
    await turn.effects.recordResult(second, CUT);
    await turn.effects.recordResult(first, DONE);
    await expect(turn.effects.recordResult(first, DONE)).rejects.toThrow(/not an open call/);
    await expect(turn.effects.executeTool(first)).rejects.toThrow(/not an open call/);
    await answer(turn);
    await atRest(sessionId);
    expect(await results(sessionId)).toEqual([
      { call: second, text: "killed", isError: true },
      { call: first, text: "listed", isError: false },
    ]);
  });

  test("comes too late when another node has the session, which has said what became of the call", async () => {
    const a = node({ deaf: true });
    const sessionId = await stage.newSession();
    await stage.send(sessionId, say("hi"));
    const first = await a.nextTurn();
    const [id = ""] = await call(first, "bash");
    stage.alive.delete(a.id);
    const b = node();
    const second = await b.nextTurn();
    await expect(first.effects.recordResult(id, DONE)).rejects.toThrow(TurnStopped);
    first.end({ type: "stopped" });
    await until(() => a.left.includes(sessionId));
    await answer(second);
    await atRest(sessionId);
    expect(await results(sessionId)).toEqual([{ call: id, text: CRASHED_TEXT, isError: true }]);
    expect(a.bugs).toEqual([]);
  });

  test("is written when the tool was done before the interrupt cut it, and not when it was cut", async () => {
    const here = node();
    const sessionId = await stage.newSession();
    await stage.send(sessionId, say("hi"));
    const turn = await here.nextTurn();
    const [done = "", cut = ""] = await call(turn, "bash", "read");
    await stage.send(sessionId, interrupt);
    await until(() => turn.effects.signal.aborted);
    await expect(turn.effects.recordResult(done, DONE)).rejects.toThrow(TurnStopped);
    await expect(turn.effects.recordResult(cut, CUT)).rejects.toThrow(TurnStopped);
    turn.end({ type: "stopped" });
    await atRest(sessionId);
    expect(await results(sessionId)).toEqual([
      { call: done, text: "listed", isError: false },
      { call: cut, text: expect.not.stringContaining("killed"), isError: true },
    ]);
    expect(here.bugs).toEqual([]);
  });
});

describe("the sandbox of a harness", () => {
  const sandbox = { id: "box_1" } as HarnessSandbox;

  test("is the session's, and may be refused", async () => {
    let answerOf = (): Promise<HarnessSandbox> => Promise.resolve(sandbox);
    const asked: string[] = [];
    const here = node({
      openSandbox: (turn) => {
        asked.push(turn.sessionId);
        return answerOf();
      },
    });
    const sessionId = await stage.newSession();
    await stage.send(sessionId, say("hi"));
    const turn = await here.nextTurn();
    expect(await turn.effects.openSandbox()).toBe(sandbox);
    answerOf = () => Promise.reject(new SandboxError("limit", "full"));
    await expect(turn.effects.openSandbox()).rejects.toMatchObject({ code: "limit" });
    expect(asked).toEqual([sessionId, sessionId]);
    await answer(turn);
    await atRest(sessionId);
  });

  test("is not given to a turn that was stopped, before or meanwhile", async () => {
    const opened = Promise.withResolvers<HarnessSandbox>();
    const here = node({ openSandbox: () => opened.promise });
    const sessionId = await stage.newSession();
    await stage.send(sessionId, say("hi"));
    const turn = await here.nextTurn();
    const opening = turn.effects.openSandbox().catch((error: unknown) => error);
    await stage.send(sessionId, interrupt);
    await until(() => turn.effects.signal.aborted);
    opened.resolve(sandbox);
    expect(await opening).toBeInstanceOf(TurnStopped);
    await expect(turn.effects.openSandbox()).rejects.toThrow(TurnStopped);
    turn.end({ type: "stopped" });
    await atRest(sessionId);
    expect(here.bugs).toEqual([]);
  });
});

describe("a request that went through the model gateway", () => {
  const span: ModelSpan = {
    sessionId: "",
    model: "claude-test",
    at: new Date(),
    status: 200,
    firstTokenMs: 12,
    totalMs: 34,
    inputTokens: 5,
    outputTokens: 6,
    cacheReadTokens: 7,
    cacheWriteTokens: 8,
  };
  const usage = { input_tokens: 5, output_tokens: 6, cache_creation_input_tokens: 8, cache_read_input_tokens: 7 };

  async function ended(sessionId: string): Promise<unknown[]> {
    const events = await readEventsAfter(stage.db, sessionId, 0, { rows: 10_000, bytes: 1e9 });
    return events.flatMap(({ type, body }) => (type === "span.model_request_end" ? [JSON.parse(body).model_usage] : []));
  }

  test("is shown as that measured it, once, and as the harness tells of it where that saw nothing", async () => {
    const measured = createMeasuredRequests();
    const here = node({ measured });
    const sessionId = await stage.newSession();
    await stage.send(sessionId, say("hi"));
    const { effects, end } = await here.nextTurn();
    const ask = async (): Promise<string> => (await effects.startStep()).spanId;
    const failed = await ask();
    measured.add({ ...span, sessionId, status: null });
    measured.add({ ...span, sessionId: "sesn_other" });
    await effects.failStep(failed, { usage: null, timing: { firstTokenMs: null, totalMs: 1 } });
    const first = await ask();
    measured.add({ ...span, sessionId, status: 529, inputTokens: 99 });
    measured.add({ ...span, sessionId });
    await effects.finishStep(first, step(effects, "one", "bash"));
    const second = await ask();
    measured.add({ ...span, sessionId, inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0 });
    await effects.finishStep(second, step(effects, "two"));
    end({ type: "idle", stopReason: "end_turn" });
    await atRest(sessionId);
    const told = { input_tokens: 1, output_tokens: 1, cache_creation_input_tokens: 0, cache_read_input_tokens: 0 };
    const none = { input_tokens: 0, output_tokens: 0, cache_creation_input_tokens: 0, cache_read_input_tokens: 0 };
    expect(await ended(sessionId)).toEqual([none, usage, told]);
    const { rows } = await stage.db.query(
      "select first_token_ms as first, total_ms as total from model_spans where session_id = $1 order by started_at",
      [sessionId],
    );
    expect(rows).toEqual([
      { first: null, total: 1 },
      { first: 12, total: 34 },
      { first: 12, total: 34 },
    ]);
  });
});
