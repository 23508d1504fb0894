import { type HarnessSandbox, TurnStopped } from "@sandbox0/harness";
import type { ModelSpan } from "@sandbox0/egress";
import { SandboxError } from "@sandbox0/sandbox";
import { until } from "@sandbox0/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
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
  await Promise.all(nodes.splice(0).map((node) => node.close()));
});
function node(...args: Parameters<Stage["node"]>): StageNode {
  const made = stage.node(...args);
  nodes.push(made);
  return made;
}

async function answer({ effects, end }: PlayedTurn): Promise<void> {
  const { spanId } = await effects.startStep();
  await effects.finishStep(spanId, step(effects, "hello"));
  end({ type: "idle", stopReason: "end_turn" });
}

const atRest = (sessionId: string) => until(async () => (await stage.status(sessionId)) === "idle");

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
    retryAfterMs: null,
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
