import { hostMatches, parseHost } from "../host.ts";
import type { SandboxPolicy } from "../port.ts";
import type { Api } from "./operation.ts";
import { Refusal } from "./refusal.ts";
import type { Json } from "./request-body.ts";

/**
 * What a request would have the provider do besides asking its model. A provider fetches images by URL, searches the web,
 * calls MCP servers: without a look at these, a sandbox with no way out would have that one.
 */
export interface ProviderReach {
  /** Other models: fallbacks, advisors. */
  models: readonly string[];
  /** What the provider would fetch or call. */
  urls: readonly string[];
  /** Types of tools that run at the provider. */
  serverTools: readonly string[];
}

/**
 * Fields by which gateways that speak the vendors' APIs are told of other hosts, keys and models. No vendor has them, and
 * with them the provider key would go elsewhere.
 */
const FORBIDDEN_FIELDS: ReadonlySet<string> = new Set([
  "api_base",
  "api_key",
  "base_url",
  "extra_headers",
  "fallback_models",
  "models",
  "plugins",
  "user_config",
]);

/** Run by the client, which is in the sandbox. All others count as the provider's. */
const CLIENT_TOOLS: Readonly<Record<"anthropic" | "openai", RegExp>> = {
  anthropic:
    /^(custom|(bash|text_editor|memory|computer|computer_toolset|browser_toolset)_\d+|tool_search_tool_(bm25|regex)(_\d+)?|tool_reference)$/,
  openai: /^(function|custom|namespace|tool_search|local_shell|apply_patch|computer|computer_use_preview)$/,
};

/** Where content holds more content, in all three APIs. Inputs and results of tools in JSON are not looked into. */
const NESTED = ["content", "source", "output", "image_url", "video_url", "audio_url", "file"];

/** @throws Refusal for a request that nobody may send */
export function reachOf(api: Api, body: Json): ProviderReach {
  const forbidden = Object.keys(body).find((name) => FORBIDDEN_FIELDS.has(name));
  if (forbidden !== undefined) throw new Refusal("invalid", `${forbidden}: the model gateway does not pass this field on.`);
  if (body.background === true) throw new Refusal("invalid", "background: the model gateway has no background responses.");
  const found = { models: [] as string[], urls: [] as string[], tools: [] as Json[] };
  collectFallbacks(body.fallbacks, found.models);
  for (const tool of listOf(body.tools)) collectTool(tool, found.tools);
  collectContent(api === "openai-responses" ? body.input : body.messages, found);
  const servers = listOf(body.mcp_servers);
  for (const { url } of [...servers, ...found.tools.map((tool) => ({ url: tool.server_url }))]) {
    if (typeof url === "string") found.urls.push(url);
  }
  for (const { model } of found.tools) if (typeof model === "string") found.models.push(model);
  const serverTools = found.tools.filter((tool) => !runsInSandbox(api, tool)).map(({ type }) => String(type));
  if (servers.length > 0) serverTools.push("mcp_servers");
  if (body.web_search_options !== undefined && body.web_search_options !== null) serverTools.push("web_search_options");
  return { models: found.models, urls: found.urls, serverTools };
}

/** A sentence for the harness, or `null`: the session's networking allows it. */
export function reachDenial(reach: ProviderReach, { networking }: SandboxPolicy): string | null {
  const limited = networking.type === "limited";
  const tool = limited ? reach.serverTools[0] : undefined;
  if (tool !== undefined) {
    const name = JSON.stringify(tool.slice(0, 64));
    return `The tool ${name} runs at the model provider, outside of this environment's limited networking. Remove it, or use an environment with unrestricted networking.`;
  }
  for (const url of reach.urls) {
    const host = hostOf(url);
    if (host === null) return "The request has the model provider fetch something that is no public http or https URL.";
    const rules = limited ? networking.allowedHosts : networking.blockedHosts;
    if (rules.some((rule) => hostMatches(rule, host)) !== limited)
      return `The request has the model provider fetch from ${host}, which this environment's networking does not allow. Add the host to networking.allowed_hosts, or send the content itself.`;
  }
  return null;
}

/** Strictly: what is read differently by two URL parsers is none. Names within a network have no dot; addresses are no names. */
function hostOf(url: string): string | null {
  const host = parseHost(/^https?:\/\/([A-Za-z0-9.-]+)(?::\d{1,5})?(?:[/?#]|$)/i.exec(url)?.[1] ?? "");
  return host?.kind === "name" && host.text.includes(".") ? host.text : null;
}

function collectFallbacks(fallbacks: unknown, models: string[]): void {
  if (fallbacks === undefined || fallbacks === null) return;
  const named = Array.isArray(fallbacks) ? fallbacks.map((each: unknown) => objectOf(each).model) : [undefined];
  if (!named.every((model) => typeof model === "string"))
    throw new Refusal("invalid", "fallbacks: name the models, each of which this session must be allowed to use.");
  models.push(...named);
}

function collectTool(tool: Json, tools: Json[]): void {
  tools.push(tool);
  for (const inner of listOf(tool.tools)) collectTool(inner, tools);
}

/** Recursion is bounded: the body's depth is (`scanJson`). */
function collectContent(value: unknown, found: { urls: string[]; tools: Json[] }): void {
  if (Array.isArray(value)) {
    for (const each of value) collectContent(each, found);
    return;
  }
  if (typeof value !== "object" || value === null) return;
  const item = value as Json;
  for (const [name, text] of Object.entries(item)) {
    if (typeof text === "string" && isFetched(name, text)) found.urls.push(text);
  }
  for (const tool of [...listOf(item.tools), ...listOf(item.tool === undefined ? [] : [item.tool])])
    collectTool(tool, found.tools);
  for (const name of NESTED) collectContent(item[name], found);
}

/** Some take a URL where the data of a file belongs. */
function isFetched(name: string, text: string): boolean {
  if (/^data:/i.test(text)) return false;
  return name === "url" || name.endsWith("_url") || (name === "file_data" && /^[a-z][a-z0-9+.-]*:/i.test(text));
}

function runsInSandbox(api: Api, tool: Json): boolean {
  const { type } = tool;
  if (api === "anthropic-messages") return type === undefined || type === null || CLIENT_TOOLS.anthropic.test(String(type));
  if (type === "shell") return objectOf(tool.environment).type === "local";
  // From the provider's index: nothing is fetched for it.
  if (String(type).startsWith("web_search")) return tool.external_web_access === false;
  return CLIENT_TOOLS.openai.test(String(type));
}

const objectOf = (value: unknown): Json => (typeof value === "object" && value !== null ? (value as Json) : {});
const listOf = (value: unknown): Json[] => (Array.isArray(value) ? value.map(objectOf) : []);
