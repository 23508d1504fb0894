import Anthropic from "@anthropic-ai/sdk";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  byMarker,
  call,
  callRaw,
  createGate,
  createScriptedProvider,
  cut,
  demoScript,
  errorEvent,
  fail,
  hold,
  inOrder,
  refuse,
  type ScriptedProvider,
  say,
  stopFor,
  think,
  thinkRedacted,
  usage,
  wait,
} from "./index.ts";

let provider: ScriptedProvider;
beforeEach(async () => {
  provider = await createScriptedProvider();
});
afterEach(() => provider.close());

const client = () => new Anthropic({ baseURL: provider.url, apiKey: "k", maxRetries: 0 });
const ask = (content: string) => ({ model: "claude-test", max_tokens: 100, messages: [{ role: "user" as const, content }] });
const post = (path: string, body: unknown, signal?: AbortSignal) =>
  fetch(`${provider.url}${path}`, { method: "POST", body: JSON.stringify(body), ...(signal === undefined ? {} : { signal }) });
const frames = (text: string) =>
  text
    .split("\n\n")
    .map((frame) =>
      frame
        .split("\n")
        .find((line) => line.startsWith("data: "))
        ?.slice("data: ".length),
    )
    .filter((data) => data !== undefined && data !== "[DONE]")
    .map((data) => JSON.parse(data as string) as Record<string, never>);

const EVERYTHING = [
  think("Hm.", { signature: "c2ln" }),
  thinkRedacted("b3Bh"),
  say("Hello 😀 there"),
  call("look", { at: "it" }, { id: "toolu_x" }),
];

test("Messages: the official SDK reads every kind of block, streaming and not, alike", async () => {
  provider.enqueue(
    [...EVERYTHING, usage({ input: 1, output: 2, cacheRead: 3, cacheWrite: 4 })],
    [...EVERYTHING, usage({ output: 2 })],
  );
  const streamed = await client().messages.stream(ask("hi")).finalMessage();
  expect(streamed.content).toMatchObject([
    { type: "thinking", thinking: "Hm.", signature: "c2ln" },
    { type: "redacted_thinking", data: "b3Bh" },
    { type: "text", text: "Hello 😀 there" },
    { type: "tool_use", id: "toolu_x", name: "look", input: { at: "it" } },
  ]);
  expect(streamed.stop_reason).toBe("tool_use");
  expect(streamed.usage).toMatchObject({
    input_tokens: 1,
    output_tokens: 2,
    cache_read_input_tokens: 3,
    cache_creation_input_tokens: 4,
  });
  const whole = await client().messages.create(ask("hi"));
  expect(whole.content).toEqual(JSON.parse(JSON.stringify(streamed.content)));
  expect([whole.stop_reason, whole.usage.output_tokens]).toEqual(["tool_use", 2]);
});

test("Messages: refusals have details, full windows their own reason", async () => {
  provider.enqueue(
    [say("Half"), refuse("Not that.", "bio")],
    [say("Half"), stopFor("max_tokens")],
    [say("Half"), stopFor("context_window")],
  );
  const first = await client().messages.stream(ask("hi")).finalMessage();
  expect(first.stop_reason).toBe("refusal");
  expect(first).toMatchObject({
    stop_details: { type: "refusal", category: "bio", explanation: "Not that." },
    content: [{ text: "Half" }],
  });
  expect((await client().messages.create(ask("hi"))).stop_reason).toBe("max_tokens");
  expect((await client().messages.create(ask("hi"))).stop_reason).toBe("model_context_window_exceeded");
});

test.each([
  [400, Anthropic.BadRequestError],
  [401, Anthropic.AuthenticationError],
  [404, Anthropic.NotFoundError],
  [429, Anthropic.RateLimitError],
  [500, Anthropic.InternalServerError],
  [529, Anthropic.InternalServerError],
])("Messages: %i is the official SDK's %o", async (status, type) => {
  provider.enqueue(fail(status, { retryAfterSeconds: 4, message: "as scripted" }));
  const error: unknown = await client()
    .messages.create(ask("hi"))
    .catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(type);
  expect((error as InstanceType<typeof Anthropic.APIError>).headers?.get("retry-after")).toBe("4");
  expect((error as Error).message).toContain("as scripted");
});

test("Messages: an error in the stream, a cut stream", async () => {
  provider.enqueue([say("Half"), errorEvent(529)], [say("Half"), cut()], cut());
  await expect(client().messages.stream(ask("hi")).finalMessage()).rejects.toThrow(/overloaded_error/);
  await expect(client().messages.stream(ask("hi")).finalMessage()).rejects.toThrow();
  await expect(client().messages.create(ask("hi"))).rejects.toBeInstanceOf(Anthropic.APIConnectionError);
  expect(provider.requests.map(({ state }) => state)).toEqual(["answered", "cut", "cut"]);
});

test("Responses: items, deltas and the completed response agree, streaming and not", async () => {
  const step = [think("Hm.", { signature: "c2ln" }), say("Hello 😀 there"), call("look", { at: "it" }, { id: "call_x" })];
  provider.enqueue(step, step);
  const events = frames(await (await post("/v1/responses", { model: "m", stream: true, input: "hi" })).text());
  expect(events.map((event) => event.sequence_number)).toEqual(events.map((_, index) => index));
  const deltas = (type: string) =>
    events
      .filter((event) => event.type === type)
      .map((event) => event.delta)
      .join("");
  expect(deltas("response.output_text.delta")).toBe("Hello 😀 there");
  expect(deltas("response.function_call_arguments.delta")).toBe('{"at":"it"}');
  const completed = events.at(-1) as unknown as { type: string; response: { output: Record<string, unknown>[]; usage: unknown } };
  expect(completed.type).toBe("response.completed");
  const items = [
    { type: "reasoning", encrypted_content: "c2ln", summary: [{ text: "Hm." }] },
    { type: "message", content: [{ type: "output_text", text: "Hello 😀 there" }] },
    { type: "function_call", call_id: "call_x", name: "look", arguments: '{"at":"it"}' },
  ];
  expect(completed.response.output).toMatchObject(items);
  expect(events.filter((event) => event.type === "response.output_item.done").map((event) => event.item)).toEqual(
    completed.response.output,
  );
  const whole = (await (await post("/v1/responses", { model: "m", input: "hi" })).json()) as { output: unknown; status: string };
  expect([whole.status, whole.output]).toMatchObject(["completed", items]);
});

test("Completions: deltas and the whole message agree, streaming and not", async () => {
  const step = [
    think("Hm."),
    say("Hello 😀 there"),
    call("a", { at: "it" }),
    callRaw("b", "{broken"),
    usage({ input: 5, output: 7, cacheRead: 2, cacheWrite: 0 }),
  ];
  provider.enqueue(step, step);
  const request = { model: "m", messages: [{ role: "user", content: "hi" }] };
  const chunks = frames(
    await (await post("/v1/chat/completions", { ...request, stream: true, stream_options: { include_usage: true } })).text(),
  ) as unknown as {
    choices: {
      delta: { content?: string; tool_calls?: { index: number; function: { name?: string; arguments: string } }[] };
      finish_reason: string | null;
    }[];
    usage?: unknown;
  }[];
  const choices = chunks.flatMap((chunk) => chunk.choices);
  expect(choices.map((choice) => choice.delta.content ?? "").join("")).toBe("Hello 😀 there");
  const args = ["", ""];
  for (const piece of choices.flatMap((choice) => choice.delta.tool_calls ?? [])) args[piece.index] += piece.function.arguments;
  expect(args).toEqual(['{"at":"it"}', "{broken"]);
  expect(choices.at(-1)?.finish_reason).toBe("tool_calls");
  expect(chunks.at(-1)?.usage).toMatchObject({
    prompt_tokens: 7,
    completion_tokens: 7,
    prompt_tokens_details: { cached_tokens: 2 },
  });
  const whole = (await (await post("/v1/chat/completions", request)).json()) as { choices: unknown[] };
  expect(whole.choices[0]).toMatchObject({
    finish_reason: "tool_calls",
    message: {
      content: "Hello 😀 there",
      reasoning_content: "Hm.",
      tool_calls: [{ function: { name: "a" } }, { function: { arguments: "{broken" } }],
    },
  });
});

test("OpenAI's APIs say refusals and errors in their own way", async () => {
  provider.enqueue(refuse("No."), refuse("No."), fail(429));
  const completion = (await (
    await post("/v1/chat/completions", { model: "m", messages: [{ role: "user", content: "hi" }] })
  ).json()) as unknown;
  expect(completion).toMatchObject({ choices: [{ finish_reason: "stop", message: { content: null, refusal: "No." } }] });
  const response = (await (await post("/v1/responses", { model: "m", input: "hi" })).json()) as unknown;
  expect(response).toMatchObject({ output: [{ content: [{ type: "refusal", refusal: "No." }] }] });
  const failed = await post("/v1/responses", { model: "m", input: "hi" });
  expect([failed.status, await failed.json()]).toMatchObject([429, { error: { code: "rate_limit_exceeded" } }]);
});

test("a gate holds a stream where it stands until it is opened", async () => {
  const [first, middle] = [createGate(), createGate()];
  provider.enqueue([hold(first), say("one "), hold(middle), say("two")]);
  let text = "";
  const stream = client()
    .messages.stream(ask("hi"))
    .on("text", (delta) => {
      text += delta;
    });
  await first.reached;
  expect(text).toBe("");
  const arrived = new Promise((resolve) => stream.once("text", resolve));
  first.open();
  await middle.reached;
  await arrived;
  expect(text).toBe("one ");
  middle.open();
  await stream.finalMessage();
  expect(text).toBe("one two");
});

test("notices a client that goes away, at a gate and in a pause", async () => {
  const gate = createGate();
  for (const part of [hold(gate), wait(3_600_000)]) {
    provider.enqueue([say("one "), part, say("two")]);
    const controller = new AbortController();
    const response = await post("/v1/messages", { ...ask("hi"), stream: true }, controller.signal);
    await response.body?.getReader().read();
    controller.abort();
    const request = provider.requests.at(-1);
    await request?.ended;
    expect(request?.state).toBe("abandoned");
  }
});

test("close ends the streams it holds", async () => {
  const own = await createScriptedProvider();
  const gate = createGate();
  own.enqueue([say("one "), hold(gate)]);
  const stream = new Anthropic({ baseURL: own.url, apiKey: "k", maxRetries: 0 }).messages.stream(ask("hi")).finalMessage();
  const failed = expect(stream).rejects.toThrow();
  await gate.reached;
  await own.close();
  await failed;
});

test("scripts are chosen by the marker said last, and their step by the answers since", async () => {
  provider.onRequest(
    byMarker({
      "[a]": [call("look", {}, { id: "t1" }), say("a done")],
      "[b]": [(request) => say(`b, ${request.messages.length} messages`)],
    }),
  );
  const user = (content: unknown) => ({ role: "user", content });
  const toolUse = { role: "assistant", content: [{ type: "tool_use", id: "t1", name: "look", input: {} }] };
  const result = user([{ type: "tool_result", tool_use_id: "t1", content: "seen" }]);
  const text = async (messages: unknown[]) => {
    const body = (await (await post("/v1/messages", { model: "m", messages })).json()) as {
      content: { text?: string; name?: string }[];
    };
    return body.content[0]?.text ?? body.content[0]?.name;
  };
  expect(await text([user("[a] go")])).toBe("look");
  expect(await text([user("[a] go"), toolUse, result])).toBe("a done");
  expect(await text([user("[a] go"), toolUse, result])).toBe("a done");
  expect(await text([user("[a] go"), toolUse, result, { role: "assistant", content: "a done" }, user("[b] now")])).toBe(
    "b, 5 messages",
  );
  expect(await text([user("[a] go, or rather [b]")])).toBe("b, 1 messages");
});

test("steps in order stay at the last; the queue comes after every script; without a step it is a 400", async () => {
  const remove = provider.onRequest(inOrder(fail(529), say("twice")));
  const said = async () => {
    const response = await post("/v1/messages", ask("hi"));
    return response.ok ? ((await response.json()) as { content: { text: string }[] }).content[0]?.text : response.status;
  };
  provider.enqueue(say("queued"));
  expect([await said(), await said(), await said()]).toEqual([529, "twice", "twice"]);
  remove();
  expect([await said(), await said()]).toEqual(["queued", 400]);
});

test("refuses what the real providers refuse", async () => {
  const user = { role: "user", content: "hi" };
  const toolUse = { role: "assistant", content: [{ type: "tool_use", id: "t1", name: "look", input: {} }] };
  const result = { role: "user", content: [{ type: "tool_result", tool_use_id: "t1", content: "seen" }] };
  const bad: [string, unknown[]][] = [
    ["a call without a result", [user, toolUse, user]],
    ["a result without a call", [user, result]],
    ["a result given late", [user, toolUse, user, result]],
    ["no message", []],
    ["the assistant first", [toolUse, result]],
    ["the assistant last", [user, toolUse]],
    ["blank text", [{ role: "user", content: [{ type: "text", text: " " }] }]],
  ];
  for (const [what, messages] of bad) {
    expect((await post("/v1/messages", { model: "m", messages })).status, what).toBe(400);
  }
});

test("checks the key when it has one", async () => {
  const own = await createScriptedProvider({ apiKey: "right", script: () => say("ok") });
  const status = async (headers: Record<string, string>) =>
    (await fetch(`${own.url}/v1/messages`, { method: "POST", body: JSON.stringify(ask("hi")), headers })).status;
  expect([await status({}), await status({ "x-api-key": "wrong" }), await status({ "x-api-key": "right" })]).toEqual([
    401, 401, 200,
  ]);
  expect(await status({ authorization: "Bearer right" })).toBe(200);
  await own.close();
});

test("answers what is not a request with an error", async () => {
  const status = async (path: string, body: string) => (await fetch(`${provider.url}${path}`, { method: "POST", body })).status;
  expect([await status("/v1/messages", "{"), await status("/v1/messages", "{}"), await status("/v1/other", "{}")]).toEqual([
    400, 400, 404,
  ]);
});

test("finds requests that came and that are to come", async () => {
  provider.enqueue(say("ok"));
  const coming = provider.waitForRequest((request) => request.model === "m");
  await post("/v1/responses", { model: "m", input: "hi" });
  expect(await coming).toBe(await provider.waitForRequest((request) => request.api === "responses"));
  await expect(provider.waitForRequest(() => false, 1)).rejects.toThrow(/no such model request/);
});

test("500 streams at once", async () => {
  provider.onRequest((request) => say(request.messages[0]?.text ?? ""));
  const answers = await Promise.all(
    Array.from({ length: 500 }, async (_, index) => {
      const response = await post("/v1/messages", { ...ask(`number ${index}`), stream: true });
      return (await response.text()).includes(`number ${index}`);
    }),
  );
  expect(answers.filter((right) => right).length).toBe(500);
});

test("the demo writes, runs and reads, and reports what it was given", async () => {
  provider.onRequest(demoScript);
  const tools = ["write", "bash", "read"].map((name) => ({ name, input_schema: { type: "object" as const } }));
  const messages: Anthropic.MessageParam[] = [{ role: "user", content: "show me" }];
  const used: string[] = [];
  for (const output of ["wrote 90 bytes", "47", "2\n3\n5", ""]) {
    const answer = await client().messages.create({ ...ask(""), messages, tools });
    messages.push({ role: "assistant", content: answer.content });
    const made = answer.content.find((block) => block.type === "tool_use");
    if (made === undefined) break;
    used.push(made.name);
    messages.push({ role: "user", content: [{ type: "tool_result", tool_use_id: made.id, content: output }] });
  }
  expect(used).toEqual(["write", "bash", "read"]);
  expect(messages.at(-1)).toMatchObject({ content: [{ type: "text", text: expect.stringContaining("2, 3, 5") }] });
  const without = await client().messages.create(ask("show me"));
  expect(without.content).toMatchObject([{ type: "text", text: expect.stringContaining("scripted model") }]);
});
