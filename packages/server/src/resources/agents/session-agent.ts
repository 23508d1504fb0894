import {
  type Agent,
  type AgentReference,
  type AgentWithOverridesParams,
  type McpServer,
  type Metadata,
  type Multiagent,
  type SessionAgent,
  type SessionAgentParams,
  type SessionMultiagent,
  type SessionThreadAgent,
  type Spawning,
  type ToolParams,
  invalidRequest,
} from "@sandbox0/protocol";
import { readAgent } from "../../store/agents.ts";
import type { Queryable } from "../../store/query.ts";
import type { ModelCatalogue } from "../models/model-catalogue.ts";
import { agentOf } from "./agent-record.ts";
import { resolveSkills } from "../skills/resolve-skills.ts";
import { unknownAgent } from "./agents.ts";
import { listsOf } from "./resolve-multiagent.ts";
import { checkTools, resolveTools } from "./resolve-tools.ts";

/** The snapshot a session keeps, and the metadata of the agent it was made from (which may name the harness). */
export interface ResolvedSessionAgent {
  agent: SessionAgent;
  metadata: Metadata;
}

/**
 * Resolves `agent` of a session's creation: the agent in the version asked for, with the overrides of this session
 * (semantics §4.1), and every roster agent in full.
 * @throws ApiError not_found_error, or invalid_request_error (archived, `agent_model_required`, what does not fit together)
 */
export async function resolveSessionAgent(
  deps: { db: Queryable; models: ModelCatalogue },
  workspaceId: string,
  params: SessionAgentParams,
): Promise<ResolvedSessionAgent> {
  const { id, version } = typeof params === "string" ? { id: params, version: undefined } : params;
  const base = await readBase(deps.db, workspaceId, id, version ?? undefined);
  const own =
    typeof params === "object" && params.type === "agent_with_overrides"
      ? await override(deps, workspaceId, threadAgent(base), params)
      : threadAgent(base);
  const multiagent = base.multiagent && (await expandMultiagent(deps.db, workspaceId, base.multiagent, own));
  return { agent: { ...own, multiagent }, metadata: base.metadata };
}

async function readBase(db: Queryable, workspaceId: string, id: string, version: number | undefined): Promise<Agent> {
  const record = await readAgent(db, workspaceId, id, version);
  if (!record) {
    if (version === undefined || !(await readAgent(db, workspaceId, id))) throw unknownAgent(id);
    throw invalidRequest(`agent.version: agent \`${id}\` has no version ${version}`);
  }
  if (record.archivedAt !== null) throw invalidRequest(`agent: agent \`${id}\` is archived; it cannot start new sessions`);
  return agentOf(record);
}

function threadAgent(agent: Agent): SessionThreadAgent {
  const { name, description, system, model, tools, mcp_servers, skills, execution_identity } = agent;
  return {
    type: "agent",
    id: agent.id,
    version: agent.version,
    name,
    description,
    system,
    model,
    tools,
    mcp_servers,
    skills,
    execution_identity,
  };
}

async function override(
  { db, models }: { db: Queryable; models: ModelCatalogue },
  workspaceId: string,
  base: SessionThreadAgent,
  params: AgentWithOverridesParams,
): Promise<SessionThreadAgent> {
  if (params.model === null) {
    const code = "agent_model_required";
    throw invalidRequest(`agent.model: a model cannot be cleared (${code})`, { error_code: code, reason: code });
  }
  const agent: SessionThreadAgent = {
    ...base,
    // A model override is a whole model: its effort, when left out, is the default of that model, not the base agent's.
    model: params.model === undefined ? base.model : models.resolve(params.model, "agent.model"),
    system: params.system === undefined ? base.system : params.system || null,
    tools: params.tools === undefined ? base.tools : resolveTools(params.tools ?? []),
    mcp_servers: params.mcp_servers === undefined ? base.mcp_servers : (params.mcp_servers ?? []),
    skills: params.skills === undefined ? base.skills : await resolveSkills(db, workspaceId, params.skills ?? []),
  };
  if (agent.tools.length === 0 && agent.skills.length > 0 && base.tools.length > 0) {
    throw invalidRequest("agent.tools: tools cannot be cleared while the agent has skills");
  }
  checkTools(agent.tools, agent.mcp_servers, "agent.");
  return agent;
}

/** `self` is the agent of this session, overrides included; the others are as they were pinned. */
async function expandMultiagent(
  db: Queryable,
  workspaceId: string,
  multiagent: Multiagent,
  own: SessionThreadAgent,
): Promise<SessionMultiagent> {
  const known = new Map<string, SessionThreadAgent>([[own.id, own]]);
  await Promise.all(
    listsOf(multiagent)
      .flat()
      .filter((reference) => reference.id !== own.id)
      .map(async (reference) => {
        const record = await readAgent(db, workspaceId, reference.id, reference.version);
        if (!record) throw new Error(`roster agent ${reference.id} version ${reference.version} is gone`);
        known.set(keyOf(reference), threadAgent(agentOf(record)));
      }),
  );
  const expand = (reference: AgentReference): SessionThreadAgent => {
    const agent = known.get(reference.id === own.id ? own.id : keyOf(reference));
    if (!agent) throw new Error(`roster agent ${reference.id} was not read`);
    return agent;
  };
  if (multiagent.type === "coordinator") {
    return { type: "coordinator", agents: multiagent.agents.map((entry) => (entry.type === "agent" ? expand(entry) : entry)) };
  }
  const part = (spawning: Spawning) =>
    spawning.type === "enabled" ? { ...spawning, predefined_agents: spawning.predefined_agents.map(expand) } : spawning;
  return { ...multiagent, subagents: part(multiagent.subagents), workflows: part(multiagent.workflows) };
}

const keyOf = (reference: AgentReference): string => `${reference.id}@${reference.version}`;

/**
 * `agent.tools` and `agent.mcp_servers` of a session update: each replaces the session's own whole list, the agent
 * resource stays as it is (semantics §4.3). `null` clears.
 * @throws ApiError when the result does not fit together
 */
export function updateSessionAgent(
  agent: SessionAgent,
  change: { tools?: readonly ToolParams[] | null | undefined; mcp_servers?: readonly McpServer[] | null | undefined },
): SessionAgent {
  const updated: SessionAgent = {
    ...agent,
    tools: change.tools === undefined ? agent.tools : resolveTools(change.tools ?? []),
    mcp_servers: change.mcp_servers === undefined ? agent.mcp_servers : [...(change.mcp_servers ?? [])],
  };
  checkTools(updated.tools, updated.mcp_servers, "agent.");
  return updated;
}
