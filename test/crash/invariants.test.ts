import { describe, expect, test } from "vitest";
import { effectToken, violations } from "./invariants.ts";
import type { CallRecord, LogEvent, SessionRecord } from "./session-record.ts";

const TOKEN = effectToken();
const END_TURN = { type: "end_turn" };
const NO_TOKENS = { input_tokens: 0, output_tokens: 0 };
const TOKENS = { input_tokens: 7, output_tokens: 3 };

/** A turn with one call, from the message to the end. */
const TURN: readonly (readonly [type: string, body?: Record<string, unknown>, id?: string])[] = [
  ["user.message", {}, "message"],
  ["session.status_running"],
  ["session.thread_status_running"],
  ["span.model_request_start", {}, "span1"],
  ["agent.message"],
  ["agent.tool_use", { input: { command: `echo ${TOKEN}` }, evaluated_permission: "allow" }, "call"],
  ["span.model_request_end", { model_request_start_id: "span1", model_usage: TOKENS }],
  ["agent.tool_result", { tool_use_id: "call", is_error: false }, "result"],
  ["span.model_request_start", {}, "span2"],
  ["agent.message"],
  ["span.model_request_end", { model_request_start_id: "span2", model_usage: NO_TOKENS }],
  ["session.thread_status_idle", { stop_reason: END_TURN }],
  ["session.usage", { usage: { input_tokens: 7 } }],
  ["session.status_idle", { stop_reason: END_TURN }],
];

function turn(edit: (events: LogEvent[], record: SessionRecord) => LogEvent[] = (events) => events): SessionRecord {
  const events = TURN.map(([type, body = {}, id], index): LogEvent => {
    return { seq: index + 1, id: id ?? `e${index}`, type, processedAt: new Date(index), body: structuredClone(body) };
  });
  const call: CallRecord = {
    id: "call",
    kind: "builtin",
    permission: "allow",
    resultId: "result",
    finished: true,
    confirmed: null,
  };
  const record: SessionRecord = {
    id: "sesn_1",
    head: {
      seq: 0,
      status: "idle",
      shownStatus: "idle",
      stopReason: END_TURN,
      turnPending: false,
      interrupted: false,
      inboxCount: 0,
      inputTokens: 7,
      outputTokens: 3,
      leaseOwner: null,
      wakeAt: null,
    },
    events,
    inbox: [],
    calls: [call],
    openSpans: [],
  };
  record.events = edit(events, record).map((event, index) => ({ ...event, seq: event.seq === 0 ? 0 : index + 1 }));
  record.head.seq ||= record.events.length;
  return record;
}

const broken = (change: (events: LogEvent[], record: SessionRecord) => void): SessionRecord =>
  turn((events, record) => {
    change(events, record);
    return events;
  });

const TOLD = [{ id: "message", type: "user.message" }];
const once = new Map([[TOKEN, 1]]);
const without = (type: string) => turn((events) => events.filter((event) => event.type !== type));
const at = (events: LogEvent[], index: number) => events[index] as LogEvent;
const swap = (one: number, other: number) => turn((events) => events.with(one, at(events, other)).with(other, at(events, one)));

test("a turn as it should be breaks none", () => {
  expect(violations(turn(), TOLD, once)).toEqual([]);
});

describe("each of these is seen", () => {
  const cases: Record<string, [SessionRecord, string, ReadonlyMap<string, number>?]> = {
    "a gap in seq": [
      broken((events) => {
        at(events, 3).seq = 0;
      }),
      "seq 0 stands where 4",
    ],
    "an event twice": [turn((events) => [...events.slice(0, 5), at(events, 4), ...events.slice(5)]), "on the log twice"],
    "time that goes back": [
      broken((events) => {
        at(events, 4).processedAt = new Date(99);
      }),
      "older than the event before",
    ],
    "a lost message": [without("user.message"), "was acknowledged and is lost"],
    "an input that waits for nothing": [
      broken((_, record) => {
        record.inbox = [{ id: "x", type: "user.message" }];
      }),
      "waits in the inbox",
    ],
    "a call without a result": [without("agent.tool_result"), "has 0 results, not 1"],
    "two results": [
      turn((events) => [...events.slice(0, 8), { ...at(events, 7), id: "again" }, ...events.slice(8)]),
      "has 2 results, not 1",
    ],
    "a result under another id": [
      broken((events) => {
        at(events, 7).id = "other";
      }),
      "has the id other",
    ],
    "a result of nothing": [
      broken((events) => {
        at(events, 7).body.tool_use_id = "none";
      }),
      "which is not open",
    ],
    "a span without an end": [turn((events) => events.toSpliced(10, 1)), "comes inside the span span2"],
    "an end without a start": [turn((events) => events.toSpliced(8, 2)), "ends span2, open is none"],
    "a request while a call runs": [swap(7, 8), "have no result"],
    "a message outside a span": [swap(3, 4), "comes outside a span"],
    "a call before the message": [swap(4, 5), "is out of order"],
    "a turn that nobody started": [without("session.status_running"), "comes while the session is idle"],
    "a turn that does not end": [turn((events) => events.slice(0, 11)), "the log ends running"],
    "no usage before the idle": [without("session.usage"), "comes where session.usage must"],
    "usage that does not add up": [
      broken((_, record) => {
        record.head.outputTokens = 4;
      }),
      "counts 7+4 tokens",
    ],
    "a head that says otherwise": [
      broken((_, record) => {
        record.head.status = "running";
      }),
      "the head is running/idle",
    ],
    "a lease that is held": [
      broken((_, record) => {
        record.head.leaseOwner = 1;
      }),
      "not at rest",
    ],
    "an effect twice": [turn(), "happened 2 times", new Map([[TOKEN, 2]])],
    "a good result without the effect": [turn(), "no effect", new Map()],
    "an effect that no call explains": [
      turn(),
      "no call on the log has it",
      new Map([
        [TOKEN, 1],
        [effectToken(), 1],
      ]),
    ],
    "a call that ran though it was denied": [
      broken((_, record) => {
        record.calls = record.calls.map((call) => ({ ...call, permission: "deny" }));
      }),
      "never allowed",
    ],
  };
  for (const [name, [record, sentence, effects = once]] of Object.entries(cases)) {
    test(name, () => {
      expect(violations(record, TOLD, effects).join("\n")).toContain(sentence);
    });
  }
});
