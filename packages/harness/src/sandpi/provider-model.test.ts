import { expect, test } from "vitest";
import type { ProviderConfig, TurnAgent } from "../port.ts";
import { loadProviderApis } from "./provider-apis.ts";
import { resolveModel, vendorBaseUrl } from "./provider-model.ts";

const { catalog } = await loadProviderApis();
const provider = (api: ProviderConfig["api"], baseUrl: string): ProviderConfig => ({
  api,
  baseUrl,
  apiKey: "k",
  contextWindow: 200_000,
  outputTokensMax: 32_000,
});
const ANTHROPIC = provider("anthropic-messages", "https://api.anthropic.com");
const OPENAI = provider("openai-responses", "https://api.openai.com/v1");
const LOCAL = provider("openai-completions", "http://127.0.0.1:11434");
const resolve = (config: ProviderConfig, id: string, effort?: TurnAgent["model"]["effort"]) =>
  resolveModel(
    { name: "a", system: null, tools: [], model: { id, ...(effort === undefined ? {} : { effort }) } },
    config,
    catalog,
  );

test.each([
  [ANTHROPIC, "claude-opus-5-5", "max", "max"],
  [ANTHROPIC, "claude-sonnet-4-6", "xhigh", "max"],
  [ANTHROPIC, "claude-opus-5-5", undefined, "high"],
  [ANTHROPIC, "claude-of-tomorrow", "xhigh", "xhigh"],
  [ANTHROPIC, "another-model", "high", undefined],
  [OPENAI, "gpt-5.4", "max", "xhigh"],
  [OPENAI, "gpt-5", "xhigh", "high"],
  [OPENAI, "gpt-5.4", undefined, "medium"],
  [OPENAI, "gpt-4o", "high", undefined],
  [LOCAL, "qwen4", undefined, undefined],
  [LOCAL, "qwen4", "low", "low"],
] as const)("%o %s: effort %s is sent as %s", (config, id, effort, expected) => {
  expect(resolve(config, id, effort).effort).toBe(expected);
});

test("models before adaptive thinking get a budget that leaves room for the answer", () => {
  expect(resolve(ANTHROPIC, "claude-haiku-4-5", "low").thinkingBudgetTokens).toBe(2_048);
  expect(resolve({ ...ANTHROPIC, outputTokensMax: 8_000 }, "claude-haiku-4-5", "high").thinkingBudgetTokens).toBe(6_976);
  expect(resolve(ANTHROPIC, "claude-opus-5", "high").thinkingBudgetTokens).toBeUndefined();
});

test("system text stays in place only where the vendor's own endpoint documents it", () => {
  expect(resolve(ANTHROPIC, "claude-opus-5-5").systemInPlace).toBe(true);
  expect(resolve(ANTHROPIC, "claude-haiku-4-5").systemInPlace).toBe(false);
  expect(resolve(OPENAI, "gpt-5.4").systemInPlace).toBe(true);
  expect(resolve(provider("anthropic-messages", "https://gateway.example"), "claude-opus-5-5").systemInPlace).toBe(false);
  expect(resolve(LOCAL, "gpt-5.4").systemInPlace).toBe(false);
});

test("both spellings of a base URL work", () => {
  const of = (api: ProviderConfig["api"], url: string) => vendorBaseUrl(provider(api, url));
  expect(of("anthropic-messages", "https://api.anthropic.com/v1/")).toBe("https://api.anthropic.com");
  expect(of("anthropic-messages", "https://api.example/anthropic")).toBe("https://api.example/anthropic");
  expect(of("openai-responses", "https://api.openai.com")).toBe("https://api.openai.com/v1");
  expect(of("openai-completions", "https://api.openai.com/v1")).toBe("https://api.openai.com/v1");
  expect(of("openai-completions", "https://api.example/compat/v2")).toBe("https://api.example/compat/v2");
});
