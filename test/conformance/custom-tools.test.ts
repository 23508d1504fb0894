import type { BetaManagedAgentsUserCustomToolResultEventParams } from "@anthropic-ai/sdk/resources/beta/sessions/events";
import { call, hold, say } from "@sandbox0/testkit";
import { expect } from "vitest";
import { conformanceServer, TOOLSET } from "./fixture/conformance-server.ts";
import { refusedAsInvalid } from "./fixture/refused.ts";
import {
  answer,
  countOf,
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

const WEATHER = {
  type: "custom" as const,
  name: "weather",
  description: "The weather of a place.",
  input_schema: { type: "object" as const, properties: { place: { type: "string" } }, required: ["place"] },
};

verifies(
  ["custom.flow", "custom.no-policy", "events.processed-on-receipt"],
  "asked, answered, and the model has it",
  async () => {
    const marker = server.play(call("weather", { place: "Oslo" }), say("It snows."));
    const session = await server.createSession({ agent: { make: { tools: [WEATHER] } } });
    await session.send(message(marker));
    const asked = await session.rest();
    const use = last(asked, "agent.custom_tool_use");
    expect(use).toMatchObject({ name: "weather", input: { place: "Oslo" } });
    expect(Object.keys(use)).not.toContain("evaluated_permission");
    expect(waitingIds(asked)).toEqual([use.id]);
    const [stored] = await session.send(answer(use.id, "snow"));
    expect(stored).toMatchObject({
      type: "user.custom_tool_result",
      custom_tool_use_id: use.id,
      processed_at: expect.any(String),
    });
    const events = await session.rest();
    expect(typesOf(events.slice(asked.length))).toEqual([
      "user.custom_tool_result",
      "session.status_running",
      "session.thread_status_running",
      "span.model_request_start",
      "agent.message",
      "span.model_request_end",
      "session.thread_status_idle",
      "session.usage",
      "session.status_idle",
    ]);
    expect(server.requests(marker)[1]?.messages.at(-1)?.results).toMatchObject([{ text: "snow", isError: false }]);
    const offered = server.requests(marker)[0]?.body.tools;
    expect(offered).toMatchObject([{ name: "weather", description: WEATHER.description, input_schema: WEATHER.input_schema }]);
  },
);

verifies("custom.before-idle", "answered while another call of the response runs: straight on, without an idle", async () => {
  const gate = server.sandboxGate();
  const marker = server.play([call("weather", { place: "Oslo" }), call("bash", { command: gate.command })], say("It snows."));
  const session = await server.createSession({ agent: { make: { tools: [WEATHER, TOOLSET] } } });
  await session.send(message(marker));
  await gate.reached();
  await session.send(answer(last(await session.events(), "agent.custom_tool_use").id, "snow"));
  expect((await session.retrieve()).status).toBe("running");
  await gate.open();
  const events = await session.rest();
  expect(stopReasons(events)).toEqual(["end_turn"]);
  expect(saidBy(events)).toEqual(["It snows."]);
  expect(server.requests(marker)[1]?.messages.at(-1)?.results[0]).toMatchObject({ text: "snow" });
});

verifies("custom.beside-builtin", "a built-in call of the same response runs meanwhile", async () => {
  const session = await server.start(
    { tools: [WEATHER, TOOLSET] },
    [call("weather", { place: "Oslo" }), call("bash", { command: "echo ran" })],
    say("Done."),
  );
  const asked = await session.rest();
  expect(only(asked, "agent.tool_result").map((result) => textOf(result).trim())).toEqual(["ran"]);
  const [id = ""] = waitingIds(asked);
  expect(id).toBe(last(asked, "agent.custom_tool_use").id);
  await session.send(answer(id, "snow"));
  expect(saidBy(await session.rest())).toEqual(["Done."]);
});

verifies(["custom.flow", "action.several"], "two calls, answered one by one and in any order", async () => {
  const marker = server.play([call("weather", { place: "Oslo" }), call("weather", { place: "Rome" })], say("Both."));
  const session = await server.createSession({ agent: { make: { tools: [WEATHER] } } });
  await session.send(message(marker));
  const [oslo = "", rome = ""] = waitingIds(await session.rest());
  await session.send(answer(rome, "sun"));
  expect(waitingIds(await session.rest())).toEqual([oslo]);
  await session.send(answer(oslo, "snow"));
  expect(saidBy(await session.rest())).toEqual(["Both."]);
  expect(
    server
      .requests(marker)[1]
      ?.messages.at(-1)
      ?.results.map(({ text }) => text),
  ).toEqual(["snow", "sun"]);
});

type ResultContent = NonNullable<BetaManagedAgentsUserCustomToolResultEventParams["content"]>;
const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const BLOCKS: ResultContent = [
  { type: "text", text: "Here is all of it." },
  { type: "image", source: { type: "base64", media_type: "image/png", data: PIXEL } },
  { type: "document", source: { type: "text", media_type: "text/plain", data: "A document." }, title: "Doc" },
  {
    type: "search_result",
    source: "https://example.com",
    title: "Found",
    content: [{ type: "text", text: "A hit." }],
    citations: { enabled: false },
  },
];

verifies("custom.content", "blocks of every kind, an error, and nothing at all", async () => {
  const marker = server.play([call("weather", {}), call("weather", {}), call("weather", {})], say("Done."));
  const session = await server.createSession({ agent: { make: { tools: [WEATHER] } } });
  await session.send(message(marker));
  const [a = "", b = "", c = ""] = waitingIds(await session.rest());
  const stored = await session.send(
    { type: "user.custom_tool_result", custom_tool_use_id: a, content: BLOCKS },
    { type: "user.custom_tool_result", custom_tool_use_id: b, content: [{ type: "text", text: "It broke." }], is_error: true },
    { type: "user.custom_tool_result", custom_tool_use_id: c },
  );
  expect(stored).toMatchObject([{ content: BLOCKS }, { is_error: true }, { custom_tool_use_id: c }]);
  expect(saidBy(await session.rest())).toEqual(["Done."]);
  const request = server.requests(marker)[1];
  expect(request?.messages.at(-1)?.results.map(({ isError }) => isError)).toEqual([false, true, false]);
  const sent = JSON.stringify(request?.body);
  for (const part of ["Here is all of it.", PIXEL, "A document.", "A hit.", "It broke."]) expect(sent).toContain(part);
});

verifies("custom.wrong-id", "an unknown id, or one of a built-in call", async () => {
  const asking = { ...TOOLSET, default_config: { permission_policy: { type: "always_ask" as const } } };
  const session = await server.start({ tools: [WEATHER, asking] }, [call("weather", {}), call("bash", { command: "true" })]);
  const events = await session.rest();
  const [custom = "", builtin = ""] = waitingIds(events);
  await refusedAsInvalid(session.send(answer("sevt_01unknown", "x")), /custom_tool_use_id.*sevt_01unknown/);
  await refusedAsInvalid(session.send(answer(builtin, "x")), /custom_tool_use_id/);
  await refusedAsInvalid(session.send({ type: "user.tool_confirmation", tool_use_id: custom, result: "allow" }), /tool_use_id/);
  expect(await session.events()).toEqual(events);
});

verifies("custom.repeat", "the same result again is the stored event; a different one is refused", async () => {
  const gate = server.gate();
  const session = await server.start({ tools: [WEATHER] }, call("weather", {}), [hold(gate), say("Done.")]);
  const [id = ""] = waitingIds(await session.rest());
  const stored = await session.send(answer(id, "snow"));
  await gate.reached;
  expect(await session.send(answer(id, "snow"))).toEqual(stored);
  await refusedAsInvalid(session.send(answer(id, "sun")));
  gate.open();
  const events = await session.rest();
  expect(await session.send(answer(id, "snow"))).toEqual(stored);
  expect(await session.events()).toEqual(events);
  expect(countOf(events, "user.custom_tool_result")).toBe(1);
});

verifies("custom.sdk-runner", "the SDK's own tool runner serves the session", async () => {
  const session = await server.createSession({ agent: { make: { tools: [WEATHER] } } });
  const asked: unknown[] = [];
  const stop = new AbortController();
  const runner = server.client.beta.sessions.events.toolRunner(session.id, {
    tools: [
      {
        type: "custom",
        name: "weather",
        description: WEATHER.description,
        input_schema: WEATHER.input_schema,
        parse: (input: unknown) => input,
        run: async (input: unknown) => {
          asked.push(input);
          return `${asked.length} degrees`;
        },
      },
    ],
    signal: stop.signal,
  } as never);
  const run = (async () => {
    for await (const done of runner) void done;
  })();
  await session.send(
    message(server.play(call("weather", { place: "Oslo" }), call("weather", { place: "Rome" }), say("Warmer."))),
  );
  const events = await session.until((log) => saidBy(log).includes("Warmer."));
  stop.abort();
  await run;
  expect(asked).toEqual([{ place: "Oslo" }, { place: "Rome" }]);
  expect(only(events, "user.custom_tool_result").map(textOf)).toEqual(["1 degrees", "2 degrees"]);
});
