import type {
  Agent,
  AgentCreateParams,
  AgentToolset,
  AgentUpdateParams,
  BuiltinTool,
  Effort,
  McpServer,
  McpToolset,
  PermissionPolicy,
  Skill,
  SkillParams,
  Speed,
  Tool,
  ToolConfigParams,
  ToolDefaults,
  ToolParams,
} from "@sandbox0/protocol";
import { type MetadataRow, metadataOf, metadataPatch, metadataRows } from "../../resources/metadata.ts";

/** Which harness runs the sessions of an agent (docs/harnesses.md). */
export const HARNESS_KEY = "sandbox0.harness";
const TOOLSET: AgentToolset["type"] = "agent_toolset_20260401";
export const BUILTIN_TOOLS: readonly BuiltinTool[] = ["bash", "read", "write", "edit", "glob", "grep", "web_fetch", "web_search"];

/** What becomes of a tool: not there, or there under a policy. */
export type ToolChoice = "off" | PermissionPolicy["type"];

export interface ServerRow {
  id: number;
  name: string;
  url: string;
  choice: ToolChoice;
  /** Tools that are treated otherwise than the rest of the server's. */
  tools: readonly { id: number; name: string; choice: ToolChoice }[];
}
export interface CustomToolRow {
  id: number;
  name: string;
  description: string;
  /** JSON. */
  schema: string;
}
/** `version` is `null` for the newest one. */
export interface SkillRow {
  type: Skill["type"];
  skillId: string;
  version: string | null;
}

/** What the form of an agent has in its fields. */
export interface AgentForm {
  name: string;
  description: string;
  model: string;
  effort: Effort | "";
  speed: Speed | "";
  system: string;
  builtin: Readonly<Record<BuiltinTool, ToolChoice>>;
  servers: readonly ServerRow[];
  custom: readonly CustomToolRow[];
  skills: readonly SkillRow[];
  /** Empty: the server's default. */
  harness: string;
  metadata: readonly MetadataRow[];
}

/** A part of the form that cannot be sent as it is. */
export class FormProblem extends Error {
  readonly field: string;
  constructor(field: string, message: string) {
    super(message);
    this.field = field;
  }
}

const everyTool = (choice: ToolChoice): Record<BuiltinTool, ToolChoice> =>
  Object.fromEntries(BUILTIN_TOOLS.map((name) => [name, choice])) as Record<BuiltinTool, ToolChoice>;

export function emptyAgentForm(): AgentForm {
  return {
    name: "",
    description: "",
    model: "",
    effort: "",
    speed: "",
    system: "",
    builtin: everyTool("always_allow"),
    servers: [],
    custom: [],
    skills: [],
    harness: "",
    metadata: [],
  };
}

// --- from an agent ---------------------------------------------------------------------------------------------------

export function agentForm(agent: Agent): AgentForm {
  const { model, tools } = agent;
  return {
    name: agent.name,
    description: agent.description ?? "",
    model: model.id,
    effort: model.effort?.type ?? "",
    speed: model.speed ?? "",
    system: agent.system ?? "",
    builtin: builtinChoices(builtinOf(tools)),
    servers: agent.mcp_servers.map((server, id) => serverRow(id, server, tools)),
    custom: tools.flatMap((tool, id) =>
      tool.type === "custom"
        ? [{ id, name: tool.name, description: tool.description, schema: JSON.stringify(tool.input_schema, null, 2) }]
        : [],
    ),
    skills: agent.skills.map((skill) => ({ type: skill.type, skillId: skill.skill_id, version: skill.version })),
    harness: agent.metadata[HARNESS_KEY] ?? "",
    metadata: metadataRows(agent.metadata, [HARNESS_KEY]),
  };
}

const builtinOf = (tools: readonly Tool[]): AgentToolset | undefined => tools.find((tool) => tool.type === TOOLSET);
const toolsetOf = (tools: readonly Tool[], server: string): McpToolset | undefined =>
  tools.find((tool) => tool.type === "mcp_toolset" && tool.mcp_server_name === server) as McpToolset | undefined;

export const choiceOf = ({ enabled, permission_policy: policy }: ToolDefaults): ToolChoice => (enabled ? policy.type : "off");

/** An agent without the toolset has none of its tools. */
function builtinChoices(toolset: AgentToolset | undefined): Record<BuiltinTool, ToolChoice> {
  if (toolset === undefined) return everyTool("off");
  const choices = everyTool(choiceOf(toolset.default_config));
  for (const config of toolset.configs) choices[config.name] = choiceOf(config);
  return choices;
}

function serverRow(id: number, { name, url }: McpServer, tools: readonly Tool[]): ServerRow {
  const toolset = toolsetOf(tools, name);
  if (toolset === undefined) return { id, name, url, choice: "always_ask", tools: [] };
  const single = toolset.configs.map((config, toolId) => ({ id: toolId, name: config.name, choice: choiceOf(config) }));
  return { id, name, url, choice: choiceOf(toolset.default_config), tools: single };
}

// --- to a request ----------------------------------------------------------------------------------------------------

/** @throws FormProblem */
export function agentCreateParams(form: AgentForm): AgentCreateParams {
  const metadata = metadataOf(form.metadata, { [HARNESS_KEY]: form.harness });
  return {
    name: form.name.trim(),
    model: modelOf(form, undefined),
    ...(form.description.trim() !== "" && { description: form.description.trim() }),
    ...(form.system.trim() !== "" && { system: form.system }),
    tools: toolsOf(form, []),
    mcp_servers: serversOf(form),
    skills: skillsOf(form),
    ...(Object.keys(metadata).length > 0 && { metadata }),
  };
}

/**
 * All that the form has, and the version it was read at: who was faster is not overwritten. What the form has no fields for
 * stays.
 * @throws FormProblem
 */
export function agentUpdateParams(form: AgentForm, agent: Agent): AgentUpdateParams {
  return {
    version: agent.version,
    name: form.name.trim(),
    model: modelOf(form, agent),
    description: form.description.trim() || null,
    system: form.system.trim() === "" ? null : form.system,
    tools: toolsOf(form, agent.tools),
    mcp_servers: serversOf(form),
    skills: skillsOf(form),
    metadata: metadataPatch(agent.metadata, metadataOf(form.metadata, { [HARNESS_KEY]: form.harness })),
  };
}

function modelOf(form: AgentForm, agent: Agent | undefined): AgentCreateParams["model"] {
  const id = form.model.trim();
  const geo = agent?.model.id === id ? agent.model.inference_geo : undefined;
  return {
    id,
    ...(form.effort !== "" && { effort: form.effort }),
    ...(form.speed !== "" && { speed: form.speed }),
    ...(geo !== undefined && { inference_geo: geo }),
  };
}

/** As it goes into a request: a tool that is off keeps a policy, for when it is switched on again. */
function toggleOf(choice: ToolChoice): ToolDefaults {
  return choice === "off"
    ? { enabled: false, permission_policy: { type: "always_ask" } }
    : { enabled: true, permission_policy: { type: choice } };
}

function toolsOf(form: AgentForm, stored: readonly Tool[]): ToolParams[] {
  const toolset = toolsetParams(form, builtinOf(stored));
  const servers = form.servers.map(
    (server): ToolParams => ({
      type: "mcp_toolset",
      mcp_server_name: server.name.trim(),
      default_config: toggleOf(server.choice),
      configs: server.tools.map(({ name, choice }) => ({ name: name.trim(), ...toggleOf(choice) })),
    }),
  );
  return [...(toolset ? [toolset] : []), ...servers, ...form.custom.map(customTool)];
}

/** Only what differs from "always allow" is named; domains and the like of an agent that is edited are kept. */
function toolsetParams(form: AgentForm, stored: AgentToolset | undefined): ToolParams | null {
  if (BUILTIN_TOOLS.every((name) => form.builtin[name] === "off")) return null;
  const configs = BUILTIN_TOOLS.flatMap((name): ToolConfigParams[] => {
    const kept = stored?.configs.find((config) => config.name === name);
    const choice = form.builtin[name];
    if (choice === "always_allow" && kept === undefined) return [];
    return [{ ...kept, name, ...toggleOf(choice) } as ToolConfigParams];
  });
  return { type: TOOLSET, default_config: toggleOf("always_allow"), ...(configs.length > 0 && { configs }) };
}

function customTool({ name, description, schema }: CustomToolRow): ToolParams {
  const problem = (message: string) => new FormProblem("tools", `${name || "Custom tool"}: ${message}`);
  let input: unknown;
  try {
    input = JSON.parse(schema);
  } catch (error) {
    throw problem(`the input schema is not JSON (${error instanceof Error ? error.message : String(error)})`);
  }
  if (typeof input !== "object" || input === null || Array.isArray(input))
    throw problem("the input schema must be a JSON object");
  return { type: "custom", name: name.trim(), description, input_schema: input as { type: "object" } };
}

const serversOf = (form: AgentForm): McpServer[] =>
  form.servers.map(({ name, url }) => ({ type: "url", name: name.trim(), url: url.trim() }));

const skillsOf = (form: AgentForm): SkillParams[] =>
  form.skills.map(({ type, skillId, version }) => ({ type, skill_id: skillId, ...(version !== null && { version }) }));
