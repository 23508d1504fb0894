import type Anthropic from "@anthropic-ai/sdk";
import { agentCreateParamsSchema, findProblems } from "@sandbox0/protocol";
import { describeDifference, findDifferences, findMetadataDifferences } from "./differences.ts";
import { type Document, refuse } from "./documents.ts";
import { digestOf, MARK, type Metadata, metadataPatch, userMetadata } from "./mark.ts";
import { match, type MatchOptions } from "./match.ts";
import type { Plan, PlanItem } from "./plan.ts";

type Agents = Anthropic["beta"]["agents"];
type Agent = Awaited<ReturnType<Agents["retrieve"]>>;
type Params = Parameters<Agents["create"]>[0];

const LIST_LIMIT = 100;

/** A document is the whole agent: what it leaves out is as in a new one. */
const DEFAULTS = {
  description: null,
  system: null,
  tools: [],
  mcp_servers: [],
  skills: [],
  multiagent: null,
  execution_identity: { type: "service_account" },
} as const;

/** @throws UserError when a document is no agent */
export async function planAgents(client: Anthropic, documents: readonly Document[], adopt: boolean): Promise<Plan> {
  const named = documents.map((document) => ({ document, name: String(document.value.name), field: "name" }));
  const problems = documents.flatMap((document) =>
    findProblems(agentCreateParamsSchema, document.value).map((problem) => document.problem(problem)),
  );
  if (problems.length > 0) refuse(problems);
  const stored: (Agent & { metadata: Metadata })[] = [];
  for await (const agent of client.beta.agents.list({ limit: LIST_LIMIT })) stored.push(agent);
  const options: MatchOptions = { kind: "agent", adopt };
  const { pairs, orphans } = match(named, stored, options);
  return {
    items: pairs.map(({ named: { document }, stored: agent }) => planAgent(client, document, agent)),
    removals: orphans.map((agent) => ({
      action: "remove",
      name: `agent ${agent.name}`,
      id: agent.id,
      document: undefined,
      changes: [],
      run: async () => ({ id: (await client.beta.agents.archive(agent.id)).id, note: "archived" }),
    })),
  };
}

function planAgent(client: Anthropic, document: Document, agent: Agent | undefined): PlanItem {
  const { metadata = {}, ...fields } = document.value as Record<string, unknown> & { metadata?: Metadata | null };
  const wanted = { ...DEFAULTS, ...fields, multiagent: withDefaults(fields.multiagent) };
  const own = metadata ?? {};
  const digest = digestOf(document.value);
  const item = { name: `agent ${String(document.value.name)}`, id: agent?.id, document };
  if (agent === undefined) {
    const body = { ...wanted, metadata: { ...own, [MARK]: markOf(digest, 1) } } as unknown as Params;
    const run = async () => describeVersion(await client.beta.agents.create(body));
    return { ...item, action: "create", changes: [], run };
  }
  if (agent.metadata[MARK] === markOf(digest, agent.version))
    return { ...item, action: "unchanged", changes: [], run: async () => ({ id: agent.id }) };
  const differences = [
    ...findDifferences(wanted, agent as unknown as Record<string, unknown>),
    ...findMetadataDifferences(own, userMetadata(agent.metadata)),
  ];
  const body = {
    ...wanted,
    metadata: metadataPatch(agent.metadata, own, markOf(digest, agent.version + 1)),
    // Whoever changes it meanwhile is not overwritten unseen.
    version: agent.version,
  };
  const run = async () => describeVersion(await client.beta.agents.update(agent.id, body as unknown as Params));
  return { ...item, action: "update", changes: explain(differences.map(describeDifference), agent, digest), run };
}

/** With the version it makes: a later one, which is somebody else's, is seen. */
const markOf = (digest: string, version: number): string => `${digest}.${version}`;

const describeVersion = ({ id, version }: Agent) => ({ id, note: `version ${version}` });

function explain(changes: string[], agent: Agent, digest: string): string[] {
  if (changes.length > 0) return changes;
  const [applied] = (agent.metadata[MARK] ?? "").split(".");
  return applied === digest
    ? [`version ${agent.version} is not what was applied: somebody has changed it since`]
    : ["the document says it in another way, or less of it"];
}

/** An update of `multiagent_20261001` keeps what it does not say; `null` is the default. */
function withDefaults(multiagent: unknown): unknown {
  if (typeof multiagent !== "object" || multiagent === null) return multiagent ?? null;
  if (!("type" in multiagent) || multiagent.type !== "multiagent_20261001") return multiagent;
  const spawning = (value: unknown): unknown =>
    typeof value === "object" && value !== null && "type" in value && value.type === "enabled"
      ? { inline_agents: null, predefined_agents: null, ...value }
      : (value ?? null);
  const { advisor, subagents, workflows } = multiagent as Record<string, unknown>;
  return { ...multiagent, advisor: advisor ?? null, subagents: spawning(subagents), workflows: spawning(workflows) };
}
