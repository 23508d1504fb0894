import type { ToolEvaluation } from "@sandbox0/protocol";

/** The resolved tools of an agent, as its snapshot has them (contract §3.2). */
export interface ToolPolicy {
  enabled: boolean;
  permission_policy: { type: "always_allow" | "always_ask" | "auto" };
}
export type AgentTool =
  | { type: "agent_toolset_20260401"; default_config: ToolPolicy; configs: readonly (ToolPolicy & { name: string })[] }
  | {
      type: "mcp_toolset";
      mcp_server_name: string;
      default_config: ToolPolicy;
      configs: readonly (ToolPolicy & { name: string })[];
      /** The server's tools in this turn: the name models call each by, and its own. Absent: it is not connected. */
      offered?: ReadonlyMap<string, string>;
    }
  | { type: "custom"; name: string; description: string; input_schema: Record<string, unknown> };

/** How a call of the model is met. `unknown`: the agent has no such tool, or it is switched off. */
export type CallRuling =
  | { kind: "custom" }
  | { kind: "builtin"; policy: ToolPolicy["permission_policy"]["type"] }
  | { kind: "mcp"; target: McpTarget; policy: ToolPolicy["permission_policy"]["type"] }
  | { kind: "unknown"; mcp?: McpTarget };

/** A tool of an MCP server, by their own names. */
export interface McpTarget {
  server: string;
  tool: string;
  connected: boolean;
}

/** What the judge of `auto` says of one call (semantics §8). `indeterminate`: it came to no judgement. */
export type Judgement =
  | { type: "allow" }
  | { type: "ask"; reason_code: "indeterminate" }
  | { type: "deny"; reason_code: "high_risk" };

export const INDETERMINATE: Judgement = { type: "ask", reason_code: "indeterminate" };

/** The sandbox-routed tools of `agent_toolset_20260401`; the two web tools run in the server (design §5). */
export const SANDBOX_TOOLS = ["bash", "read", "write", "edit", "glob", "grep"] as const;
export const WEB_TOOLS = ["web_fetch", "web_search"] as const;
const BUILTINS: readonly string[] = [...SANDBOX_TOOLS, ...WEB_TOOLS];

/** Which built-in tools the model is told of. */
export function enabledBuiltins(tools: readonly AgentTool[]): string[] {
  return BUILTINS.filter((name) => policyOf(tools, name)?.enabled);
}

function policyOf(tools: readonly AgentTool[], name: string): ToolPolicy | undefined {
  const toolset = tools.find((tool) => tool.type === "agent_toolset_20260401");
  if (!toolset) return undefined;
  return toolset.configs.find((config) => config.name === name) ?? toolset.default_config;
}

/** Policy is the server's, never the harness's (design §1). Custom tools have none (contract §3.2). */
export function rule(tools: readonly AgentTool[], name: string): CallRuling {
  if (tools.some((tool) => tool.type === "custom" && tool.name === name)) return { kind: "custom" };
  if (!BUILTINS.includes(name)) return ruleMcp(tools, name);
  const policy = policyOf(tools, name);
  return policy?.enabled ? { kind: "builtin", policy: policy.permission_policy.type } : { kind: "unknown" };
}

/** Which policy holds for a tool of an MCP server, by the tool's own name. */
export function mcpPolicy(toolset: Extract<AgentTool, { type: "mcp_toolset" }>, tool: string): ToolPolicy {
  return toolset.configs.find((config) => config.name === tool) ?? toolset.default_config;
}

function ruleMcp(tools: readonly AgentTool[], name: string): CallRuling {
  const toolsets = tools.filter((tool) => tool.type === "mcp_toolset");
  for (const toolset of toolsets) {
    const tool = toolset.offered?.get(name);
    if (tool === undefined) continue;
    const target = { server: toolset.mcp_server_name, tool, connected: true };
    const { enabled, permission_policy } = mcpPolicy(toolset, tool);
    return enabled ? { kind: "mcp", target, policy: permission_policy.type } : { kind: "unknown", mcp: target };
  }
  // A tool that the model remembers: of a server that is not connected now, or that has it no more.
  for (const { mcp_server_name: server, offered } of toolsets) {
    const prefix = `mcp__${server}__`;
    if (name.startsWith(prefix) && name.length > prefix.length)
      return { kind: "unknown", mcp: { server, tool: name.slice(prefix.length), connected: offered !== undefined } };
  }
  return { kind: "unknown" };
}

/** What a policy makes of a call, as its event shows it. Without a judgement `auto` asks (semantics §8). */
export function evaluate(
  policy: ToolPolicy["permission_policy"]["type"],
  judgement: Judgement = INDETERMINATE,
): { permission: "allow" | "ask" | "deny"; evaluation: ToolEvaluation } {
  switch (policy) {
    case "always_allow":
      return { permission: "allow", evaluation: { type: "always_allow" } };
    case "always_ask":
      return { permission: "ask", evaluation: { type: "always_ask" } };
    case "auto":
      return { permission: judgement.type, evaluation: { type: "auto", evaluated_permission: judgement } };
  }
}
