import type { EventParams } from "@sandbox0/protocol";
import { ApiError } from "@sandbox0/protocol";
import { describe, expect, test } from "vitest";
import { type Admission, admit, EVENTS_PER_SEND_MAX, INBOX_BYTES_MAX, INBOX_MAX } from "./admit.ts";
import type { Head, InboxRow, ToolCall } from "./head.ts";

const NOW = new Date("2026-11-25T12:00:00.000Z");
const THREAD = { threadId: "sthr_1", agentName: "agent" };

function head(change: Partial<Head> = {}): Head {
  const status = change.status ?? "idle";
  return {
    sessionId: "sesn_1",
    seq: 10,
    lastEventAt: NOW,
    status,
    shownStatus: status,
    stopReason: null,
    inboxPosition: 0,
    inboxCount: 0,
    turnPending: false,
    interrupted: false,
    ending: null,
    attempts: 0,
    steps: 0,
    usage: {
      inputTokens: 0,
      outputTokens: 0,
      cacheReadTokens: 0,
      cacheWriteTokens: 0,
      activeMs: 0,
      webSearches: 0,
      tokenCostUsd: null,
    },
    runningSince: null,
    leaseOwner: null,
    leaseGeneration: 1,
    ...change,
  };
}
const waiting = (ids: string[]) => head({ stopReason: { type: "requires_action", event_ids: ids } });
function call(id: string, change: Partial<ToolCall> = {}): ToolCall {
  const base = {
    kind: "builtin",
    name: "bash",
    input: {},
    permission: "ask",
    resultId: `r_${id}`,
    started: false,
    finished: false,
  } as const;
  return { id, ...base, confirmed: null, answer: null, answerId: null, denyMessage: null, ...change };
}
const text = (value: string): EventParams => ({ type: "user.message", content: [{ type: "text", text: value }] });
const allow = (id: string): EventParams => ({ type: "user.tool_confirmation", tool_use_id: id, result: "allow" });
const deny = (id: string, message?: string): EventParams => ({
  type: "user.tool_confirmation",
  tool_use_id: id,
  result: "deny",
  deny_message: message,
});
const answer = (id: string, value = "ok"): EventParams => ({
  type: "user.custom_tool_result",
  custom_tool_use_id: id,
  content: [{ type: "text", text: value }],
});
const system: EventParams = { type: "system.message", content: [{ type: "text", text: "s" }] };
const interrupt: EventParams = { type: "user.interrupt" };

function run(at: Head, events: EventParams[], calls: ToolCall[] = [], inbox: InboxRow[] = [], inboxBytes = 0): Admission {
  return admit({ head: at, thread: THREAD, now: NOW, calls, inbox, inboxBytes }, events);
}
function refused(at: Head, events: EventParams[], calls: ToolCall[] = []): string {
  try {
    run(at, events, calls);
  } catch (error) {
    if (error instanceof ApiError && error.status === 400) return error.message;
    throw error;
  }
  throw new Error("it was accepted");
}
const appended = (admission: Admission) => admission.append.map((event) => event.type);
const IDLE = ["session.thread_status_idle", "session.usage", "session.status_idle"];

describe("messages", () => {
  test("an idle session admits them unprocessed and starts a turn", () => {
    const admission = run(head(), [text("a"), text("b")]);
    expect(admission).toMatchObject({ append: [], startsTurn: true, interrupted: false });
    expect(admission.enqueue.map((row) => row.type)).toEqual(["user.message", "user.message"]);
    expect(admission.echo.map((echo) => echo.state)).toEqual(["admitted", "admitted"]);
  });

  test("a running one queues them", () => {
    expect(run(head({ status: "running" }), [text("a")])).toMatchObject({
      startsTurn: false,
      enqueue: [{ type: "user.message" }],
    });
  });

  test("a waiting one refuses them with the official text (semantics §5.4)", () => {
    expect(refused(waiting(["c1", "c2"]), [text("a")], [call("c1"), call("c2")])).toBe(
      "Invalid user.message event at events[0]: waiting on responses to events [c1, c2]; only `user.tool_confirmation`, " +
        "`user.custom_tool_result`, `user.tool_result`, or `user.interrupt` may be sent",
    );
  });

  test("a terminated one refuses everything; bounds are errors", () => {
    expect(refused(head({ status: "terminated" }), [interrupt])).toContain("terminated");
    expect(
      refused(
        head(),
        Array.from({ length: EVENTS_PER_SEND_MAX + 1 }, () => text("x")),
      ),
    ).toContain(String(EVENTS_PER_SEND_MAX));
    const full = head({ status: "running", inboxCount: INBOX_MAX });
    expect(() => run(full, [text("x")])).toThrow(/waiting/);
    expect(() => run(head({ status: "running" }), [text("x")], [], [], INBOX_BYTES_MAX)).toThrow(/waiting/);
    // However full it is, it can be stopped.
    expect(run(full, [interrupt], [], [], INBOX_BYTES_MAX)).toMatchObject({ interrupted: true });
    const flooded = head({ status: "running", inboxCount: INBOX_MAX + EVENTS_PER_SEND_MAX });
    expect(() => run(flooded, [interrupt])).toThrow(/waiting/);
  });
});

describe("answers", () => {
  test("some of several: logged at once, and what is left is said again (contract §7.10)", () => {
    const admission = run(waiting(["c1", "c2", "c3"]), [allow("c2")], [call("c1"), call("c2"), call("c3")]);
    expect(appended(admission)).toEqual(["user.tool_confirmation", ...IDLE]);
    expect(admission.append.at(-1)?.fields.stop_reason).toEqual({ type: "requires_action", event_ids: ["c1", "c3"] });
    expect(admission.startsTurn).toBe(false);
  });

  test("the last one starts the turn, and a message behind it is queued", () => {
    const admission = run(waiting(["c1", "c2"]), [allow("c1"), deny("c2", "no"), text("go on")], [call("c1"), call("c2")]);
    expect(appended(admission)).toEqual(["user.tool_confirmation", "user.tool_confirmation"]);
    expect(admission.startsTurn).toBe(true);
    expect(admission.answers).toMatchObject([
      { callId: "c1", confirmed: "allow" },
      { callId: "c2", confirmed: "deny", answer: { deny_message: "no" } },
    ]);
    expect(admission.enqueue).toHaveLength(1);
  });

  test("a custom result may come while the session still runs", () => {
    const admission = run(head({ status: "running" }), [answer("c1")], [call("c1", { kind: "custom", permission: "allow" })]);
    expect(appended(admission)).toEqual(["user.custom_tool_result"]);
    expect(admission).toMatchObject({
      startsTurn: false,
      answers: [{ callId: "c1", finishes: true }],
      echo: [{ state: "logged" }],
    });
  });

  test("identical again is known, different is refused (semantics §25 no. 17)", () => {
    const done = call("c1", {
      kind: "custom",
      finished: true,
      answer: { content: [{ type: "text", text: "ok" }], is_error: null },
      answerId: "e1",
    });
    expect(run(head(), [answer("c1")], [done])).toMatchObject({ append: [], answers: [], echo: [{ state: "known", id: "e1" }] });
    expect(refused(head(), [answer("c1", "other")], [done])).toContain("already answered differently");
    expect(refused(waiting(["c1"]), [allow("c1"), deny("c1")], [call("c1")])).toContain("already answered differently");
  });

  test("wrong ids, kinds and fields are named", () => {
    expect(refused(waiting(["c1"]), [allow("nope")], [call("c1")])).toBe(
      '`tool_use_id` "nope" does not match any `agent.tool_use` event in this session',
    );
    expect(refused(waiting(["c1"]), [answer("c1")], [call("c1")])).toContain("agent.custom_tool_use");
    expect(refused(head({ status: "running" }), [allow("c1")], [call("c1", { permission: "allow" })])).toContain(
      "does not wait for a confirmation",
    );
    expect(
      refused(
        waiting(["c1"]),
        [{ type: "user.tool_confirmation", tool_use_id: "c1", result: "allow", deny_message: "x" }],
        [call("c1")],
      ),
    ).toContain("deny_message");
    expect(refused(head(), [{ type: "user.tool_result", tool_use_id: "c1" }])).toContain("self_hosted");
    expect(refused(waiting(["c1"]), [{ ...allow("c1"), session_thread_id: "sthr_x" } as EventParams], [call("c1")])).toContain(
      "does not match the originating tool_use event",
    );
  });
});

describe("interrupts", () => {
  test("idle: on the log, nothing else", () => {
    expect(run(head(), [interrupt])).toMatchObject({
      append: [{ type: "user.interrupt" }],
      enqueue: [],
      interrupted: false,
      startsTurn: false,
    });
  });

  test("waiting: every open call is closed with an error, then idle, and the model is not asked", () => {
    const admission = run(
      waiting(["c1", "c2"]),
      [interrupt, text("go")],
      [call("c1"), call("c2", { kind: "custom", permission: "allow" })],
    );
    expect(appended(admission)).toEqual(["user.interrupt", "agent.tool_result", "agent.tool_result", ...IDLE]);
    expect(admission.append.at(-1)?.fields.stop_reason).toEqual({ type: "end_turn" });
    expect(admission).toMatchObject({ closed: ["c1", "c2"], startsTurn: true, interrupted: false });
  });

  test("behind an answer that leaves some waiting: all is closed, and no turn starts", () => {
    const admission = run(waiting(["c1", "c2"]), [allow("c1"), interrupt], [call("c1"), call("c2")]);
    expect(appended(admission)).toEqual([
      "user.tool_confirmation",
      "user.interrupt",
      "agent.tool_result",
      "agent.tool_result",
      ...IDLE,
    ]);
    expect(admission.append.at(-1)?.fields.stop_reason).toEqual({ type: "end_turn" });
    // Each call is changed in one place only: a statement cannot change a row twice.
    expect(admission.answers).toMatchObject([{ callId: "c1", confirmed: "allow", finishes: true }]);
    expect(admission).toMatchObject({ closed: ["c2"], startsTurn: false, interrupted: false });
  });

  test("behind the last answer: it ends the turn that the answer starts", () => {
    const admission = run(waiting(["c1"]), [allow("c1"), interrupt], [call("c1")]);
    expect(appended(admission)).toEqual(["user.tool_confirmation"]);
    expect(admission).toMatchObject({ startsTurn: true, interrupted: true, closed: [], enqueue: [{ type: "user.interrupt" }] });
  });

  test("waiting, with a message from before: it has its turn now", () => {
    const queued = { position: 1, id: "m1", type: "user.message", fields: {} };
    expect(run(waiting(["c1"]), [interrupt], [call("c1")], [queued])).toMatchObject({ closed: ["c1"], startsTurn: true });
    const note = { position: 1, id: "s1", type: "system.message", fields: {} };
    expect(run(waiting(["c1"]), [interrupt], [call("c1")], [note])).toMatchObject({ closed: ["c1"], startsTurn: false });
  });

  test("running: it jumps into the inbox and rings", () => {
    expect(run(head({ status: "running" }), [interrupt, text("go")])).toMatchObject({
      append: [],
      interrupted: true,
      startsTurn: false,
    });
    expect(run(head(), [text("a"), interrupt])).toMatchObject({ startsTurn: true, interrupted: true });
  });
});

describe("system.message", () => {
  test("last, behind an input, or alone to a session at rest (semantics §5.6)", () => {
    expect(run(head(), [text("a"), system]).enqueue).toHaveLength(2);
    expect(run(head(), [system])).toMatchObject({ startsTurn: false, enqueue: [{ type: "system.message" }] });
    expect(refused(head(), [system, text("a")])).toContain("last event");
    expect(refused(head(), [interrupt, system])).toContain("directly follow");
    expect(refused(waiting(["c1"]), [allow("c1"), system], [call("c1")])).toContain("directly follow");
    expect(refused(head({ status: "running" }), [system])).toContain("while the session is idle");
    expect(refused(waiting(["c1"]), [system], [call("c1")])).toContain("waiting on responses");
    expect(run(waiting(["c1"]), [answer("c1"), system], [call("c1", { kind: "custom", permission: "allow" })]).startsTurn).toBe(
      true,
    );
  });
});
