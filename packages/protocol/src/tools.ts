import { z } from "zod";
import { describeWebDomainProblem } from "./domains.ts";

/** Tools of an agent (contract §3.2): what a client may send, and the resolved form that responses show. */
export const AGENT_TOOLSET = "agent_toolset_20260401";
export const BUILTIN_TOOLS = ["bash", "edit", "read", "write", "glob", "grep", "web_fetch", "web_search"] as const;
export type BuiltinTool = (typeof BUILTIN_TOOLS)[number];
/** These run in the sandbox; the web tools run in the server. */
export const SANDBOX_TOOLS = ["bash", "edit", "read", "write", "glob", "grep"] as const satisfies readonly BuiltinTool[];

export const TOOLS_MAX = 256;
export const DOMAINS_MAX = 64;
export const TOOL_REFERENCES_MAX = 128;
const SERVER_NAME_CHARS_MAX = 255;
const MCP_TOOL_NAME_CHARS_MAX = 128;
const CUSTOM_TOOL_NAME = /^[A-Za-z0-9_-]{1,128}$/;
const PROPERTY_NAME = /^[A-Za-z0-9_.-]{1,64}$/;

export const permissionPolicySchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("always_allow") }),
  z.object({ type: z.literal("always_ask") }),
  z.object({ type: z.literal("auto") }),
]);
export type PermissionPolicy = z.infer<typeof permissionPolicySchema>;

export const userLocationSchema = z.object({
  type: z.literal("approximate"),
  city: z.string().nullish(),
  region: z.string().nullish(),
  country: z
    .string()
    .regex(/^[A-Z]{2}$/, "must be a two-letter ISO 3166-1 code in upper case")
    .refine(isCountry, "not a country the search provider supports")
    .nullish(),
  timezone: z.string().refine(isTimezone, 'must be an IANA time zone like "Europe/Berlin"').nullish(),
});

function isCountry(code: string): boolean {
  return /^[A-Z]{2}$/.test(code) && new Intl.DisplayNames(["en"], { type: "region", fallback: "none" }).of(code) !== undefined;
}

function isTimezone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions().timeZone !== "";
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

// --- what a client sends -------------------------------------------------------------------------------------------

const enabled = z.boolean().nullish();
const policy = permissionPolicySchema.nullish();
const toggleParams = { enabled, permission_policy: policy };
export const toolDefaultsParamsSchema = z.object(toggleParams);

const toolReference = z.object({ type: z.literal("tool_reference"), name: z.string().min(1) });
const references = z
  .array(toolReference)
  .min(1, 'Empty list of tools; use "all" or "none" instead')
  .max(TOOL_REFERENCES_MAX)
  .refine((tools) => new Set(tools.map((tool) => tool.name)).size === tools.length, "Each tool may be named once");
const all = z.object({ type: z.literal("all") });
const none = z.object({ type: z.literal("none") });
const userInputSource = z.discriminatedUnion("type", [all, none]);
const toolResultSource = z.discriminatedUnion("type", [
  all,
  none,
  z.object({ type: z.literal("only"), tools: references }),
  z.object({ type: z.literal("except"), tools: references }),
]);
const shorthand = z.enum(["all", "none"]);
export const urlSourcesParamsSchema = z.object({
  user_input: z.union([shorthand, userInputSource]).nullish(),
  server_tool_results: z.union([shorthand, toolResultSource]).nullish(),
  client_tool_results: z.union([shorthand, toolResultSource]).nullish(),
});

const plainToolParams = <N extends BuiltinTool>(name: N) =>
  z.object({ name: z.literal(name), type: z.literal(name).optional(), ...toggleParams });

interface DomainLists {
  allowed_domains?: readonly string[] | null | undefined;
  blocked_domains?: readonly string[] | null | undefined;
}
const domainParams = { allowed_domains: z.array(z.string()).nullish(), blocked_domains: z.array(z.string()).nullish() };

/** The official messages name an entry as `allowed_domains.0`, unlike every other path: kept, because clients match it. */
function checkDomains(lists: DomainLists, context: z.RefinementCtx, options: { path: boolean }): void {
  const issue = (path: string[], message: string): void => context.addIssue({ code: "custom", path, message });
  if (lists.allowed_domains && lists.blocked_domains) issue([], "Only one of allowed_domains or blocked_domains may be set.");
  for (const field of ["allowed_domains", "blocked_domains"] as const) {
    const domains = lists[field];
    if (!domains) continue;
    if (domains.length === 0) issue([field], "Empty list of domains is ambiguous. Provide at least one domain or null.");
    if (domains.length > DOMAINS_MAX) issue([field], `At most ${DOMAINS_MAX} domains are allowed.`);
    const seen = new Set<string>();
    for (const [index, domain] of domains.slice(0, DOMAINS_MAX).entries()) {
      const problem = seen.has(domain.toLowerCase())
        ? "Each domain may be listed once"
        : describeWebDomainProblem(domain, options);
      if (problem !== null) issue([`${field}.${index}`], problem);
      seen.add(domain.toLowerCase());
    }
  }
}

const webFetchParams = z
  .object({
    ...plainToolParams("web_fetch").shape,
    ...domainParams,
    max_content_tokens: z.int().min(1).nullish(),
    url_sources: urlSourcesParamsSchema.nullish(),
  })
  .superRefine((config, context) => checkDomains(config, context, { path: false }));
const webSearchParams = z
  .object({ ...plainToolParams("web_search").shape, ...domainParams, user_location: userLocationSchema.nullish() })
  .superRefine((config, context) => checkDomains(config, context, { path: true }));

export const toolConfigParamsSchema = z.discriminatedUnion("name", [
  plainToolParams("bash"),
  plainToolParams("edit"),
  plainToolParams("read"),
  plainToolParams("write"),
  plainToolParams("glob"),
  plainToolParams("grep"),
  webFetchParams,
  webSearchParams,
]);

const uniqueNames = (configs: readonly { name: string }[]): boolean =>
  new Set(configs.map((config) => config.name)).size === configs.length;
const ONE_CONFIG = "Each tool may be configured once";

export const agentToolsetParamsSchema = z.object({
  type: z.literal(AGENT_TOOLSET),
  default_config: toolDefaultsParamsSchema.nullish(),
  configs: z.array(toolConfigParamsSchema).refine(uniqueNames, ONE_CONFIG).nullish(),
});

const serverName = z.string().min(1).max(SERVER_NAME_CHARS_MAX);
const mcpToolConfigParams = z.object({ name: z.string().min(1).max(MCP_TOOL_NAME_CHARS_MAX), ...toggleParams });
export const mcpToolsetParamsSchema = z.object({
  type: z.literal("mcp_toolset"),
  mcp_server_name: serverName,
  default_config: toolDefaultsParamsSchema.nullish(),
  configs: z.array(mcpToolConfigParams).refine(uniqueNames, ONE_CONFIG).nullish(),
});

function hasReference(schema: unknown): boolean {
  if (typeof schema !== "object" || schema === null) return false;
  if (Array.isArray(schema)) return schema.some(hasReference);
  return Object.entries(schema).some(([key, value]) => key === "$ref" || hasReference(value));
}

export const inputSchemaSchema = z.looseObject({
  type: z.literal("object"),
  properties: z.record(z.string(), z.unknown()).nullish(),
  required: z.array(z.string()).nullish(),
});
const inputSchemaParams = inputSchemaSchema.superRefine((schema, context) => {
  for (const key of ["oneOf", "anyOf", "allOf"]) {
    if (key in schema) context.addIssue({ code: "custom", message: `"${key}" is not supported at the top level` });
  }
  for (const name of Object.keys(schema.properties ?? {})) {
    if (PROPERTY_NAME.test(name)) continue;
    context.addIssue({
      code: "custom",
      path: ["properties"],
      message: `"${name.slice(0, 64)}": property names are 1 to 64 letters, digits, "_", "." or "-"`,
    });
  }
  if (hasReference(schema)) context.addIssue({ code: "custom", message: '"$ref" is not supported' });
});

const customToolName = z
  .string()
  .regex(CUSTOM_TOOL_NAME, 'must be 1 to 128 letters, digits, "_" or "-"')
  .refine((name) => !(BUILTIN_TOOLS as readonly string[]).includes(name), "is the name of a built-in tool")
  .refine((name) => !name.startsWith("mcp__"), 'must not start with "mcp__"');
export const customToolParamsSchema = z.object({
  type: z.literal("custom"),
  name: customToolName,
  description: z.string().min(1),
  input_schema: inputSchemaParams,
});

const toolParamsSchema = z.discriminatedUnion("type", [agentToolsetParamsSchema, mcpToolsetParamsSchema, customToolParamsSchema]);
export type ToolParams = z.infer<typeof toolParamsSchema>;
export type ToolConfigParams = z.infer<typeof toolConfigParamsSchema>;

/** What may stand in a list once: the built-in toolset, a server's toolset, a custom tool's name. */
const toolKey = (tool: ToolParams): string =>
  tool.type === "custom"
    ? `custom tool "${tool.name}"`
    : tool.type === "mcp_toolset"
      ? `mcp_toolset "${tool.mcp_server_name}"`
      : tool.type;

export const toolsParamsSchema = z
  .array(toolParamsSchema)
  .max(TOOLS_MAX)
  .superRefine((tools, context) => {
    const seen = new Set<string>();
    for (const [index, tool] of tools.entries()) {
      const key = toolKey(tool);
      if (seen.has(key)) context.addIssue({ code: "custom", path: [index], message: `${key} is given more than once` });
      seen.add(key);
    }
  });

// --- what responses show: everything resolved ----------------------------------------------------------------------

const resolvedToggle = { enabled: z.boolean(), permission_policy: permissionPolicySchema };
export const toolDefaultsSchema = z.object(resolvedToggle);
const plainTool = <N extends BuiltinTool>(name: N) =>
  z.object({ name: z.literal(name), type: z.literal(name), ...resolvedToggle });
const domainLists = { allowed_domains: z.array(z.string()).optional(), blocked_domains: z.array(z.string()).optional() };
export const urlSourcesSchema = z.object({
  user_input: userInputSource.nullable(),
  server_tool_results: toolResultSource.nullable(),
  client_tool_results: toolResultSource.nullable(),
});
export const toolConfigSchema = z.discriminatedUnion("name", [
  plainTool("bash"),
  plainTool("edit"),
  plainTool("read"),
  plainTool("write"),
  plainTool("glob"),
  plainTool("grep"),
  z.object({
    ...plainTool("web_fetch").shape,
    ...domainLists,
    max_content_tokens: z.int().nullish(),
    url_sources: urlSourcesSchema.nullable(),
  }),
  z.object({ ...plainTool("web_search").shape, ...domainLists, user_location: userLocationSchema.nullish() }),
]);

export const agentToolsetSchema = z.object({
  type: z.literal(AGENT_TOOLSET),
  default_config: toolDefaultsSchema,
  configs: z.array(toolConfigSchema),
});
export const mcpToolsetSchema = z.object({
  type: z.literal("mcp_toolset"),
  mcp_server_name: z.string(),
  default_config: toolDefaultsSchema,
  configs: z.array(z.object({ name: z.string(), ...resolvedToggle })),
});
export const customToolSchema = z.object({
  type: z.literal("custom"),
  name: z.string(),
  description: z.string(),
  input_schema: inputSchemaSchema,
});
export const toolSchema = z.discriminatedUnion("type", [agentToolsetSchema, mcpToolsetSchema, customToolSchema]);

export type ToolDefaults = z.infer<typeof toolDefaultsSchema>;
export type ToolConfig = z.infer<typeof toolConfigSchema>;
export type AgentToolset = z.infer<typeof agentToolsetSchema>;
export type McpToolset = z.infer<typeof mcpToolsetSchema>;
export type CustomTool = z.infer<typeof customToolSchema>;
export type Tool = z.infer<typeof toolSchema>;
export type UrlSources = z.infer<typeof urlSourcesSchema>;
export type UrlSourcesParams = z.infer<typeof urlSourcesParamsSchema>;
