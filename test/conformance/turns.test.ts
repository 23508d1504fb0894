import { call, refuse, say, stopFor, think, thinkRedacted, usage } from "@sandbox0/testkit";
import { expect } from "vitest";
import { conformanceServer, TOOLSET } from "./fixture/conformance-server.ts";
import { countOf, last, message, only, saidBy, stopReasons, textOf, typesOf } from "./fixture/test-session.ts";
import { verifies } from "./fixture/verifies.ts";

const server = conformanceServer();

const START = ["user.message", "session.status_running", "session.thread_status_running"];
const END = ["session.thread_status_idle", "session.usage", "session.status_idle"];
const ANSWER = ["span.model_request_start", "agent.message", "span.model_request_end"];

verifies(["turn.order", "turn.thread-status"], "one answer: every event, in this order", async () => {
  const session = await server.start({ name: "Ada" }, say("Hello."));
  const events = await session.rest();
  expect(typesOf(events)).toEqual([...START, ...ANSWER, ...END]);
  expect(saidBy(events)).toEqual(["Hello."]);
  const thread = { session_thread_id: await session.threadId(), agent_name: "Ada" };
  expect(last(events, "session.thread_status_running")).toMatchObject(thread);
  expect(last(events, "session.thread_status_idle")).toMatchObject({ ...thread, stop_reason: { type: "end_turn" } });
  expect(last(events, "session.status_idle")).toMatchObject({ stop_reason: { type: "end_turn" }, stop_details: null });
});

verifies(
  ["turn.order", "turn.tool-use-before-end", "turn.one-flip"],
  "a tool call: one running, one idle around it all",
  async () => {
    const session = await server.start({ tools: [TOOLSET] }, [say("I look."), call("bash", { command: "pwd" })], say("Done."));
    const events = await session.rest();
    expect(typesOf(events)).toEqual([
      ...START,
      "span.model_request_start",
      "agent.message",
      "agent.tool_use",
      "span.model_request_end",
      "agent.tool_result",
      ...ANSWER,
      ...END,
    ]);
    const use = last(events, "agent.tool_use");
    expect(use).toMatchObject({ name: "bash", input: { command: "pwd" } });
    expect(last(events, "agent.tool_result")).toMatchObject({ tool_use_id: use.id, is_error: false });
  },
);

verifies(
  ["turn.order", "tools.parallel"],
  "three calls in one response: three uses, the span's end, one result each",
  async () => {
    const calls = ["a", "b", "c"].map((name) => call("bash", { command: `echo ${name}` }));
    const session = await server.start({ tools: [TOOLSET] }, calls, say("Done."));
    const events = await session.rest();
    const uses = only(events, "agent.tool_use");
    expect(uses.map((use) => use.input.command)).toEqual(["echo a", "echo b", "echo c"]);
    expect(typesOf(events).slice(3, 8)).toEqual([
      "span.model_request_start",
      "agent.tool_use",
      "agent.tool_use",
      "agent.tool_use",
      "span.model_request_end",
    ]);
    const results = only(events, "agent.tool_result");
    const outputs = uses.map((use) =>
      results.filter((result) => result.tool_use_id === use.id).map((result) => textOf(result).trim()),
    );
    expect(outputs).toEqual([["a"], ["b"], ["c"]]);
  },
);

verifies("turn.no-text", "a response of calls alone has no agent.message", async () => {
  const session = await server.start({ tools: [TOOLSET] }, call("bash", { command: "true" }), say("Done."));
  const events = await session.rest();
  expect(saidBy(events)).toEqual(["Done."]);
});

verifies("turn.thinking", "thinking is a signal without content, before the message", async () => {
  const session = await server.start({}, [think("Hm."), thinkRedacted("opaque"), say("So.")]);
  const events = await session.rest();
  expect(typesOf(events)).toEqual([
    ...START,
    "span.model_request_start",
    "agent.thinking",
    "agent.message",
    "span.model_request_end",
    ...END,
  ]);
  expect(Object.keys(last(events, "agent.thinking")).sort()).toEqual(["id", "processed_at", "type"]);
  expect(JSON.stringify(events)).not.toContain("Hm.");
});

verifies("turn.refusal", "a refusal idles with its details, and a message goes on", async () => {
  const session = await server.start({}, refuse("I cannot help with that.", "cyber"));
  const events = await session.rest();
  const details = { type: "refusal", category: "cyber", explanation: "I cannot help with that." };
  for (const type of ["session.status_idle", "session.thread_status_idle"] as const) {
    expect(last(events, type)).toMatchObject({ stop_reason: { type: "refusal" }, stop_details: details });
  }
  expect(countOf(events, "session.error")).toBe(0);
  await session.send(message(server.play(say("Something else, then."))));
  const on = await session.rest();
  expect(stopReasons(on)).toEqual(["refusal", "end_turn"]);
  expect(saidBy(on).at(-1)).toBe("Something else, then.");
});

verifies("turn.max-tokens", "a response cut by its length ends the turn with what there is", async () => {
  for (const reason of ["max_tokens", "context_window"] as const) {
    const session = await server.start({}, [say("As far as I got"), stopFor(reason)]);
    const events = await session.rest();
    expect(saidBy(events)).toEqual(["As far as I got"]);
    expect(stopReasons(events)).toEqual(["end_turn"]);
  }
});

verifies("turn.history", "the model is given the whole conversation, calls and results included", async () => {
  const first = server.play([say("I look."), call("bash", { command: "echo out-of-the-box" })], say("I saw it."));
  const session = await server.createSession({ agent: { make: { tools: [TOOLSET], system: "You are terse." } } });
  await session.send(message(first));
  await session.rest();
  const second = server.play(say("Still here."));
  await session.send(message(second));
  await session.rest();
  const [request] = server.requests(second);
  expect(request?.system).toContain("You are terse.");
  expect(request?.messages.map(({ role }) => role)).toEqual(["user", "assistant", "user", "assistant", "user"]);
  expect(request?.messages[1]).toMatchObject({ text: "I look.", calls: [{ name: "bash" }] });
  expect(request?.messages[2]?.results[0]?.text).toContain("out-of-the-box");
  expect(request?.messages[3]?.text).toBe("I saw it.");
  expect(request?.messages[4]?.text).toContain(second);
});

verifies(["usage.per-step", "usage.cumulative", "turn.usage-before-idle"], "usage of each step, and added up", async () => {
  const session = await server.start(
    { tools: [TOOLSET] },
    [call("bash", { command: "true" }), usage({ input: 100, output: 20, cacheRead: 30, cacheWrite: 40 })],
    [say("Done."), usage({ input: 7, output: 5, cacheRead: 3, cacheWrite: 1 })],
  );
  const events = await session.rest();
  expect(only(events, "span.model_request_end").map((event) => event.model_usage)).toMatchObject([
    { input_tokens: 100, output_tokens: 20, cache_read_input_tokens: 30, cache_creation_input_tokens: 40, speed: "standard" },
    { input_tokens: 7, output_tokens: 5, cache_read_input_tokens: 3, cache_creation_input_tokens: 1 },
  ]);
  const total = {
    input_tokens: 107,
    output_tokens: 25,
    cache_read_input_tokens: 33,
    cache_creation: { ephemeral_5m_input_tokens: 41, ephemeral_1h_input_tokens: 0 },
  };
  expect(last(events, "session.usage").usage).toMatchObject(total);
  expect((await session.retrieve()).usage).toMatchObject(total);
  const thread = await server.client.beta.sessions.threads.retrieve(await session.threadId(), { session_id: session.id });
  expect(thread.usage).toMatchObject(total);

  await session.send(message(server.play([say("More."), usage({ input: 1, output: 1, cacheRead: 0, cacheWrite: 0 })])));
  const more = await session.rest();
  expect(last(more, "session.usage").usage).toMatchObject({ input_tokens: 108, output_tokens: 26 });
  expect(typesOf(more).filter((type) => type === "session.usage" || type === "session.status_idle")).toEqual([
    "session.usage",
    "session.status_idle",
    "session.usage",
    "session.status_idle",
  ]);
});
