import type { Agent, ExecutionIdentity, McpServer, Multiagent, Tool, ToolDefaults } from "@sandbox0/protocol";
import { choiceOf, type ToolChoice } from "./agent-form.ts";

/** What a version of an agent says, part by part, as text that people read and compare. */
export interface AgentPart {
  name: string;
  text: string;
}

const BUILTIN_PART = "Built-in tools";
const CHOICE_LABELS: Readonly<Record<ToolChoice, string>> = {
  always_allow: "always allowed",
  always_ask: "asks first",
  auto: "judged each time",
  off: "off",
};

/** In the order in which people look at them. An empty text: it has none. */
export function agentParts(agent: Agent): AgentPart[] {
  return [
    { name: "Name", text: agent.name },
    { name: "Description", text: agent.description ?? "" },
    { name: "Model", text: modelText(agent.model) },
    { name: "System prompt", text: agent.system ?? "" },
    ...agent.tools.map((tool) => toolPart(tool, agent.mcp_servers)),
    { name: "Skills", text: agent.skills.map((skill) => `${skill.skill_id}, version ${skill.version}`).join("\n") },
    { name: "Other agents", text: multiagentText(agent.multiagent) },
    { name: "Metadata", text: metadataText(agent.metadata) },
    { name: "Execution identity", text: identityText(agent.execution_identity) },
  ];
}

/** One part in two versions; a text is empty where the version lacks it. */
export interface ComparedPart {
  name: string;
  before: string;
  after: string;
}

/** All parts of both: those of the later version in its order, then those that it no longer has. */
export function compareAgents(before: Agent, after: Agent): ComparedPart[] {
  const old = new Map(agentParts(before).map(({ name, text }) => [name, text]));
  const now = agentParts(after).map(({ name, text }) => ({ name, before: old.get(name) ?? "", after: text }));
  const names = new Set(now.map(({ name }) => name));
  const gone = [...old].filter(([name]) => !names.has(name)).map(([name, text]) => ({ name, before: text, after: "" }));
  return [...now, ...gone];
}

/** The names of the parts in which two versions differ. */
export function changedParts(before: Agent, after: Agent): string[] {
  return compareAgents(before, after)
    .filter((part) => part.before !== part.after)
    .map(({ name }) => name);
}

export function modelText({ id, effort, speed, inference_geo: geo }: Agent["model"]): string {
  const more = [
    effort && `${effort.type} effort`,
    speed && speed !== "standard" && `${speed} speed`,
    geo && `served in ${geo}`,
  ].filter(Boolean);
  return [id, ...more].join(", ");
}

/** A part a toolset and a part a custom tool: what changed in one of them is not lost among the others. */
function toolPart(tool: Tool, servers: readonly McpServer[]): AgentPart {
  if (tool.type === "custom") {
    const text = [tool.description, JSON.stringify(tool.input_schema, null, 2)].join("\n");
    return { name: `Custom tool ${tool.name}`, text };
  }
  const configs: readonly (ToolDefaults & { name: string })[] = tool.configs;
  const policies = [
    `All tools: ${CHOICE_LABELS[choiceOf(tool.default_config)]}`,
    ...configs.map((config) => `${config.name}: ${[CHOICE_LABELS[choiceOf(config)], ...extras(config)].join(", ")}`),
  ];
  if (tool.type !== "mcp_toolset") return { name: BUILTIN_PART, text: policies.join("\n") };
  const url = servers.find(({ name }) => name === tool.mcp_server_name)?.url;
  return { name: `MCP server ${tool.mcp_server_name}`, text: [...(url ? [url] : []), ...policies].join("\n") };
}

/** What web tools are told besides. */
function extras(config: ToolDefaults & { name: string }): string[] {
  const known = new Set(["name", "type", "enabled", "permission_policy"]);
  return Object.entries(config)
    .filter(([key, value]) => !known.has(key) && value !== null && value !== undefined)
    .map(([key, value]) => `${key.replaceAll("_", " ")} ${JSON.stringify(value)}`);
}

const multiagentText = (multiagent: Multiagent | null): string =>
  multiagent === null ? "" : JSON.stringify(multiagent, null, 2);

function metadataText(metadata: Readonly<Record<string, string>>): string {
  const keys = Object.keys(metadata).sort();
  return keys.map((key) => `${key}: ${metadata[key]}`).join("\n");
}

function identityText(identity: ExecutionIdentity): string {
  return identity.type === "aws_role" ? identity.role_arn : "service account";
}
