import {
  type Agent,
  type AgentReference,
  type Multiagent,
  type Multiagent20261001,
  type Multiagent20261001Params,
  type MultiagentParams,
  type PredefinedAgentParams,
  type RosterEntryParams,
  type Spawning,
  type SpawningParams,
  invalidRequest,
} from "@sandbox0/protocol";

/** What resolving a roster needs to know. */
export interface RosterContext {
  self: { id: string; version: number; inferenceGeo: string | undefined };
  /** The agent of the workspace, in this version or its newest; `null` when there is none. */
  find(id: string, version: number | undefined): Promise<Agent | null>;
}

const FIELD = "multiagent";
const ENABLED: Extract<Spawning, { type: "enabled" }> = {
  type: "enabled",
  inline_agents: { type: "enabled" },
  predefined_agents: [],
};

/**
 * Resolves what a client sent into concrete versions (contract §3.3, §3.4). `stored` is the agent's roster before an
 * update: two `multiagent_20261001` merge level by level, anything else is replaced.
 * @throws ApiError that names the entry
 */
export async function resolveMultiagent(
  params: MultiagentParams,
  stored: Multiagent | null,
  context: RosterContext,
): Promise<Multiagent> {
  if (params.type === "multiagent_20261001") {
    return resolve20261001(params, stored?.type === "multiagent_20261001" ? stored : null, context);
  }
  const advisors = params.agents.filter((entry) => typeof entry === "object" && entry.type === "advisor");
  if (advisors.length > 1) throw invalidRequest(`${FIELD}.agents: at most one advisor is allowed`);
  const named = params.agents.filter(
    (entry): entry is PredefinedAgentParams => typeof entry === "string" || entry.type !== "advisor",
  );
  const references = await resolveReferences(named, `${FIELD}.agents`, context, (entry) => params.agents.indexOf(entry));
  // The advisor is echoed last (semantics §16).
  return { type: "coordinator", agents: [...references, ...advisors] };
}

async function resolve20261001(
  params: Multiagent20261001Params,
  stored: Multiagent20261001 | null,
  context: RosterContext,
): Promise<Multiagent20261001> {
  const disabled = { type: "disabled" as const };
  const advisor = params.advisor === undefined ? (stored?.advisor ?? disabled) : (params.advisor ?? disabled);
  const [subagents, workflows] = await Promise.all([
    resolveSpawning(params.subagents, stored?.subagents, `${FIELD}.subagents`, context),
    resolveSpawning(params.workflows, stored?.workflows, `${FIELD}.workflows`, context),
  ]);
  return { type: "multiagent_20261001", advisor, subagents, workflows };
}

/** Left out keeps what is stored, `null` takes the default (enabled), another type replaces. */
async function resolveSpawning(
  params: SpawningParams | null | undefined,
  stored: Spawning | undefined,
  field: string,
  context: RosterContext,
): Promise<Spawning> {
  if (params === undefined) return stored ?? ENABLED;
  if (params === null) return ENABLED;
  if (params.type === "disabled") return params;
  const base = stored?.type === "enabled" ? stored : ENABLED;
  const inline = params.inline_agents === undefined ? base.inline_agents : (params.inline_agents ?? ENABLED.inline_agents);
  const list = params.predefined_agents;
  const predefined =
    list === undefined ? base.predefined_agents : await resolveReferences(list ?? [], `${field}.predefined_agents`, context);
  if (inline.type === "disabled" && predefined.length === 0) {
    throw invalidRequest(`${field}.predefined_agents: must name at least one agent when inline_agents is disabled`);
  }
  return { type: "enabled", inline_agents: inline, predefined_agents: predefined };
}

async function resolveReferences(
  entries: readonly PredefinedAgentParams[],
  field: string,
  context: RosterContext,
  placeOf: (entry: RosterEntryParams) => number = (entry) => entries.indexOf(entry as PredefinedAgentParams),
): Promise<AgentReference[]> {
  const geos = new Set<string | undefined>([context.self.inferenceGeo]);
  const references = await Promise.all(
    entries.map(async (entry) => {
      const { reference, inferenceGeo } = await resolveReference(entry, `${field}[${placeOf(entry)}]`, context);
      geos.add(inferenceGeo);
      return reference;
    }),
  );
  const ids = new Set<string>();
  for (const reference of references) {
    if (ids.has(reference.id))
      throw invalidRequest(`${field}: each agent may be listed once; \`${reference.id}\` is listed more often`);
    ids.add(reference.id);
  }
  if (geos.size > 1)
    throw invalidRequest(`${field}: inference_geo must be the same, or unset, for this agent and all agents in the list`);
  return references;
}

async function resolveReference(
  entry: PredefinedAgentParams,
  field: string,
  context: RosterContext,
): Promise<{ reference: AgentReference; inferenceGeo: string | undefined }> {
  const { self } = context;
  if (typeof entry === "object" && entry.type === "self") {
    return { reference: { type: "agent", id: self.id, version: self.version }, inferenceGeo: self.inferenceGeo };
  }
  const { id, version } = typeof entry === "string" ? { id: entry, version: undefined } : entry;
  const agent = await context.find(id, version);
  if (!agent) throw invalidRequest(`${field}: agent \`${id}\`${version === undefined ? "" : ` version ${version}`} not found`);
  if (agent.archived_at !== null) throw invalidRequest(`${field}: agent \`${id}\` is archived`);
  // Depth is one. An agent that names itself by id would be such an agent, too: that is what `self` is for.
  if (agent.multiagent !== null || id === self.id)
    throw invalidRequest(`${field}: agent \`${id}\` has \`multiagent\` set itself`);
  return { reference: { type: "agent", id, version: agent.version }, inferenceGeo: agent.model.inference_geo };
}

/** Every list of references in a roster. */
export function listsOf(multiagent: Multiagent): AgentReference[][] {
  if (multiagent.type === "coordinator") return [multiagent.agents.filter((entry) => entry.type === "agent")];
  return [multiagent.subagents, multiagent.workflows].flatMap((part) =>
    part.type === "enabled" ? [part.predefined_agents] : [],
  );
}

/** `self` always means the version that holds it: a new version points at itself. */
export function repinSelf(multiagent: Multiagent | null, self: { id: string; version: number }): Multiagent | null {
  if (multiagent === null) return null;
  const repin = <T extends { type: string }>(entry: T): T =>
    "id" in entry && entry.id === self.id ? { ...entry, version: self.version } : entry;
  if (multiagent.type === "coordinator") return { ...multiagent, agents: multiagent.agents.map(repin) };
  const part = (spawning: Spawning): Spawning =>
    spawning.type === "enabled" ? { ...spawning, predefined_agents: spawning.predefined_agents.map(repin) } : spawning;
  return { ...multiagent, subagents: part(multiagent.subagents), workflows: part(multiagent.workflows) };
}
