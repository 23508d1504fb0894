import { call, callRaw, cut, errorEvent, fail, inOrder, refuse, say, type Step } from "@sandbox0/testkit";
import { expect } from "vitest";
import { conformanceServer, TOOLSET } from "./fixture/conformance-server.ts";
import { refusedAsInvalid } from "./fixture/refused.ts";
import { countOf, last, message, only, saidBy, stopReasons, textOf, typesOf } from "./fixture/test-session.ts";
import { verifies } from "./fixture/verifies.ts";

const server = conformanceServer();

verifies(["errors.retrying", "turn.spans"], "one failure, then the answer: every event in order", async () => {
  const session = await server.start({}, inOrder(fail(529), say("Here I am.")));
  const events = await session.rest();
  expect(typesOf(events)).toEqual([
    "user.message",
    "session.status_running",
    "session.thread_status_running",
    "span.model_request_start",
    "span.model_request_end",
    "session.error",
    "session.status_rescheduled",
    "session.thread_status_rescheduled",
    "session.status_running",
    "session.thread_status_running",
    "span.model_request_start",
    "agent.message",
    "span.model_request_end",
    "session.thread_status_idle",
    "session.usage",
    "session.status_idle",
  ]);
  expect(last(events, "session.error").error).toMatchObject({
    type: "model_overloaded_error",
    retry_status: { type: "retrying" },
  });
  expect(only(events, "span.model_request_end").map(({ is_error }) => is_error)).toEqual([true, false]);
  expect(stopReasons(events)).toEqual(["end_turn"]);
});

verifies("errors.rescheduling-status", "between two tries the session reads rescheduling, and may be archived", async () => {
  const session = await server.start({}, fail(429, { retryAfterSeconds: 100 }));
  await session.until((events) => countOf(events, "session.status_rescheduled") === 1);
  expect((await session.retrieve()).status).toBe("rescheduling");
  const { data } = await server.client.beta.sessions.list({ statuses: ["rescheduling"] });
  expect(data.map(({ id }) => id)).toEqual([session.id]);
  const archived = await server.client.beta.sessions.archive(session.id);
  expect(archived.status).toBe("terminated");
});

const FAILURES: Record<string, [type: string, ...steps: [Step, ...Step[]]]> = {
  "529": ["model_overloaded_error", fail(529)],
  "429": ["model_rate_limited_error", fail(429)],
  "500": ["model_request_failed_error", fail(500)],
  // Twice: a kept connection that the provider has closed is silently replaced by a new one.
  "a cut before the answer": ["model_request_failed_error", cut(), cut()],
  "a cut in the middle": ["model_request_failed_error", [say("Half an"), cut()]],
  "an error in the stream": ["model_overloaded_error", [say("Half an"), errorEvent(529, "Overloaded")]],
};
for (const [name, [type, ...steps]] of Object.entries(FAILURES)) {
  verifies(["errors.types", "errors.no-partial"], `${name} is a ${type}, and is tried again`, async () => {
    const session = await server.start({}, inOrder(...steps, say("The whole answer.")));
    const events = await session.rest();
    const { error } = last(events, "session.error");
    expect(error).toMatchObject({ type, retry_status: { type: "retrying" }, message: expect.stringMatching(/\S/) });
    expect(saidBy(events)).toEqual(["The whole answer."]);
  });
}

verifies("errors.types", "no credit: billing_error, not tried again", async () => {
  const marker = server.play(fail(402, { message: "Your credit balance is too low." }));
  const session = await server.createSession();
  await session.send(message(marker));
  const events = await session.rest();
  expect(last(events, "session.error").error).toMatchObject({ type: "billing_error", retry_status: { type: "exhausted" } });
  expect(stopReasons(events)).toEqual(["retries_exhausted"]);
  expect(server.requests(marker)).toHaveLength(1);
});

verifies(
  ["errors.exhausted", "errors.resume"],
  "retries used up: one exhausted error, idle; a message starts afresh",
  async () => {
    let works = false;
    const marker = server.play(() => (works ? say("Better now.") : fail(500)));
    const session = await server.createSession();
    await session.send(message(marker));
    const events = await session.rest();
    const statuses = only(events, "session.error").map(({ error }) => error.retry_status.type);
    expect(statuses).toEqual([...statuses.slice(0, -1).map(() => "retrying"), "exhausted"]);
    expect(statuses.length).toBe(server.requests(marker).length);
    expect(statuses.length).toBeGreaterThan(2);
    expect(new Set(only(events, "session.error").map(({ error }) => error.type)).size).toBe(1);
    expect(typesOf(events).slice(-4)).toEqual([
      "session.error",
      "session.thread_status_idle",
      "session.usage",
      "session.status_idle",
    ]);
    expect(stopReasons(events)).toEqual(["retries_exhausted"]);
    works = true;
    await session.send(message("Try again."));
    const on = await session.rest();
    expect(saidBy(on)).toEqual(["Better now."]);
    expect(countOf(on, "session.error")).toBe(statuses.length);
  },
);

verifies("errors.terminal", "an error that no input can mend terminates the session", async () => {
  const session = await server.start({}, fail(404, { message: "model: no-such-model" }));
  const events = await session.rest();
  expect(typesOf(events).slice(-3)).toEqual(["session.error", "session.thread_status_terminated", "session.status_terminated"]);
  expect(last(events, "session.error").error).toMatchObject({ retry_status: { type: "terminal" } });
  expect((await session.retrieve()).status).toBe("terminated");
  await refusedAsInvalid(session.send(message("Hello?")));
});

verifies("errors.bad-arguments", "arguments that are no JSON object: the model is told, nothing runs", async () => {
  for (const text of ["{not json", "[1,2]", '"text"', "null"]) {
    const marker = server.play(callRaw("bash", text), say("I see."));
    const session = await server.createSession({ agent: { make: { tools: [TOOLSET] } } });
    await session.send(message(marker));
    const events = await session.rest();
    expect(last(events, "agent.tool_use").input).toEqual({});
    expect(last(events, "agent.tool_result").is_error).toBe(true);
    expect(textOf(last(events, "agent.tool_result"))).toMatch(/JSON/);
    expect(server.requests(marker)[1]?.messages.at(-1)?.results).toMatchObject([{ isError: true }]);
    expect(saidBy(events)).toEqual(["I see."]);
  }
});

verifies("errors.tool-loop", "a model that calls tools for ever is stopped", async () => {
  const marker = "Loop for ever.";
  const remove = server.provider.onRequest((request) =>
    request.messages[0]?.text === marker ? call("no_such_tool", {}) : undefined,
  );
  const session = await server.createSession();
  await session.send(message(marker));
  const events = await session.rest();
  remove();
  expect(last(events, "session.error").error).toMatchObject({
    type: "tool_use_limit_reached_error",
    retry_status: { type: "exhausted" },
  });
  expect(stopReasons(events)).toEqual(["retries_exhausted"]);
  await session.send(message(server.play(say("Out of it."))));
  expect(saidBy(await session.rest())).toEqual(["Out of it."]);
});

verifies("errors.mcp", "an MCP server that cannot be used: said, and the turn goes on", async () => {
  const session = await server.start(
    {
      mcp_servers: [{ type: "url", name: "docs", url: "http://127.0.0.1:9/mcp" }],
      tools: [{ type: "mcp_toolset", mcp_server_name: "docs" }],
    },
    say("Without it, then."),
  );
  const events = await session.rest();
  expect(last(events, "session.error").error).toMatchObject({
    type: "mcp_connection_failed_error",
    mcp_server_name: "docs",
    retry_status: { type: "retrying" },
  });
  expect(saidBy(events)).toEqual(["Without it, then."]);
  expect(stopReasons(events)).toEqual(["end_turn"]);
});

verifies("turn.refusal", "a refusal is not an error, and not tried again", async () => {
  const marker = server.play(refuse("No.", null));
  const session = await server.createSession();
  await session.send(message(marker));
  const events = await session.rest();
  expect(countOf(events, "session.error")).toBe(0);
  expect(server.requests(marker)).toHaveLength(1);
});
