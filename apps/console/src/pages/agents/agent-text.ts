import type { Agent, ExecutionIdentity, Multiagent, Tool, ToolDefaults } from "@sandbox0/protocol";
import { choiceOf, type ToolChoice } from "./agent-form.ts";

/** What a version of an agent says, part by part, as text that people read and compare. */
export interface AgentPart {
  name: string;
  text: string;
}

export const CHOICE_LABELS: Readonly<Record<ToolChoice, string>> = {
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
    { name: "Tools", text: agent.tools.flatMap(toolLines).join("\n") },
    { name: "MCP servers", text: agent.mcp_servers.map(({ name, url }) => `${name}: ${url}`).join("\n") },
    { name: "Skills", text: agent.skills.map((skill) => `${skill.skill_id}, version ${skill.version}`).join("\n") },
    { name: "Other agents", text: multiagentText(agent.multiagent) },
    { name: "Metadata", text: metadataText(agent.metadata) },
    { name: "Execution identity", text: identityText(agent.execution_identity) },
  ];
}

/** The names of the parts in which two versions differ. */
export function changedParts(before: Agent, after: Agent): string[] {
  const old = new Map(agentParts(before).map(({ name, text }) => [name, text]));
  return agentParts(after)
    .filter(({ name, text }) => old.get(name) !== text)
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

function toolLines(tool: Tool): string[] {
  if (tool.type === "custom") {
    const schema = JSON.stringify(tool.input_schema, null, 2).split("\n");
    return [`${tool.name} (custom): ${tool.description}`, ...schema.map((line) => `  ${line}`)];
  }
  const where = tool.type === "mcp_toolset" ? `${tool.mcp_server_name} (MCP)` : "Built-in tools";
  const configs: readonly (ToolDefaults & { name: string })[] = tool.configs;
  return [
    `${where}: ${CHOICE_LABELS[choiceOf(tool.default_config)]}`,
    ...configs.map((config) => `  ${config.name}: ${[CHOICE_LABELS[choiceOf(config)], ...extras(config)].join(", ")}`),
  ];
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
