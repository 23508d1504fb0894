import { execFile } from "node:child_process";
import { connect } from "node:net";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import Anthropic from "@anthropic-ai/sdk";
import { call, createGate, cut, errorEvent, fail, hold, say, until, usage } from "@sandbox0/testkit";
import { afterEach, expect, test } from "vitest";
import {
  createGatewayStage,
  type GatewayStage,
  type GatewayStageOptions,
  PROVIDER_KEY,
  SANDBOX,
  SESSION,
} from "./model-gateway.fixture.ts";

let stage: GatewayStage;
afterEach(() => stage.close());
const start = async (options: GatewayStageOptions = {}): Promise<GatewayStage> => {
  stage = await createGatewayStage(options);
  return stage;
};

const MESSAGES = "/model/v1/messages";
const RESPONSES = "/model/v1/responses";
const COMPLETIONS = "/model/v1/chat/completions";
const anthropicBody = (extra: object = {}) => ({
  model: "claude-test",
  max_tokens: 100,
  messages: [{ role: "user" as const, content: "hi" }],
  ...extra,
});
const responsesBody = (extra: object = {}) => ({ model: "gpt-test", input: "hi", ...extra });
const completionsBody = (extra: object = {}) => ({ model: "open-test", messages: [{ role: "user", content: "hi" }], ...extra });
const COUNTS = { input: 100, output: 7, cacheRead: 30, cacheWrite: 5 };
const SPAN = { sessionId: SESSION, status: 200, inputTokens: 100, outputTokens: 7, cacheReadTokens: 30, cacheWriteTokens: 5 };
const spanOf = async (): Promise<unknown> => {
  await until(() => stage.spans.length > 0);
  expect(stage.spans).toHaveLength(1);
  return stage.spans[0];
};
/** The data of each event. */
const eventsOf = (text: string): string[] =>
  text
    .split("\n")
    .filter((line) => line.startsWith("data: "))
    .map((line) => line.slice(6));

test("the official SDK streams a message through; the provider sees its key and not the token", async () => {
  const { provider, anthropic, token } = await start();
  provider.enqueue([say("hello there"), call("look", { at: "it" }), usage(COUNTS)]);
  const message = await anthropic().messages.stream(anthropicBody()).finalMessage();
  expect(message.content).toMatchObject([
    { type: "text", text: "hello there" },
    { type: "tool_use", input: { at: "it" } },
  ]);
  const { headers } = provider.requests[0] ?? {};
  expect(headers).toMatchObject({ "x-api-key": PROVIDER_KEY, "anthropic-version": expect.any(String) });
  expect(JSON.stringify(headers)).not.toContain(token);
  expect(await spanOf()).toMatchObject({ ...SPAN, model: "claude-test" });
  expect(stage.spans[0]?.firstTokenMs).toBeLessThanOrEqual(stage.spans[0]?.totalMs ?? 0);
  expect(stage.problems).toEqual([]);
});

test("a message in one piece is counted", async () => {
  const { provider, anthropic } = await start();
  provider.enqueue([say("hello"), usage(COUNTS)]);
  expect(await anthropic().messages.create(anthropicBody())).toMatchObject({ content: [{ text: "hello" }] });
  expect(await spanOf()).toMatchObject({ ...SPAN, firstTokenMs: null });
});

test("betas and vendor headers reach the provider; cookies, keys and the headers of other gateways do not", async () => {
  const { provider, post } = await start();
  provider.enqueue(say("ok"));
  const sent = {
    "anthropic-beta": "some-beta",
    "anthropic-version": "2023-06-01",
    cookie: "a=b",
    "x-portkey-custom-host": "https://evil.example",
    "api-key": "other",
    "proxy-authorization": "Basic eA==",
    "x-forwarded-for": "1.2.3.4",
    "openai-organization": "org-other",
  };
  await post(`${MESSAGES}?beta=true`, anthropicBody(), { headers: sent });
  const { headers } = provider.requests[0] ?? {};
  expect(headers).toMatchObject({
    "anthropic-beta": "some-beta",
    "anthropic-version": "2023-06-01",
    "accept-encoding": "identity",
  });
  for (const name of [
    "cookie",
    "x-portkey-custom-host",
    "api-key",
    "proxy-authorization",
    "x-forwarded-for",
    "openai-organization",
    "authorization",
  ])
    expect(headers).not.toHaveProperty(name);
});

test("Responses stream through and are counted, without what was cached", async () => {
  const { provider, post } = await start();
  provider.enqueue([say("hello"), usage(COUNTS)]);
  const answer = await post(RESPONSES, responsesBody({ stream: true }));
  expect(answer.headers.get("content-type")).toBe("text/event-stream");
  expect(await answer.text()).toContain('"type":"response.completed"');
  expect(provider.requests[0]?.headers.authorization).toBe(`Bearer ${PROVIDER_KEY}`);
  expect(await spanOf()).toMatchObject({ ...SPAN, model: "gpt-test" });
  expect(stage.spans[0]?.firstTokenMs).not.toBeNull();
});

test("Responses in one piece are counted", async () => {
  const { provider, post } = await start();
  provider.enqueue([say("hello"), usage(COUNTS)]);
  expect(await (await post(RESPONSES, responsesBody())).json()).toMatchObject({ status: "completed" });
  expect(await spanOf()).toMatchObject(SPAN);
});

test("Chat Completions that do not ask for usage are counted, and do not see that chunk", async () => {
  const { provider, post } = await start();
  provider.enqueue([say("hello"), usage(COUNTS)]);
  const events = eventsOf(await (await post(COMPLETIONS, completionsBody({ stream: true }))).text());
  expect(events.at(-1)).toBe("[DONE]");
  const chunks = events.slice(0, -1).map((event) => JSON.parse(event) as { choices: unknown[]; usage?: unknown });
  expect(chunks.every(({ choices, usage }) => choices.length === 1 && !usage)).toBe(true);
  expect(provider.requests[0]?.body.stream_options).toEqual({ include_usage: true });
  expect(await spanOf()).toMatchObject({ ...SPAN, model: "open-test" });
});

test("Chat Completions that ask for usage see it; other stream options stay", async () => {
  const { provider, post } = await start();
  provider.enqueue([say("a"), usage(COUNTS)], [say("b"), usage(COUNTS)]);
  const asked = await post(COMPLETIONS, completionsBody({ stream: true, stream_options: { include_usage: true } }));
  expect(eventsOf(await asked.text()).at(-2)).toContain('"prompt_tokens":135');
  const other = await post(
    COMPLETIONS,
    completionsBody({ stream: true, stream_options: { include_usage: false, include_obfuscation: false } }),
  );
  expect(await other.text()).not.toContain("prompt_tokens");
  expect(provider.requests[1]?.body.stream_options).toEqual({ include_usage: true, include_obfuscation: false });
});

test("an answer is passed on as it comes", async () => {
  const { provider, anthropic } = await start();
  const gate = createGate();
  provider.enqueue([say("first"), hold(gate), say("second")]);
  const stream = anthropic().messages.stream(anthropicBody());
  const first = Promise.withResolvers<string>();
  stream.on("text", first.resolve);
  expect(await first.promise).toBe("first");
  expect(stage.spans).toEqual([]);
  gate.open();
  expect((await stream.finalMessage()).content).toHaveLength(2);
});

test("numbers and order of a body reach the provider as they were written", async () => {
  const { provider, post } = await start();
  provider.enqueue(say("ok"));
  const text =
    '{ "max_tokens": 1.0, "model": "claude-test", "messages": [{"role":"user","content":[{"type":"text","text":"\\u0041"}]}], "x": 12345678901234567890 }';
  await post(MESSAGES, text);
  expect(provider.requests[0]?.bodyBytes).toBe(text.length);
});

test.each([
  ["no token", {}],
  ["a made-up token", { authorization: "Bearer sk-sandbox0-sesn_1.AAAA" }],
  ["another sandbox's token", "other"],
  ["the token in a cookie", "cookie"],
])("%s is refused as the vendors do", async (_, given) => {
  const { provider, fetch, tokens, token } = await start();
  const headers =
    given === "other"
      ? { authorization: `Bearer ${tokens.issue("sbx_2", SESSION, "sthr_1")}` }
      : given === "cookie"
        ? { cookie: `authorization=${token}` }
        : (given as Record<string, string>);
  const anthropic = await fetch(MESSAGES, { method: "POST", body: JSON.stringify(anthropicBody()), headers });
  expect([anthropic.status, await anthropic.json()]).toMatchObject([
    401,
    { type: "error", error: { type: "authentication_error" } },
  ]);
  const openai = await fetch(RESPONSES, { method: "POST", body: JSON.stringify(responsesBody()), headers });
  expect([openai.status, await openai.json()]).toMatchObject([401, { error: { code: "invalid_api_key" } }]);
  expect(provider.received).toBe(0);
  expect(stage.spans).toEqual([]);
});

test("a request that nobody told the harness to make is refused, and as what the provider's answer was before", async () => {
  const { provider, anthropic, post } = await start();
  stage.refused = { denied: "It has not asked again.", repeats: null };
  await expect(anthropic().messages.create(anthropicBody())).rejects.toBeInstanceOf(Anthropic.PermissionDeniedError);
  stage.refused = { denied: "It has not asked again.", repeats: 404 };
  await expect(anthropic().messages.create(anthropicBody())).rejects.toBeInstanceOf(Anthropic.NotFoundError);
  expect((await post(RESPONSES, responsesBody())).status).toBe(404);
  stage.refused = { denied: "It has not asked again.", repeats: 200 };
  expect((await post(RESPONSES, responsesBody())).status).toBe(502);
  expect(provider.received).toBe(0);
  stage.refused = { denied: "It has not asked again.", repeats: null };
  // Counting generates nothing; the scripted provider cannot count.
  expect((await post("/model/v1/messages/count_tokens", { model: "claude-test", messages: [] })).status).toBe(404);
});

test("a model that the session may not use is refused with the reason", async () => {
  const { provider, anthropic, post } = await start();
  const refused = anthropic().messages.create(anthropicBody({ model: "claude-other" }));
  await expect(refused).rejects.toThrow("The session may not use the model claude-other.");
  await expect(refused).rejects.toBeInstanceOf(Anthropic.PermissionDeniedError);
  const openai = await post(RESPONSES, responsesBody({ model: "claude-other" }));
  expect([openai.status, await openai.json()]).toMatchObject([403, { error: { code: "not_allowed" } }]);
  expect(provider.received).toBe(0);
});

test("a model is asked over its own API only", async () => {
  const { post } = await start();
  const answer = await post(RESPONSES, responsesBody({ model: "claude-test" }));
  expect([answer.status, await answer.text()]).toEqual([400, expect.stringContaining("POST /v1/messages")]);
});

test.each([
  ["GET", MESSAGES, 405],
  ["GET", "/model/v1/models", 404],
  ["POST", "/model/v1/messages/", 404],
  ["POST", "/model/v1//messages", 404],
  ["POST", "/model/v1/messages/batches", 404],
  ["POST", "/model/v1/%6dessages", 404],
  ["POST", "/model/v1/files", 404],
])("%s %s: %i", async (method, path, status) => {
  const { fetch, token } = await start();
  const answer = await fetch(path, { method, headers: { "x-api-key": token } });
  expect(answer.status).toBe(status);
  expect(await answer.json()).toMatchObject({ type: "error", error: { message: expect.any(String) } });
});

test.each([
  ["no JSON", "{", "not a JSON object"],
  ["a list", "[]", "not a JSON object"],
  ["no model", "{}", "model"],
  ["a model that is no text", '{"model":["claude-test"]}', "model"],
  ["two models", '{"model":"claude-test","model":"claude-other"}', "stands twice"],
  ["two models, one escaped", '{"model":"claude-test","mod\\u0065l":"claude-other"}', "stands twice"],
  ["a model in other letters", '{"model":"claude-test","Model":"claude-other"}', "no field"],
  ["a block that has two types", '{"model":"claude-test","messages":[{"type":"a","type":"b"}]}', "stands twice"],
  ["a tower", `{"model":"claude-test","a":${"[".repeat(300)}${"]".repeat(300)}}`, "levels deep"],
  ["another host", '{"model":"claude-test","api_base":"https://evil.example"}', "api_base"],
  ["other models", '{"model":"claude-test","models":["claude-other"]}', "models"],
  ["any fallback", '{"model":"claude-test","fallbacks":"default"}', "fallbacks"],
])("a body with %s is refused", async (_, body, message) => {
  const { provider, post } = await start();
  const answer = await post(MESSAGES, body);
  expect([answer.status, await answer.text()]).toEqual([400, expect.stringContaining(message)]);
  expect(provider.received).toBe(0);
  expect(stage.problems).toEqual([]);
});

test("bytes that are no UTF-8 are refused", async () => {
  const { post } = await start();
  const body = Buffer.from('{"model":"claude-test","mod\xffel":"claude-other"}', "latin1");
  expect((await post(MESSAGES, "", { body })).status).toBe(400);
});

test("a compressed body is refused, as it could not be checked", async () => {
  const { post } = await start();
  expect((await post(MESSAGES, "{}", { headers: { "content-encoding": "gzip" } })).status).toBe(415);
});

test("fallbacks and advisors are models that the session must be allowed to use", async () => {
  const { provider, post } = await start();
  provider.enqueue(say("ok"));
  const fallback = await post(MESSAGES, anthropicBody({ fallbacks: [{ model: "claude-other" }] }));
  const advisor = await post(
    MESSAGES,
    anthropicBody({ tools: [{ type: "advisor_20260301", name: "advisor", model: "claude-other" }] }),
  );
  expect([fallback.status, advisor.status]).toEqual([403, 403]);
  expect((await post(MESSAGES, anthropicBody({ fallbacks: [{ model: "claude-test" }] }))).status).toBe(200);
});

test("a body beyond the limit is refused, declared or not", async () => {
  const { provider, post } = await start({ limits: { requestBytesMax: 1_000 } });
  const body = anthropicBody({ system: "x".repeat(1_000) });
  const declared = await post(MESSAGES, body);
  expect([declared.status, await declared.json()]).toMatchObject([413, { error: { type: "request_too_large" } }]);
  const chunked = await post(MESSAGES, "", { body: new Blob([JSON.stringify(body)]).stream(), duplex: "half" });
  expect(chunked.status).toBe(413);
  expect(provider.received).toBe(0);
});

test("bodies of all sandboxes together are bounded", async () => {
  const { post } = await start({ limits: { bufferedBytesMax: 50 } });
  const answer = await post(MESSAGES, anthropicBody());
  expect([answer.status, await answer.json()]).toMatchObject([529, { error: { type: "overloaded_error" } }]);
});

test("a sandbox has so many requests at once, and can go on when one has ended", async () => {
  const { provider, post } = await start({ limits: { requestsPerSandboxMax: 1 } });
  const gate = createGate();
  provider.enqueue([hold(gate), say("ok")], say("again"));
  const first = post(MESSAGES, anthropicBody());
  await gate.reached;
  const busy = await post(RESPONSES, responsesBody());
  expect([busy.status, busy.headers.get("retry-after"), await busy.json()]).toMatchObject([
    429,
    "1",
    { error: { type: "rate_limit_exceeded" } },
  ]);
  gate.open();
  await (await first).text();
  await until(() => stage.spans.length === 1);
  expect((await post(MESSAGES, anthropicBody())).status).toBe(200);
});

test("an error of the provider goes through with its status and retry time, without the key", async () => {
  const { provider, post } = await start();
  provider.enqueue(fail(429, { message: `slow down, ${PROVIDER_KEY}`, retryAfterSeconds: 17 }));
  const answer = await post(MESSAGES, anthropicBody());
  expect([answer.status, answer.headers.get("retry-after")]).toEqual([429, "17"]);
  expect(await answer.json()).toMatchObject({ error: { type: "rate_limit_error", message: "slow down, [redacted]" } });
  expect(await spanOf()).toMatchObject({ status: 429, inputTokens: 0, outputTokens: 0, firstTokenMs: null });
});

test("a provider that echoes the key in a stream does not hand it out", async () => {
  const { provider, post } = await start();
  provider.enqueue([say(`your key is ${PROVIDER_KEY}!`, { chunkChars: 500 }), say("end")]);
  const text = await (await post(MESSAGES, anthropicBody({ stream: true }))).text();
  expect(text).toContain("your key is [redacted]!");
  expect(text).not.toContain(PROVIDER_KEY);
});

test("an error in the middle of a stream goes through", async () => {
  const { provider, anthropic } = await start();
  provider.enqueue([say("part"), errorEvent(529, "overloaded")]);
  await expect(anthropic().messages.stream(anthropicBody()).finalMessage()).rejects.toThrow("overloaded");
  expect(await spanOf()).toMatchObject({ status: 200 });
});

test("a provider that breaks off in the middle cuts the answer, which is counted as far as it came", async () => {
  const { provider, post } = await start();
  provider.enqueue([say("part"), usage(COUNTS), cut()]);
  const answer = await post(MESSAGES, anthropicBody({ stream: true }));
  await expect(answer.text()).rejects.toThrow();
  expect(await spanOf()).toMatchObject({ status: 200, inputTokens: 100, cacheReadTokens: 30 });
  expect(stage.problems).toEqual([]);
});

test("a provider that breaks off at once, or is not there, is a 502 that says nothing of where it is", async () => {
  const { provider, post } = await start();
  provider.enqueue(cut());
  const answer = await post(RESPONSES, responsesBody());
  const body = await answer.text();
  expect([answer.status, body]).toEqual([502, expect.stringContaining("could not be reached")]);
  expect(body).not.toContain(new URL(provider.url).port);
  expect(await spanOf()).toMatchObject({ status: null });
  await stage.close();
  const away = await start({ baseUrl: "http://127.0.0.1:1" });
  const unreachable = await away.post(MESSAGES, anthropicBody());
  expect([unreachable.status, await unreachable.json()]).toMatchObject([
    502,
    { type: "error", error: { type: "api_error", message: expect.stringContaining("ECONNREFUSED") } },
  ]);
});

test("a client that goes away ends the request at the provider", async () => {
  const { provider, post } = await start();
  provider.enqueue([say("part"), hold(createGate())]);
  const controller = new AbortController();
  const answer = await post(MESSAGES, anthropicBody({ stream: true }), { signal: controller.signal });
  await answer.body?.getReader().read();
  controller.abort();
  await provider.requests[0]?.ended;
  expect(provider.requests[0]?.state).toBe("abandoned");
  expect(await spanOf()).toMatchObject({ status: 200 });
  expect(stage.problems).toEqual([]);
});

test("a gateway that closes cuts what is under way, at any point, and leaves its spans", async () => {
  const { provider, post, gateway, spans } = await start();
  provider.enqueue([say("part"), hold(createGate())]);
  const streaming = await post(MESSAGES, anthropicBody({ stream: true }));
  provider.enqueue(hold(createGate()));
  const waiting = post(MESSAGES, anthropicBody());
  const body = new ReadableStream({ start: (controller) => controller.enqueue(Buffer.from('{"model":')) });
  const sending = post(MESSAGES, "", { body, duplex: "half" });
  const failures = Promise.allSettled([streaming.text(), waiting, sending]);
  await until(() => provider.received === 2 && stage.received() === 3);
  await gateway.close();
  expect(spans.map(({ status }) => status).sort()).toEqual([200, null]);
  expect((await failures).map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected"]);
});

test("a source that fails lets nothing through, and says why to nobody but the log", async () => {
  const { provider, post } = await start();
  stage.failWith = new Error("password authentication failed for postgres://secret");
  const answer = await post(MESSAGES, anthropicBody());
  const text = await answer.text();
  expect([answer.status, text]).toEqual([529, expect.stringContaining("cannot check")]);
  expect(text).not.toContain("postgres");
  expect(stage.problems).toEqual([stage.failWith]);
  expect(provider.received).toBe(0);
});

test("counting tokens is no model request", async () => {
  const { post } = await start();
  const answer = await post("/model/v1/messages/count_tokens", { model: "claude-other", messages: [] });
  expect(answer.status).toBe(403);
  // The scripted provider has no such operation, which shows that it was asked.
  expect((await post("/model/v1/messages/count_tokens", { model: "claude-test", messages: [] })).status).toBe(404);
  expect(stage.spans).toEqual([]);
});

test("the name of the sandbox is the socket's, whatever the request says", async () => {
  const { post, tokens } = await start();
  const headers = { authorization: `Bearer ${tokens.issue("sbx_9", SESSION, "sthr_1")}`, "x-sandbox-id": "sbx_9", host: "sbx_9" };
  expect((await post(MESSAGES, anthropicBody(), { headers })).status).toBe(401);
  expect(SANDBOX).toBe("sbx_1");
});

test("a provider that is not the operator's is asked only where the address guard allows", async () => {
  const closed = await start({ guarded: true });
  const refused = await closed.post(MESSAGES, anthropicBody());
  expect([refused.status, await refused.text()]).toEqual([502, expect.stringContaining("(address_not_public)")]);
  expect(closed.provider.received).toBe(0);
  await closed.close();
  const { provider, post } = await start({ guarded: true, allowPrivate: ["127.0.0.0/8"] });
  provider.enqueue(say("ok"));
  expect((await post(MESSAGES, anthropicBody())).status).toBe(200);
});

test("curl, which asks before it sends a large body", async () => {
  const { provider, socketPath, token } = await start();
  provider.enqueue(say("hello, curl"));
  const body = JSON.stringify(anthropicBody({ system: "x".repeat(100_000) }));
  const args = [
    "-sS",
    "--unix-socket",
    socketPath,
    "-H",
    `x-api-key: ${token}`,
    "-H",
    "expect: 100-continue",
    "--expect100-timeout",
    "60",
  ];
  const child = execFile("curl", [...args, "--data-binary", "@-", `http://127.0.0.1${MESSAGES}`]);
  child.stdin?.end(body);
  expect(await text(child.stdout as Readable)).toContain("hello, curl");
});

test("requests that a client sends without waiting for answers do not pile up", async () => {
  const { provider, socketPath, token } = await start();
  provider.enqueue(hold(createGate()));
  const body = JSON.stringify(anthropicBody());
  const socket = connect(socketPath);
  const head = (length: number) =>
    `POST ${MESSAGES} HTTP/1.1\r\nHost: a\r\nX-Api-Key: ${token}\r\nContent-Length: ${length}\r\n\r\n`;
  socket.write(head(body.length) + body);
  await until(() => provider.received === 1);
  socket.write(`${head(2)}{}`.repeat(100_000));
  // What the gateway does not take stays with the client.
  let [seen, since] = [0, performance.now()];
  await until(() => {
    if (stage.received() !== seen) [seen, since] = [stage.received(), performance.now()];
    return seen > 1 && performance.now() - since > 1_000;
  });
  expect(seen).toBeLessThan(5_000);
  socket.destroy();
});
