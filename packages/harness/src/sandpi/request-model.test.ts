import type { IncomingHttpHeaders } from "node:http";
import type { ModelUsage } from "@sandbox0/protocol";
import { createScriptedProvider, say } from "@sandbox0/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { ProviderConfig, TurnAgent, TurnOutcome } from "../port.ts";
import { createTestSession, textResult } from "../testing/index.ts";
import { createSandpi } from "./sandpi.ts";

const sandpi = createSandpi();
const provider = await createScriptedProvider({ script: () => say("ok") });
beforeAll(() => sandpi.warmUp());
afterAll(async () => {
  sandpi.close();
  await provider.close();
});

interface Sent {
  outcome: TurnOutcome;
  body: Record<string, unknown>;
  headers: IncomingHttpHeaders;
  usage: ModelUsage | undefined;
}

/** The body and headers of one request for this model. */
async function sent(api: ProviderConfig["api"], model: TurnAgent["model"], config: Partial<ProviderConfig> = {}): Promise<Sent> {
  const test = createTestSession({
    provider: { api, baseUrl: provider.url, apiKey: "sk-test", contextWindow: 200_000, outputTokensMax: 32_000, ...config },
    tools: { look: () => textResult("") },
    agent: { model },
  });
  test.send("hi");
  const outcome = await test.run(sandpi);
  const { body, headers } = provider.requests.at(-1) ?? { body: {}, headers: {} };
  return { outcome, body, headers, usage: test.events("span.model_request_end")[0]?.model_usage };
}

test("Anthropic: adaptive thinking with its effort, no thinking text asked for", async () => {
  const { body } = await sent("anthropic-messages", { id: "claude-opus-5-5", effort: "xhigh" });
  expect(body).toMatchObject({
    thinking: { type: "adaptive", display: "omitted" },
    output_config: { effort: "xhigh" },
    max_tokens: 32_000,
  });
});

test("Anthropic: a thinking budget for older models", async () => {
  const { body, headers } = await sent("anthropic-messages", { id: "claude-haiku-4-5", effort: "medium" });
  expect(body).toMatchObject({ thinking: { type: "enabled", budget_tokens: 8_192 } });
  expect(body).not.toHaveProperty("output_config");
  expect(headers["anthropic-beta"]).toBe("interleaved-thinking-2025-05-14");
});

test("Anthropic: nothing about thinking for a model that is not Claude", async () => {
  const { body } = await sent("anthropic-messages", { id: "glm-6" });
  expect(body).not.toHaveProperty("thinking");
  expect(body).not.toHaveProperty("output_config");
});

test("Anthropic: the cache is asked for on the system prompt, the tools and the last message", async () => {
  const { body } = await sent("anthropic-messages", { id: "claude-opus-5" });
  const cache_control = { type: "ephemeral" };
  expect(body).toMatchObject({
    system: [{ cache_control }],
    tools: [{ name: "look", cache_control }],
    messages: [{ role: "user", content: [{ type: "text", text: "hi", cache_control }] }],
  });
});

test("Anthropic: fast is a field with its beta, and is counted as such", async () => {
  const { body, headers, usage } = await sent("anthropic-messages", { id: "claude-opus-5", speed: "fast" });
  expect(body).toMatchObject({ speed: "fast" });
  expect(headers["anthropic-beta"]).toBe("fast-mode-2026-02-01");
  expect(usage).toMatchObject({ speed: "fast" });
});

test("OpenAI: effort, service tier and cache key", async () => {
  const responses = await sent("openai-responses", { id: "gpt-5.4", effort: "max", speed: "fast" });
  expect(responses.body).toMatchObject({
    reasoning: { effort: "xhigh" },
    include: ["reasoning.encrypted_content"],
    service_tier: "priority",
    prompt_cache_key: expect.stringMatching(/^sthr_/),
    store: false,
  });
  expect(responses.body.reasoning).not.toHaveProperty("summary");
  const completions = await sent("openai-completions", { id: "gpt-5.4", effort: "low", speed: "fast" });
  expect(completions.body).toMatchObject({ reasoning_effort: "low", service_tier: "priority" });
});

test("OpenAI: a model of unknown kind gets the plainest request", async () => {
  const { body } = await sent("openai-completions", { id: "qwen4" });
  expect(Object.keys(body).toSorted()).toEqual([
    "max_completion_tokens",
    "messages",
    "model",
    "stream",
    "stream_options",
    "tools",
  ]);
  expect(body).toMatchObject({ messages: [{ role: "system" }, { role: "user" }] });
});

test("names itself, and no one else", async () => {
  const { headers } = await sent("anthropic-messages", { id: "claude-opus-5" });
  expect(headers["user-agent"]).toBe("sandbox0");
  expect(headers["x-api-key"]).toBe("sk-test");
  expect(headers).not.toHaveProperty("anthropic-dangerous-direct-browser-access");
});

test("a key that looks like a login is still only a key", async () => {
  const { body, headers } = await sent("anthropic-messages", { id: "claude-opus-5" }, { apiKey: "sk-ant-oat01-abc" });
  expect(JSON.stringify(body)).not.toContain("Claude Code");
  expect(headers["x-api-key"]).toBe("sk-ant-oat01-abc");
});

test.each([
  [{ baseUrl: "not a url" }, "base URL"],
  [{ baseUrl: "file:///etc/passwd" }, "base URL"],
  [{ apiKey: "" }, "API key"],
  [{ apiKey: "two\nlines" }, "API key"],
])("a provider that cannot be asked fails at once: %j", async (config, reason) => {
  const before = provider.received;
  const { outcome } = await sent("anthropic-messages", { id: "claude-opus-5" }, config);
  expect(outcome).toMatchObject({
    type: "failed",
    error: { disposition: "exhausted", message: expect.stringContaining(reason) },
  });
  expect(provider.received).toBe(before);
});

test("100 turns at once, over one harness", async () => {
  const runs = Array.from({ length: 100 }, () => sent("anthropic-messages", { id: "claude-opus-5" }));
  for (const { outcome } of await Promise.all(runs)) expect(outcome).toEqual({ type: "idle", stopReason: "end_turn" });
});
