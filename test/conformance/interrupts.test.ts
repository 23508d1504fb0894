import { call, fail, hold, say, usage } from "@sandbox0/testkit";
import { expect } from "vitest";
import { conformanceServer, TOOLSET } from "./fixture/conformance-server.ts";
import { refusedAsInvalid } from "./fixture/refused.ts";
import {
  allow,
  countOf,
  interrupt,
  last,
  message,
  only,
  saidBy,
  stopReasons,
  textOf,
  typesOf,
  waitingIds,
} from "./fixture/test-session.ts";
import { verifies } from "./fixture/verifies.ts";

const server = conformanceServer();

/** The official text (semantics §24). */
const INTERRUPTED = "Tool execution was interrupted before completion. Please retry.";
const ASKING = { ...TOOLSET, default_config: { permission_policy: { type: "always_ask" as const } } };
const WEATHER = {
  type: "custom" as const,
  name: "weather",
  description: "The weather.",
  input_schema: { type: "object" as const },
};

verifies(["interrupt.text", "turn.spans", "interrupt.unprocessed"], "while the model answers", async () => {
  const gate = server.gate();
  const session = await server.start({}, [say("The beginning"), hold(gate), say(" and the end.")]);
  await gate.reached;
  const [stored] = await session.send(interrupt);
  expect(stored).toMatchObject({ type: "user.interrupt", processed_at: null });
  const events = await session.rest();
  expect(typesOf(events).slice(3)).toEqual([
    "span.model_request_start",
    "span.model_request_end",
    "user.interrupt",
    "session.thread_status_idle",
    "session.usage",
    "session.status_idle",
  ]);
  expect(last(events, "span.model_request_end").is_error).toBe(true);
  expect(last(events, "user.interrupt").id).toBe(stored?.id);
  expect(stopReasons(events)).toEqual(["end_turn"]);
});

verifies(["usage.per-step", "usage.cumulative"], "what the provider had said of a request that was cut is counted", async () => {
  const gate = server.gate();
  const cut = [say("The beginning"), hold(gate), say(" and the end."), usage({ input: 5_000, cacheRead: 700 })];
  const session = await server.start({}, cut);
  await gate.reached;
  await session.send(interrupt);
  const events = await session.rest();
  const tokens = { input_tokens: 5_000, cache_read_input_tokens: 700 };
  expect(last(events, "span.model_request_end")).toMatchObject({ is_error: true, model_usage: tokens });
  expect(last(events, "session.usage").usage).toMatchObject(tokens);
  expect((await session.retrieve()).usage).toMatchObject(tokens);
});

verifies(["interrupt.tool", "interrupt.goes-on"], "while a tool runs, and then the conversation goes on", async () => {
  const gate = server.sandboxGate();
  const session = await server.start({ tools: [TOOLSET] }, call("bash", { command: gate.command }));
  await gate.reached();
  await session.send(interrupt);
  const events = await session.rest();
  const result = last(events, "agent.tool_result");
  expect(result).toMatchObject({ tool_use_id: last(events, "agent.tool_use").id, is_error: true });
  expect(textOf(result)).toBe(INTERRUPTED);
  expect(stopReasons(events)).toEqual(["end_turn"]);
  const marker = server.play(call("bash", { command: "echo on" }), say("Gone on."));
  await session.send(message(marker));
  expect(saidBy(await session.rest())).toEqual(["Gone on."]);
  expect(server.requests(marker)[0]?.messages.flatMap(({ results }) => results)).toMatchObject([
    { text: INTERRUPTED, isError: true },
  ]);
});

verifies("interrupt.then-message", "[interrupt, message] in one request: idle, then the message's turn", async () => {
  const gate = server.gate();
  const session = await server.start({}, [hold(gate), say("Never said.")]);
  await gate.reached;
  const stored = await session.send(interrupt, message(server.play(say("The new answer."))));
  expect(typesOf(stored)).toEqual(["user.interrupt", "user.message"]);
  const events = await session.rest();
  const seen = typesOf(events).filter((type) => /^user|status_idle|status_running$/.test(type) && !type.includes("thread"));
  expect(seen).toEqual([
    "user.message",
    "session.status_running",
    "user.interrupt",
    "session.status_idle",
    "user.message",
    "session.status_running",
    "session.status_idle",
  ]);
  expect(saidBy(events)).toEqual(["The new answer."]);
});

verifies("interrupt.requires-action", "while the client is asked: every call closed, the model not asked", async () => {
  const marker = server.play([call("bash", { command: "echo 1" }), call("weather", {})]);
  const session = await server.createSession({ agent: { make: { tools: [ASKING, WEATHER] } } });
  await session.send(message(marker));
  const waiting = await session.rest();
  const uses = [...only(waiting, "agent.tool_use"), ...only(waiting, "agent.custom_tool_use")].map(({ id }) => id);
  await session.send(interrupt);
  const events = await session.rest();
  const added = events.slice(waiting.length);
  expect(typesOf(added)).toEqual([
    "user.interrupt",
    "agent.tool_result",
    "agent.tool_result",
    "session.thread_status_idle",
    "session.usage",
    "session.status_idle",
  ]);
  expect(only(added, "agent.tool_result").map((result) => result.tool_use_id)).toEqual(uses);
  for (const result of only(added, "agent.tool_result")) {
    expect(result.is_error).toBe(true);
    expect(textOf(result)).toBe(INTERRUPTED);
  }
  expect(stopReasons(events)).toEqual(["requires_action", "end_turn"]);
  expect(server.requests(marker)).toHaveLength(1);
});

verifies(["interrupt.requires-action", "interrupt.goes-on"], "[interrupt, message] while the client is asked", async () => {
  const session = await server.start({ tools: [WEATHER] }, call("weather", {}));
  await session.rest();
  const marker = server.play(say("Then not."));
  await session.send(interrupt, message(marker));
  const events = await session.rest();
  expect(stopReasons(events)).toEqual(["requires_action", "end_turn", "end_turn"]);
  expect(saidBy(events)).toEqual(["Then not."]);
});

verifies(
  "interrupt.requires-action",
  "some answered, then interrupted: what was allowed and has not run is closed too",
  async () => {
    const session = await server.start({ tools: [ASKING] }, [
      call("bash", { command: "echo 1" }),
      call("bash", { command: "echo 2" }),
    ]);
    const [one = "", two = ""] = waitingIds(await session.rest());
    await session.send(allow(one));
    await session.send(interrupt);
    const events = await session.rest();
    expect(only(events, "agent.tool_result").map((result) => [result.tool_use_id, textOf(result)])).toEqual([
      [one, INTERRUPTED],
      [two, INTERRUPTED],
    ]);
    expect(stopReasons(events)).toEqual(["requires_action", "requires_action", "end_turn"]);
    await refusedAsInvalid(session.send(allow(two)));
    await session.send(message(server.play(say("Gone on."))));
    expect(saidBy(await session.rest())).toEqual(["Gone on."]);
  },
);

verifies(
  ["interrupt.requires-action", "interrupt.text"],
  "[the last answer, interrupt]: the model is not asked again",
  async () => {
    const marker = server.play(call("weather", {}), say("Never said."));
    const session = await server.createSession({ agent: { make: { tools: [WEATHER] } } });
    await session.send(message(marker));
    const [id = ""] = waitingIds(await session.rest());
    await session.send(
      { type: "user.custom_tool_result", custom_tool_use_id: id, content: [{ type: "text", text: "snow" }] },
      interrupt,
    );
    const events = await session.rest();
    expect(stopReasons(events).at(-1)).toBe("end_turn");
    expect(saidBy(events)).toEqual([]);
    expect(server.requests(marker)).toHaveLength(1);
    const next = server.play(say("Snow, I know."));
    await session.send(message(next));
    expect(saidBy(await session.rest())).toEqual(["Snow, I know."]);
    expect(JSON.stringify(server.requests(next)[0]?.body)).toContain("snow");
  },
);

verifies("interrupt.idle", "on an idle session nothing happens", async () => {
  const session = await server.start({}, say("Hello."));
  const before = await session.rest();
  const [stored] = await session.send(interrupt);
  expect(stored).toMatchObject({ type: "user.interrupt", id: expect.stringMatching(/^sevt_/) });
  expect((await session.retrieve()).status).toBe("idle");
  const marker = server.play(say("Again."));
  await session.send(message(marker));
  const events = await session.rest();
  expect(typesOf(events.slice(before.length)).filter((type) => type.startsWith("session.status"))).toEqual([
    "session.status_running",
    "session.status_idle",
  ]);
  expect(saidBy(events)).toEqual(["Hello.", "Again."]);

  const fresh = await server.createSession();
  await fresh.send(interrupt);
  expect(typesOf(await fresh.rest())).toEqual(["user.interrupt"]);
});

verifies("interrupt.jumps-queue", "it jumps ahead of queued messages, which make the next turn", async () => {
  const gate = server.gate();
  const session = await server.start({}, [hold(gate), say("Never said.")]);
  await gate.reached;
  const queued = await session.send(message(`first`), message(server.play(say("To both."))));
  const [stop] = await session.send(interrupt);
  const events = await session.rest();
  const order = events.filter((event) => [...queued, stop].some((sent) => sent?.id === event.id)).map(({ id }) => id);
  expect(order).toEqual([stop?.id, ...queued.map(({ id }) => id)]);
  expect(stopReasons(events)).toEqual(["end_turn", "end_turn"]);
  expect(saidBy(events)).toEqual(["To both."]);
});

verifies("interrupt.rescheduling", "between two tries: idle, and no further try", async () => {
  const marker = server.play(fail(529, { retryAfterSeconds: 100 }));
  const session = await server.createSession();
  await session.send(message(marker));
  await session.until((events) => countOf(events, "session.status_rescheduled") === 1);
  await session.send(interrupt);
  const events = await session.rest();
  expect(stopReasons(events)).toEqual(["end_turn"]);
  expect(server.requests(marker)).toHaveLength(1);
  await session.send(message(server.play(say("Now it works."))));
  expect(saidBy(await session.rest())).toEqual(["Now it works."]);
});

verifies("interrupt.thread", "by thread: the primary one works, another is a 400", async () => {
  const gate = server.gate();
  const session = await server.start({}, [hold(gate), say("Never said.")]);
  await gate.reached;
  await refusedAsInvalid(session.send({ type: "user.interrupt", session_thread_id: "sthr_01unknown" }), /sthr_01unknown/);
  const threadId = await session.threadId();
  await session.send({ type: "user.interrupt", session_thread_id: threadId });
  const events = await session.rest();
  expect(stopReasons(events)).toEqual(["end_turn"]);
  expect(last(events, "user.interrupt").session_thread_id).toBe(threadId);
});

verifies("interrupt.terminated", "on a terminated session: 400", async () => {
  const session = await server.createSession();
  await server.client.beta.sessions.archive(session.id);
  await refusedAsInvalid(session.send(interrupt));
});

verifies("interrupt.text", "two at once, and one behind a message that has not begun: each turn ends once", async () => {
  const gate = server.gate();
  const session = await server.start({}, [hold(gate), say("Never said.")]);
  await gate.reached;
  await session.send(interrupt, interrupt);
  const events = await session.rest();
  expect(countOf(events, "user.interrupt")).toBe(2);
  expect(stopReasons(events)).toEqual(["end_turn"]);

  const other = await server.createSession();
  await other.send(message("Never answered."), interrupt);
  const log = await other.rest();
  expect(stopReasons(log)).toEqual(["end_turn"]);
  expect(saidBy(log)).toEqual([]);
});
