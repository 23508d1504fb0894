import {
  type McpServer,
  type PermissionPolicy,
  type Tool,
  type ToolConfig,
  type ToolConfigParams,
  type ToolDefaults,
  type ToolParams,
  type UrlSources,
  type UrlSourcesParams,
  invalidRequest,
} from "@sandbox0/protocol";

/** Built-in tools run unless told otherwise; what a stranger's MCP server offers is asked for (semantics §8). */
const BUILTIN_POLICY: PermissionPolicy = { type: "always_allow" };
const MCP_POLICY: PermissionPolicy = { type: "always_ask" };

interface Toggle {
  enabled?: boolean | null | undefined;
  permission_policy?: PermissionPolicy | null | undefined;
}

const resolveToggle = (toggle: Toggle | null | undefined, defaults: ToolDefaults): ToolDefaults => ({
  enabled: toggle?.enabled ?? defaults.enabled,
  permission_policy: toggle?.permission_policy ?? defaults.permission_policy,
});

/** `"all"` is `{type: "all"}`; left out is `null`. */
const resolveSource = <T extends object>(source: T | "all" | "none" | null | undefined): T | { type: "all" | "none" } | null =>
  typeof source === "string" ? { type: source } : (source ?? null);

function resolveUrlSources(sources: UrlSourcesParams | null | undefined): UrlSources | null {
  if (!sources) return null;
  return {
    user_input: resolveSource(sources.user_input),
    server_tool_results: resolveSource(sources.server_tool_results),
    client_tool_results: resolveSource(sources.client_tool_results),
  };
}

function resolveToolConfig(params: ToolConfigParams, defaults: ToolDefaults): ToolConfig {
  const toggle = resolveToggle(params, defaults);
  switch (params.name) {
    case "web_fetch":
      return {
        name: "web_fetch",
        type: "web_fetch",
        ...toggle,
        ...domainLists(params),
        ...(params.max_content_tokens === undefined ? {} : { max_content_tokens: params.max_content_tokens }),
        url_sources: resolveUrlSources(params.url_sources),
      };
    case "web_search":
      return {
        name: "web_search",
        type: "web_search",
        ...toggle,
        ...domainLists(params),
        ...(params.user_location === undefined ? {} : { user_location: params.user_location }),
      };
    default:
      return { name: params.name, type: params.name, ...toggle } as ToolConfig;
  }
}

function domainLists(params: { allowed_domains?: string[] | null | undefined; blocked_domains?: string[] | null | undefined }) {
  return {
    ...(params.allowed_domains ? { allowed_domains: params.allowed_domains } : {}),
    ...(params.blocked_domains ? { blocked_domains: params.blocked_domains } : {}),
  };
}

function resolveTool(params: ToolParams): Tool {
  if (params.type === "custom") return params;
  const defaults = resolveToggle(params.default_config, {
    enabled: true,
    permission_policy: params.type === "mcp_toolset" ? MCP_POLICY : BUILTIN_POLICY,
  });
  if (params.type === "mcp_toolset") {
    const configs = (params.configs ?? []).map((config) => ({ name: config.name, ...resolveToggle(config, defaults) }));
    return { type: "mcp_toolset", mcp_server_name: params.mcp_server_name, default_config: defaults, configs };
  }
  const configs = (params.configs ?? []).map((config) => resolveToolConfig(config, defaults));
  return { type: params.type, default_config: defaults, configs };
}

/** The resolved form that responses show and sessions keep: every entry says what it does (contract §3.2). */
export function resolveTools(params: readonly ToolParams[]): Tool[] {
  return params.map(resolveTool);
}

const SERVER_TOOLS = ["web_search", "web_fetch"];

function checkUrlSources(sources: UrlSources, customTools: ReadonlySet<string>, field: string): void {
  const sourceList = [sources.user_input, sources.server_tool_results, sources.client_tool_results];
  if (sourceList.every((source) => source?.type === "none"))
    throw invalidRequest(`${field}: not all three sources may be "none"`);
  const check = (key: "server_tool_results" | "client_tool_results", known: (name: string) => boolean, rule: string): void => {
    const source = sources[key];
    if (source?.type !== "only" && source?.type !== "except") return;
    const unknown = source.tools.find((tool) => !known(tool.name));
    if (unknown) throw invalidRequest(`${field}.${key}: "${unknown.name}" ${rule}`);
  };
  check("server_tool_results", (name) => SERVER_TOOLS.includes(name), 'must be "web_search" or "web_fetch"');
  check("client_tool_results", (name) => customTools.has(name), "is not a custom tool of this agent");
}

/**
 * What must fit together in an agent's resulting tools and servers (semantics §2).
 * @param at where the fields stand in the request, such as `agent.`
 * @throws ApiError that names the field
 */
export function checkTools(tools: readonly Tool[], servers: readonly McpServer[], at = ""): void {
  const serverNames = new Set(servers.map((server) => server.name));
  const used = new Set<string>();
  const customTools = new Set(tools.flatMap((tool) => (tool.type === "custom" ? [tool.name] : [])));
  for (const [index, tool] of tools.entries()) {
    if (tool.type === "mcp_toolset") {
      used.add(tool.mcp_server_name);
      if (serverNames.has(tool.mcp_server_name)) continue;
      throw invalidRequest(`${at}tools[${index}].mcp_server_name: "${tool.mcp_server_name}" is not declared in mcp_servers`);
    }
    if (tool.type === "custom") continue;
    for (const [position, config] of tool.configs.entries()) {
      if (config.name !== "web_fetch" || config.url_sources === null) continue;
      checkUrlSources(config.url_sources, customTools, `${at}tools[${index}].configs[${position}].url_sources`);
    }
  }
  const unused = servers.findIndex((server) => !used.has(server.name));
  if (unused >= 0)
    throw invalidRequest(`${at}mcp_servers[${unused}]: "${servers[unused]?.name}" is not referenced by an mcp_toolset in tools`);
}
