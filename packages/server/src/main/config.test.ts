import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { ConfigError, loadConfig } from "./config.ts";

const directory = mkdtempSync(join(tmpdir(), "sandbox0-config-"));
afterAll(() => rmSync(directory, { recursive: true }));

function file(content: unknown): string {
  const path = join(directory, `${Math.random()}.json`);
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  return path;
}

function problems(environment: Record<string, string>): readonly string[] {
  try {
    loadConfig(environment);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

test("an empty environment has defaults for everything", () => {
  const config = loadConfig({});
  expect(config).toMatchObject({
    host: "127.0.0.1",
    port: 8787,
    dataDir: resolve(".sandbox0"),
    harness: "sandpi",
    sandbox: "auto",
    warmSandboxes: 4,
    blobs: { type: "directory", path: resolve(".sandbox0/blobs") },
    blobGraceMs: 3_600_000,
    uploadsDownloadable: false,
    egressAllowPrivate: [],
    judgeModel: undefined,
    webSearch: null,
  });
  expect([...config.roles]).toEqual(["api", "worker"]);
  expect(config.databaseUrl ?? config.apiKey ?? config.masterKey ?? config.telemetry.endpoint).toBeUndefined();
});

test("an empty variable is an unset one, and unknown ones are not looked at", () => {
  expect(loadConfig({ SANDBOX0_PORT: "", DATABASE_URL: "", HOME: "/x", SANDBOX0_URL: "nonsense" }).port).toBe(8787);
});

test("reads what is set", () => {
  const config = loadConfig({
    SANDBOX0_HOST: "0.0.0.0",
    SANDBOX0_PORT: "0",
    SANDBOX0_DATA_DIR: "/var/lib/sandbox0",
    DATABASE_URL: "postgres://u@h/d",
    SANDBOX0_API_KEY: "sk-1",
    SANDBOX0_MASTER_KEY: "ab".repeat(32),
    SANDBOX0_WARM_SANDBOXES: "0",
    SANDBOX0_ROLES: "worker",
    SANDBOX0_BLOBS: "s3://bucket/prefix",
    SANDBOX0_EGRESS_ALLOW_PRIVATE: "10.0.0.0/8, ::1",
    SANDBOX0_JUDGE_MODEL: "claude-haiku-4-5",
    SANDBOX0_WEB_SEARCH: "searxng",
    SANDBOX0_WEB_SEARCH_URL: "http://searx.local:8080/",
    OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4318",
    OTEL_EXPORTER_OTLP_HEADERS: "authorization=Bearer%20x,a=b",
  });
  expect(config).toMatchObject({
    host: "0.0.0.0",
    port: 0,
    dataDir: "/var/lib/sandbox0",
    databaseUrl: "postgres://u@h/d",
    apiKey: "sk-1",
    masterKey: Buffer.alloc(32, 0xab),
    warmSandboxes: 0,
    blobs: { type: "s3", url: "s3://bucket/prefix" },
    egressAllowPrivate: ["10.0.0.0/8", "::1"],
    judgeModel: "claude-haiku-4-5",
    webSearch: { provider: "searxng", baseUrl: "http://searx.local:8080", key: undefined },
    telemetry: { endpoint: "http://collector:4318", headers: { authorization: "Bearer x", a: "b" } },
  });
  expect([...config.roles]).toEqual(["worker"]);
});

test.each([
  ["SANDBOX0_PORT", "70000", /SANDBOX0_PORT: must be a whole number from 0 to 65535/],
  ["SANDBOX0_PORT", "80a", /SANDBOX0_PORT: must be a whole number/],
  ["SANDBOX0_WARM_SANDBOXES", "65", /SANDBOX0_WARM_SANDBOXES: must be a whole number from 0 to 64/],
  ["SANDBOX0_HARNESS", "gpt", /SANDBOX0_HARNESS: must be one of sandpi, claude, codex/],
  ["SANDBOX0_ROLES", "api,cook", /SANDBOX0_ROLES: must be one of api, worker/],
  ["SANDBOX0_ROLES", ",", /SANDBOX0_ROLES: must name at least one role/],
  ["DATABASE_URL", "mysql://x", /DATABASE_URL: must begin with postgres:/],
  ["SANDBOX0_EGRESS_ALLOW_PRIVATE", "10.0.0.0/33", /SANDBOX0_EGRESS_ALLOW_PRIVATE: must be IP addresses or CIDRs/],
  ["ANTHROPIC_BASE_URL", "ftp://x", /ANTHROPIC_BASE_URL: must be an http or https URL/],
  ["SANDBOX0_MASTER_KEY", "c2hvcnQtc2VjcmV0", /SANDBOX0_MASTER_KEY: must be 32 bytes/],
  ["SANDBOX0_MASTER_KEY", "file:/does/not/exist", /SANDBOX0_MASTER_KEY: the file cannot be read/],
  ["SANDBOX0_SKILLS_DIR", "/does/not/exist", /SANDBOX0_SKILLS_DIR: must be a directory/],
  ["SANDBOX0_BLOBS", "gs://bucket", /SANDBOX0_BLOBS: must be a directory or an s3/],
  ["SANDBOX0_WEB_SEARCH", "altavista", /SANDBOX0_WEB_SEARCH: must be one of brave, tavily, searxng/],
  ["SANDBOX0_WEB_SEARCH", "brave", /SANDBOX0_WEB_SEARCH_KEY: must be set for brave/],
  ["SANDBOX0_WEB_SEARCH", "searxng", /SANDBOX0_WEB_SEARCH_URL: must be set for searxng/],
  ["OTEL_EXPORTER_OTLP_HEADERS", "nonsense", /OTEL_EXPORTER_OTLP_HEADERS: must be name=value/],
])("%s=%s is refused with the variable and the rule", (name, value, message) => {
  const found = problems({ [name]: value });
  expect(found).toHaveLength(1);
  expect(found[0]).toMatch(message);
});

test("names every problem at once, and no secret's value", () => {
  const found = problems({ SANDBOX0_PORT: "x", SANDBOX0_API_KEY: "two words", SANDBOX0_MASTER_KEY: "c2hvcnQtc2VjcmV0" });
  expect(found).toHaveLength(3);
  expect(found.join("\n")).not.toMatch(/two words|c2hvcnQ/);
});

test("a master key may be base64, or in a file", () => {
  const key = Buffer.from("0123456789abcdef0123456789abcdef");
  expect(loadConfig({ SANDBOX0_MASTER_KEY: key.toString("base64") }).masterKey).toEqual(key);
  expect(loadConfig({ SANDBOX0_MASTER_KEY: `file:${file(`${key.toString("hex")}\n`)}` }).masterKey).toEqual(key);
});

test("overrides win", () => {
  expect(loadConfig({ SANDBOX0_PORT: "1" }, { port: 2 }).port).toBe(2);
});

describe("models", () => {
  test("claude goes to Anthropic and the rest to OpenAI", () => {
    const { models } = loadConfig({ ANTHROPIC_API_KEY: "a", OPENAI_API_KEY: "o" });
    expect(models.resolve("claude-opus-5-5")).toMatchObject({
      api: "anthropic-messages",
      baseUrl: "https://api.anthropic.com",
      apiKey: "a",
    });
    expect(models.resolve("gpt-6-sol")).toMatchObject({
      api: "openai-responses",
      baseUrl: "https://api.openai.com/v1",
      apiKey: "o",
    });
  });

  test.each([
    ["claude-x", "http://h:1", "http://h:1"],
    ["claude-x", "http://h:1/", "http://h:1"],
    ["claude-x", "http://h:1/v1/", "http://h:1"],
    ["claude-x", "http://h:1/proxy/v1", "http://h:1/proxy"],
    ["gpt-x", "http://h:1", "http://h:1/v1"],
    ["gpt-x", "http://h:1/v1/", "http://h:1/v1"],
    ["gpt-x", "http://h:1/openai/", "http://h:1/openai"],
  ])("%s at %s is asked at %s", (model, given, normal) => {
    const { models } = loadConfig({ ANTHROPIC_BASE_URL: given, OPENAI_BASE_URL: given });
    expect(models.resolve(model).baseUrl).toBe(normal);
  });

  test("a model without a key says which variable is missing; with an own address none is needed", () => {
    expect(() => loadConfig({}).models.resolve("claude-x")).toThrow(
      /"claude-x" cannot be reached: this server has no ANTHROPIC_API_KEY/,
    );
    expect(() => loadConfig({ ANTHROPIC_API_KEY: "a" }).models.resolve("gpt-x")).toThrow(/OPENAI_API_KEY/);
    expect(loadConfig({ OPENAI_BASE_URL: "http://localhost:1" }).models.resolve("gpt-x").apiKey).not.toBe("");
  });

  test("the models file wins: an exact id, then the longest prefix", () => {
    const path = file({
      models: [
        { id: "claude-*", api: "anthropic-messages", base_url: "http://gateway/v1" },
        { id: "*", api: "openai-completions", base_url: "http://local", key_env: "LOCAL_KEY" },
        {
          id: "claude-big",
          api: "anthropic-messages",
          display_name: "Big",
          context_window: 1_000_000,
          max_output_tokens: 128_000,
          list_price: { input: 4, output: 20 },
        },
      ],
    });
    const { models } = loadConfig({ SANDBOX0_MODELS: path, LOCAL_KEY: "l", ANTHROPIC_API_KEY: "a" });
    expect(models.resolve("llama")).toMatchObject({ api: "openai-completions", baseUrl: "http://local/v1", apiKey: "l" });
    expect(models.resolve("claude-small").baseUrl).toBe("http://gateway");
    expect(models.resolve("claude-small").apiKey, "a vendor's key does not go to another address").not.toBe("a");
    expect(models.resolve("claude-big")).toEqual({
      api: "anthropic-messages",
      baseUrl: "https://api.anthropic.com",
      apiKey: "a",
      contextWindow: 1_000_000,
      outputTokensMax: 128_000,
    });
    expect(models.entries[2]).toMatchObject({
      displayName: "Big",
      listPrice: { input: 4, output: 20, cacheRead: 0, cacheWrite: 0 },
    });
  });

  test.each([
    [{ models: [{ id: "x" }] }, /SANDBOX0_MODELS: models\[0\]\.api/],
    [{ models: [{ id: "x", api: "openai-responses", key_env: "NOT_SET" }] }, /the variable NOT_SET is not set/],
    [{ models: [{ id: "x", api: "openai-responses", price: 1 }] }, /SANDBOX0_MODELS: models\[0\].*price/],
    [
      {
        models: [
          { id: "x", api: "openai-responses" },
          { id: "x", api: "openai-responses" },
        ],
      },
      /models\[1\]\.id: x is there twice/,
    ],
    ["not json", /SANDBOX0_MODELS: .* cannot be read as JSON/],
  ])("refuses %j", (content, message) => {
    expect(problems({ SANDBOX0_MODELS: file(content) })).toEqual([expect.stringMatching(message)]);
  });
});
