import type { SessionEvent } from "@sandbox0/protocol";
import { describe, expect, test } from "vitest";
import { checkLog } from "./fixture/log-check.ts";
import { createWire } from "./fixture/wire.ts";
import { verifies } from "./fixture/verifies.ts";

/** The checks that run behind every test of the suite: each must be able to fail. */
const AGENT = {
  id: "agent_1",
  type: "agent",
  name: "a",
  description: null,
  system: null,
  model: { id: "m", effort: { type: "high" }, speed: "standard" },
  tools: [],
  mcp_servers: [],
  skills: [],
  multiagent: null,
  execution_identity: { type: "service_account" },
  metadata: {},
  version: 1,
  created_at: "2026-01-01T00:00:00Z",
  updated_at: "2026-01-01T00:00:00Z",
  archived_at: null,
};
const HEADERS = { "content-type": "application/json", "request-id": "req_1" };

async function problemsOf(path: string, body: string, init: ResponseInit, method = "GET"): Promise<string[]> {
  const wire = createWire(async () => new Response(body, init));
  const response = await wire.fetch(`http://x${path}`, { method });
  await response.text();
  return wire.takeProblems();
}

verifies(
  ["http.official-types", "http.json-content-type", "http.request-id"],
  "every answer is checked against the official types",
  async () => {
    const check = (body: object, init: ResponseInit = { headers: HEADERS }) =>
      problemsOf("/v1/agents/agent_1", JSON.stringify(body), init);
    expect(await check(AGENT)).toEqual([]);
    expect(await check({ ...AGENT, surprise: 1 })).toEqual([expect.stringContaining("surprise")]);
    expect(await check({ ...AGENT, version: "1" })).toEqual([expect.stringContaining("version")]);
    const { archived_at: _, ...partly } = AGENT;
    expect(await check(partly)).toEqual([expect.stringContaining("archived_at")]);
    expect(await check(AGENT, { headers: { "content-type": "application/json" } })).toEqual([
      expect.stringContaining("request-id"),
    ]);
    expect(await check(AGENT, { headers: { "request-id": "req_1" } })).toEqual([expect.stringContaining("content-type")]);
    const error = { type: "error", error: { type: "conflict_error", message: "m" }, request_id: "req_2" };
    expect(await check(error, { status: 409, headers: HEADERS })).toEqual([
      expect.stringContaining("request_id"),
      expect.stringContaining("x-should-retry"),
    ]);
  },
);

const sse = (...events: object[]) =>
  events.map((event) => `event: ${(event as SessionEvent).type}\ndata: ${JSON.stringify(event)}\n\n`).join("");
const at = (second: number) => `2026-01-01T00:00:0${second}Z`;
const start = (id: string) => ({ type: "event_start", event: { type: "agent.message", id } });
const delta = (id: string, text: string) => ({
  type: "event_delta",
  event_id: id,
  delta: { type: "content_delta", content: { type: "text", text } },
});
const said = (id: string, text: string, second = 1) => ({
  id,
  type: "agent.message",
  processed_at: at(second),
  content: [{ type: "text", text }],
});

verifies(
  ["http.official-types", "stream.frames", "previews.prefix", "stream.each-once"],
  "every stream is checked frame by frame",
  async () => {
    const check = (text: string) =>
      problemsOf("/v1/sessions/sesn_1/events/stream", text, {
        headers: { "content-type": "text/event-stream", "request-id": "req_1" },
      });
    expect(
      await check(`: hello\n\nevent: ping\ndata: {}\n\n${sse(start("sevt_1"), delta("sevt_1", "He"), said("sevt_1", "Hello"))}`),
    ).toEqual([]);
    const broken: [string, string][] = [
      [`data: ${JSON.stringify(said("sevt_1", "x"))}\n\n`, "event line"],
      [sse(said("sevt_1", "x")).replace("event: agent.message", "event: message"), "frame named"],
      [sse({ ...said("sevt_1", "x"), extra: 1 }), "extra"],
      [sse(said("sevt_1", "x"), said("sevt_1", "x")), "shown twice"],
      [sse(said("sevt_1", "x", 2), said("sevt_2", "x", 1)), "goes back"],
      [sse(start("sevt_1"), delta("sevt_1", "Ho"), said("sevt_1", "Hello")), "not a prefix"],
      [sse(start("sevt_1"), start("sevt_1")), "second event_start"],
      [sse(start("sevt_1"), said("sevt_1", "x"), delta("sevt_1", "x")), "is over"],
      [sse(said("sevt_1", "x"), start("sevt_1")), "after its event"],
    ];
    for (const [text, problem] of broken) expect(await check(text)).toContainEqual(expect.stringContaining(problem));
  },
);

verifies("stream.same-as-list", "an event that reads differently in two places is seen", async () => {
  let text = "one";
  const wire = createWire(async () =>
    Response.json({ data: [said("sevt_1", text)], next_page: null }, { headers: { "request-id": `req_${text}` } }),
  );
  await wire.fetch("http://x/v1/sessions/sesn_1/events");
  text = "two";
  await wire.fetch("http://x/v1/sessions/sesn_1/events");
  expect(wire.takeProblems()).toEqual([expect.stringContaining("two forms")]);
});

describe("the check of a log", () => {
  let count = 0;
  const event = (type: string, fields: object = {}): SessionEvent =>
    ({ id: `sevt_${++count}`, type, processed_at: at(1), ...fields }) as SessionEvent;
  const running = () => [
    event("session.status_running"),
    event("session.thread_status_running", { session_thread_id: "t", agent_name: "a" }),
  ];
  const idle = (stop_reason: object = { type: "end_turn" }) => [
    event("session.thread_status_idle", { stop_reason }),
    event("session.usage"),
    event("session.status_idle", { stop_reason }),
  ];
  const step = (...inside: SessionEvent[]) => {
    const begin = event("span.model_request_start");
    return [begin, ...inside, event("span.model_request_end", { model_request_start_id: begin.id })];
  };

  test("takes what a session does", () => {
    const use = event("agent.tool_use", { evaluated_permission: "allow" });
    const result = event("agent.tool_result", { tool_use_id: use.id });
    expect(
      checkLog([event("user.message"), ...running(), ...step(use), result, ...step(event("agent.message")), ...idle()]),
    ).toEqual([]);
  });

  test("refuses what it cannot have done", () => {
    const use = event("agent.tool_use", { evaluated_permission: "allow" });
    const result = () => event("agent.tool_result", { tool_use_id: use.id });
    const broken: [SessionEvent[], string][] = [
      [[...running(), ...step(use), ...idle()], "without a result"],
      [[...running(), ...step(use), result(), result(), ...idle()], "second result"],
      [[...running(), result()], "no call before it"],
      [[...running(), event("span.model_request_start"), ...idle()], "open"],
      [[...running(), event("agent.message"), ...idle()], "outside of a model request"],
      [[...running(), ...running()], "while the session runs"],
      [
        [...running(), event("session.thread_status_idle"), event("session.status_idle", { stop_reason: { type: "end_turn" } })],
        "session.usage",
      ],
      [[...running(), ...idle({ type: "requires_action", event_ids: ["sevt_x"] })], "leaves open []"],
      [[event("user.message", { processed_at: null }), ...running()], "behind a queued event"],
      [[event("session.status_terminated"), event("user.message")], "after session.status_terminated"],
      [[event("user.message", { processed_at: at(2) }), ...running()], "earlier"],
    ];
    for (const [log, problem] of broken) expect(checkLog(log)).toContainEqual(expect.stringContaining(problem));
  });
});
