import { describe, expect, test } from "vitest";
import type { Head, InboxRow, ToolCall } from "./head.ts";
import { INTERRUPTED_TEXT } from "./lifecycle-events.ts";
import {
  ATTEMPTS_MAX,
  begin,
  CRASHED_TEXT,
  retryDelayMs,
  settle,
  settleFinished,
  type TurnPlan,
  type TurnState,
} from "./turn.ts";

const RETRY = { baseMs: 1000 };
const NOW = new Date("2026-11-25T12:00:00.000Z");

function head(change: Partial<Head> = {}): Head {
  return {
    sessionId: "sesn_1",
    seq: 10,
    lastEventAt: NOW,
    status: "idle",
    shownStatus: "idle",
    stopReason: null,
    inboxPosition: 0,
    inboxCount: 0,
    turnPending: false,
    interrupted: false,
    ending: null,
    attempts: 0,
    steps: 0,
    usage: {
      inputTokens: 1,
      outputTokens: 2,
      cacheReadTokens: 3,
      cacheWriteTokens: 4,
      activeMs: 1500,
      webSearches: 0,
      tokenCostUsd: null,
    },
    runningSince: null,
    leaseOwner: 1,
    leaseGeneration: 1,
    ...change,
  };
}

function call(id: string, change: Partial<ToolCall> = {}): ToolCall {
  return {
    id,
    kind: "builtin",
    name: "bash",
    input: {},
    permission: "allow",
    resultId: `result_${id}`,
    started: false,
    finished: false,
    confirmed: null,
    answer: null,
    answerId: null,
    denyMessage: null,
    ...change,
  };
}

function message(position: number): InboxRow {
  return { position, id: `m${position}`, type: "user.message", fields: { content: [] } };
}
function interruption(position: number): InboxRow {
  return { position, id: `i${position}`, type: "user.interrupt", fields: {} };
}

function state(change: Omit<Partial<TurnState>, "head"> & { head?: Partial<Head> } = {}): TurnState {
  return {
    thread: { threadId: "sthr_1", agentName: "agent" },
    now: NOW,
    calls: [],
    inbox: [],
    openSpans: [],
    ...change,
    head: head(change.head),
  };
}

const types = (plan: TurnPlan) => plan.events.map((event) => event.type);
const IDLE = ["session.thread_status_idle", "session.usage", "session.status_idle"];
const RUNNING = ["session.status_running", "session.thread_status_running"];
const stopReason = (plan: TurnPlan) => plan.events.findLast((event) => event.type === "session.status_idle")?.fields.stop_reason;

describe("begin", () => {
  test("promotes all inputs, then says running (semantics §4.2)", () => {
    const plan = begin(state({ head: { turnPending: true }, inbox: [message(1), message(2)] }), RETRY);
    expect(types(plan)).toEqual(["user.message", "user.message", ...RUNNING]);
    expect(plan).toMatchObject({
      next: "run",
      taken: [1, 2],
      patch: { status: "running", turnPending: false, stopReason: null, steps: 0 },
    });
  });

  test("a turn that goes on after its answers takes nothing new up first", () => {
    const plan = begin(
      state({
        head: { turnPending: true, steps: 3 },
        calls: [call("c", { permission: "ask", confirmed: "allow" })],
        inbox: [message(1)],
      }),
      RETRY,
    );
    expect(types(plan)).toEqual(RUNNING);
    expect(plan.taken).toEqual([]);
    expect(plan.patch.steps).toBeUndefined();
  });

  test("a denied call gets its error result with the message, after running", () => {
    const plan = begin(
      state({
        head: { turnPending: true },
        calls: [call("c", { permission: "ask", confirmed: "deny", denyMessage: "too risky" })],
      }),
      RETRY,
    );
    expect(types(plan)).toEqual([...RUNNING, "agent.tool_result"]);
    expect(plan.finished).toEqual(["c"]);
    expect(JSON.stringify(plan.events.at(-1)?.fields)).toContain("too risky");
    expect(plan.events.at(-1)?.id).toBe("result_c");
  });

  test("rests when there is nothing to do", () => {
    expect(begin(state(), RETRY)).toMatchObject({ next: "rest", events: [], patch: { wake: null, releaseLease: true } });
    expect(begin(state({ head: { status: "terminated" } }), RETRY).events).toEqual([]);
  });

  test("an interrupt of a turn that was not taken up yet shows the turn and ends it; what follows starts the next", () => {
    const inbox = [message(1), interruption(2), message(3)];
    const plan = begin(state({ head: { turnPending: true, interrupted: true }, inbox }), RETRY);
    expect(types(plan)).toEqual(["user.message", ...RUNNING, "user.interrupt", ...IDLE]);
    expect(plan).toMatchObject({
      next: "again",
      taken: [1, 2],
      patch: { status: "idle", turnPending: true, interrupted: false },
    });
  });
});

describe("recover", () => {
  const running = { status: "running", shownStatus: "running" } as const;

  test("closes spans and started calls, runs what has no effect again, keeps what never started", () => {
    const calls = [
      call("a", { started: true }),
      call("b", { started: true, name: "read" }),
      call("c", { permission: "ask", confirmed: "allow" }),
    ];
    const plan = begin(state({ head: running, calls, openSpans: ["s"] }), RETRY);
    expect(types(plan)).toEqual(["span.model_request_end", "agent.tool_result"]);
    expect(plan.events[0]?.fields).toMatchObject({ model_request_start_id: "s", is_error: true });
    expect(JSON.stringify(plan.events[1]?.fields)).toContain(CRASHED_TEXT);
    expect(plan).toMatchObject({ next: "run", finished: ["a"], restarted: ["b"], patch: { attempts: 1 } });
  });

  test("gives up after the last attempt, with every call closed once", () => {
    const calls = [call("a", { started: true }), call("b")];
    const plan = begin(state({ head: { ...running, attempts: ATTEMPTS_MAX - 1 }, calls, openSpans: ["s"] }), RETRY);
    expect(types(plan)).toEqual(["span.model_request_end", "agent.tool_result", "agent.tool_result", "session.error", ...IDLE]);
    expect(plan.finished).toEqual(["a", "b"]);
    expect(plan.next).toBe("rest");
    expect(stopReason(plan)).toEqual({ type: "retries_exhausted" });
  });

  test("a turn that the model has ended is finished, and the model is not asked again", () => {
    const at = (ending: Head["ending"], inbox: InboxRow[] = []) => state({ head: { ...running, ending }, inbox });
    expect(begin(at({ type: "end_turn" }), RETRY)).toMatchObject({ next: "finish", events: [], patch: { attempts: 1 } });
    const plan = settleFinished(at({ type: "end_turn" }), RETRY);
    expect(types(plan)).toEqual(IDLE);
    expect(stopReason(plan)).toEqual({ type: "end_turn" });
    const refusal = { type: "refusal", details: { type: "refusal", category: null, explanation: "no" } } as const;
    expect(stopReason(settleFinished(at(refusal), RETRY))).toEqual({ type: "refusal" });
    const onward = settleFinished(at({ type: "end_turn" }, [message(1)]), RETRY);
    expect(onward).toMatchObject({ next: "run", taken: [1] });
  });

  test("a turn that is cut again and again before its end is ended at once; an interrupt ends it too", () => {
    const head = { ...running, ending: { type: "end_turn" } } as const;
    const worn = begin(state({ head: { ...head, attempts: ATTEMPTS_MAX - 1 } }), RETRY);
    expect(types(worn)).toEqual(IDLE);
    expect(stopReason(worn)).toEqual({ type: "end_turn" });
    const inbox = [interruption(1)];
    for (const plan of [begin, settleFinished].map((decide) =>
      decide(state({ head: { ...head, interrupted: true }, inbox }), RETRY),
    ))
      expect(types(plan)).toEqual(["user.interrupt", ...IDLE]);
  });

  test("a turn that was stopped for nothing goes on, and one that the model has ended ends", () => {
    const open = state({ head: running, openSpans: ["s"], calls: [call("a", { started: true })] });
    const onward = settle(open, { type: "interrupted" }, RETRY);
    expect(types(onward)).toEqual(["span.model_request_end", "agent.tool_result"]);
    expect(onward).toMatchObject({ next: "run", patch: { attempts: 1 } });
    const ended = settle(state({ head: { ...running, ending: { type: "end_turn" } } }), { type: "interrupted" }, RETRY);
    expect(types(ended)).toEqual(IDLE);
    expect(ended.next).toBe("rest");
  });

  test("a harness that leaves a call behind fails, and the call gets its result", () => {
    for (const type of ["end_turn", "requires_action"] as const) {
      const left = [call("a", { started: true }), call("b", { permission: "ask" })];
      const plan = settle(state({ head: running, calls: left }), { type }, RETRY);
      expect(types(plan)).toEqual(["agent.tool_result", "agent.tool_result", "session.error", ...IDLE]);
      expect(plan.finished).toEqual(["a", "b"]);
    }
  });

  test("an interrupt that came before the crash still ends the turn", () => {
    const plan = begin(state({ head: { ...running, interrupted: true }, inbox: [message(1), interruption(2)] }), RETRY);
    expect(types(plan)).toEqual(["user.interrupt", ...IDLE]);
    expect(plan).toMatchObject({ next: "again", taken: [2] });
  });
});

describe("settle", () => {
  const running = { status: "running", shownStatus: "running" } as const;

  test("end_turn: thread idle, usage, session idle, in this order (semantics §5.2)", () => {
    const plan = settle(
      state({ head: { ...running, runningSince: new Date(NOW.getTime() - 500) } }),
      { type: "end_turn" },
      RETRY,
    );
    expect(types(plan)).toEqual(IDLE);
    expect(plan.events[1]?.fields.usage).toMatchObject({ input_tokens: 1, output_tokens: 2, active_seconds: 2 });
    expect(plan).toMatchObject({ next: "rest", patch: { wake: null, releaseLease: true, status: "idle" } });
  });

  test("inputs that came meanwhile are taken up at the turn boundary, without an idle between", () => {
    const plan = settle(state({ head: running, inbox: [message(4)] }), { type: "end_turn" }, RETRY);
    expect(types(plan)).toEqual(["user.message"]);
    expect(plan).toMatchObject({ next: "run", taken: [4], patch: { steps: 0 } });
  });

  test("requires_action lists the open calls in order and leaves queued messages alone", () => {
    const calls = [
      call("a", { permission: "ask" }),
      call("b", { kind: "custom" }),
      call("c", { permission: "ask", confirmed: "allow" }),
    ];
    const plan = settle(state({ head: running, calls, inbox: [message(1)] }), { type: "requires_action" }, RETRY);
    expect(stopReason(plan)).toEqual({ type: "requires_action", event_ids: ["a", "b"] });
    expect(plan).toMatchObject({ next: "rest", taken: [], patch: { turnPending: false } });
  });

  test("requires_action with everything answered meanwhile goes on", () => {
    const plan = settle(
      state({ head: running, calls: [call("a", { permission: "ask", confirmed: "deny" })] }),
      { type: "requires_action" },
      RETRY,
    );
    expect(types(plan)).toEqual(["agent.tool_result"]);
    expect(plan.next).toBe("run");
  });

  test("an interrupt closes open calls with the literal text, ends the turn, keeps earlier messages queued", () => {
    const calls = [call("a", { started: true }), call("b", { permission: "ask" })];
    const inbox = [message(1), interruption(2), interruption(3)];
    const plan = settle(
      state({ head: { ...running, interrupted: true }, calls, inbox, openSpans: ["s"] }),
      { type: "end_turn" },
      RETRY,
    );
    expect(types(plan)).toEqual([
      "span.model_request_end",
      "agent.tool_result",
      "agent.tool_result",
      "user.interrupt",
      "user.interrupt",
      ...IDLE,
    ]);
    expect(JSON.stringify(plan.events)).toContain(INTERRUPTED_TEXT);
    expect(plan).toMatchObject({
      next: "again",
      taken: [2, 3],
      finished: ["a", "b"],
      patch: { interrupted: false, turnPending: true },
    });
  });

  test("retryable: retrying, rescheduled, a wake later; then exhausted with the queue flushed (semantics §6)", () => {
    const error = { kind: "model_overloaded_error", message: "overloaded", disposition: "retryable" } as const;
    const plan = settle(state({ head: running }), { type: "failed", error }, RETRY);
    expect(types(plan)).toEqual(["session.error", "session.status_rescheduled", "session.thread_status_rescheduled"]);
    expect(plan.events[0]?.fields.error).toMatchObject({ type: "model_overloaded_error", retry_status: { type: "retrying" } });
    expect(plan.patch).toMatchObject({ status: "rescheduling", attempts: 1, releaseLease: true });
    const last = settle(
      state({ head: { ...running, attempts: ATTEMPTS_MAX - 1 }, inbox: [message(7)] }),
      { type: "failed", error },
      RETRY,
    );
    expect(types(last)).toEqual(["user.message", "session.error", ...IDLE]);
    expect(last.events[1]?.fields.error).toMatchObject({ retry_status: { type: "exhausted" } });
    expect(stopReason(last)).toEqual({ type: "retries_exhausted" });
    expect(last.patch).toMatchObject({ turnPending: false, attempts: 0, wake: null });
  });

  test("terminal: the session is over", () => {
    const error = { kind: "model_request_failed_error", message: "no such model", disposition: "terminal" } as const;
    const plan = settle(state({ head: running }), { type: "failed", error }, RETRY);
    expect(types(plan)).toEqual(["session.error", "session.thread_status_terminated", "session.status_terminated"]);
    expect(plan.patch.status).toBe("terminated");
  });

  test("refusal carries its details", () => {
    const details = { type: "refusal", category: "cyber", explanation: "no" } as const;
    const plan = settle(state({ head: running }), { type: "refusal", details }, RETRY);
    expect(plan.events.at(-1)?.fields).toEqual({ stop_reason: { type: "refusal" }, stop_details: details });
  });
});

test("the retry delay doubles, has a bound, and honours the provider's word", () => {
  for (let attempts = 1; attempts < 10; attempts++) {
    const delay = retryDelayMs(attempts, undefined, RETRY);
    expect(delay).toBeLessThanOrEqual(Math.min(30_000, 1000 * 2 ** (attempts - 1)));
    expect(delay).toBeGreaterThanOrEqual(Math.min(30_000, 1000 * 2 ** (attempts - 1)) * 0.75 - 1);
  }
  expect(retryDelayMs(1, 60_000, RETRY)).toBe(60_000);
  expect(retryDelayMs(1, 10_000_000, RETRY)).toBe(120_000);
});
