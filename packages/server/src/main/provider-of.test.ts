import type { ProviderConfig } from "@sandbox0/harness";
import { expect, test } from "vitest";
import type { LlmVault } from "../resources/vaults/vault-secrets.ts";
import { loadConfig } from "./config.ts";
import { createProviderOf } from "./provider-of.ts";

const KEYS = { ANTHROPIC_API_KEY: "canary-anthropic", OPENAI_API_KEY: "canary-openai" };
const USER = { workspaceId: "wrkspc_1", vaultIds: ["vlt_1"] };
const APIS: Record<string, ProviderConfig["api"][]> = {
  sandpi: ["anthropic-messages", "openai-responses", "openai-completions"],
  claude: ["anthropic-messages"],
  codex: ["openai-responses"],
};

function providerOf(environment: Record<string, string>, vault: Partial<LlmVault> | null, key: string | null = null) {
  const llm = vault && { vaultId: "vlt_1", engine: null, baseUrl: null, credentialId: key === null ? null : "vcrd_1", ...vault };
  const { models } = loadConfig(environment);
  const vaults = { llmOf: async () => llm, secretOf: async () => key };
  const find = createProviderOf(models, vaults, (harness) => APIS[harness] ?? []);
  return (model: string, harness = "sandpi") => find(model, { ...USER, harness });
}

test("without an LLM vault the server's own provider, dialled freely", async () => {
  const provider = await providerOf(KEYS, null)("claude-x");
  expect(provider).toMatchObject({ baseUrl: "https://api.anthropic.com", apiKey: "canary-anthropic" });
  expect(provider).not.toHaveProperty("guarded");
  expect(await providerOf({}, null)("claude-x")).toMatchObject({ unavailable: expect.stringContaining("ANTHROPIC_API_KEY") });
});

test("an address of the vault is guarded and gets the vault's key, with or without a key of the server", async () => {
  for (const environment of [KEYS, {}]) {
    const ask = providerOf(environment, { baseUrl: "https://llm.example.com/v1/" }, "of-the-vault");
    expect(await ask("claude-x")).toMatchObject({
      api: "anthropic-messages",
      baseUrl: "https://llm.example.com",
      apiKey: "of-the-vault",
      guarded: true,
    });
    expect(await ask("gpt-x")).toMatchObject({ api: "openai-responses", baseUrl: "https://llm.example.com/v1", guarded: true });
  }
});

test("an address of the vault never gets a key of the server", async () => {
  for (const model of ["claude-x", "gpt-x"]) {
    const provider = await providerOf(KEYS, { baseUrl: "https://evil.example.com" })(model);
    expect(provider).toMatchObject({ guarded: true });
    expect(JSON.stringify(provider)).not.toContain("canary");
  }
});

test("a key without an address goes where the server's own model is", async () => {
  for (const environment of [KEYS, {}]) {
    const provider = await providerOf(environment, {}, "of-the-vault")("claude-x");
    expect(provider).toMatchObject({ baseUrl: "https://api.anthropic.com", apiKey: "of-the-vault" });
    expect(provider).not.toHaveProperty("guarded");
  }
});

test("an LLM vault that names neither changes nothing", async () => {
  expect(await providerOf(KEYS, {})("claude-x")).toMatchObject({ apiKey: "canary-anthropic" });
  expect(await providerOf({}, {})("claude-x")).toHaveProperty("unavailable");
});

test("what is no URL is said so", async () => {
  expect(await providerOf(KEYS, { baseUrl: "nowhere" }, "k")("claude-x")).toEqual({
    unavailable: "The base URL of this session's LLM vault is not a URL.",
  });
});

test("at a provider of the vault's a model is served over what the harness speaks, whatever its name", async () => {
  const ask = providerOf(KEYS, { baseUrl: "https://llm.example.com" }, "of-the-vault");
  for (const model of ["claude-x", "gpt-x", "own-model"]) {
    expect(await ask(model, "claude")).toMatchObject({ api: "anthropic-messages", baseUrl: "https://llm.example.com" });
    expect(await ask(model, "codex")).toMatchObject({ api: "openai-responses", baseUrl: "https://llm.example.com/v1" });
  }
  const byKey = providerOf({}, {}, "of-the-vault");
  expect(await byKey("own-model", "claude")).toMatchObject({ baseUrl: "https://api.anthropic.com", apiKey: "of-the-vault" });
  expect(await byKey("claude-x", "codex")).toMatchObject({ baseUrl: "https://api.openai.com/v1", apiKey: "of-the-vault" });
});

test("at the server's own providers the model's name decides, and the harness may not fit", async () => {
  for (const vault of [null, {}]) {
    expect(await providerOf(KEYS, vault)("gpt-x", "claude")).toMatchObject({ api: "openai-responses" });
    expect(await providerOf(KEYS, vault)("claude-x", "codex")).toMatchObject({ api: "anthropic-messages" });
  }
});
