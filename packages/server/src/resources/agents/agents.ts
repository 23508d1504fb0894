import { isDeepStrictEqual } from "node:util";
import {
  type AgentConfig,
  type AgentCreateParams,
  type AgentListQuery,
  type AgentUpdateParams,
  ApiError,
  type ExecutionIdentity,
  PAGE_SIZE_DEFAULT,
  type Page,
  type PageQuery,
  createId,
  decodeCursor,
  encodeCursor,
  invalidRequest,
  mergeMetadata,
  notFound,
} from "@sandbox0/protocol";
import {
  type AgentRecord,
  archiveAgent,
  insertAgent,
  insertAgentVersion,
  listAgentVersions,
  listAgents,
  lockAgent,
  readAgent,
} from "../../store/agents.ts";
import type { Database } from "../../store/pool.ts";
import type { Queryable } from "../../store/query.ts";
import { newestFirst } from "../created-at-cursor.ts";
import { pageOfRecords } from "../list-page.ts";
import type { ModelCatalogue } from "../models/model-catalogue.ts";
import { agentJson, agentOf, configOf } from "./agent-record.ts";
import { resolveSkills } from "../skills/resolve-skills.ts";
import { repinSelf, resolveMultiagent } from "./resolve-multiagent.ts";
import { checkTools, resolveTools } from "./resolve-tools.ts";

/** Agents and their versions (contract §3, semantics §2). Answers are JSON texts: write them as they are. */
export interface Agents {
  create(workspaceId: string, params: AgentCreateParams): Promise<string>;
  retrieve(workspaceId: string, id: string, version?: number): Promise<string>;
  /** A new version if anything changes, else the agent as it is. */
  update(workspaceId: string, id: string, params: AgentUpdateParams): Promise<string>;
  list(workspaceId: string, query: AgentListQuery): Promise<Page<string>>;
  listVersions(workspaceId: string, id: string, query: PageQuery): Promise<Page<string>>;
  /** Irreversible; a second time changes nothing. */
  archive(workspaceId: string, id: string): Promise<string>;
}

export interface AgentsDeps {
  db: Database;
  models: ModelCatalogue;
  now?: () => Date;
}

const AGENTS = "agents";
const VERSIONS = "agent_versions";
const SERVICE_ACCOUNT: ExecutionIdentity = { type: "service_account" };

export const unknownAgent = (id: string): ApiError => notFound(`Agent \`${id}\` not found.`);

export function createAgents(deps: AgentsDeps): Agents {
  const { db } = deps;
  const now = deps.now ?? (() => new Date());
  return {
    async create(workspaceId, params) {
      const id = createId("agent");
      const config = await newConfig(deps, workspaceId, id, params);
      return agentJson(await db.grouped(id, (one) => insertAgent(one, workspaceId, id, config, now())));
    },
    async retrieve(workspaceId, id, version) {
      const record = await readAgent(db.reads, workspaceId, id, version);
      if (record) return agentJson(record);
      if (version === undefined || !(await readAgent(db.reads, workspaceId, id))) throw unknownAgent(id);
      throw notFound(`Agent \`${id}\` has no version ${version}.`);
    },
    update: async (workspaceId, id, params) =>
      agentJson(await db.transaction((tx) => update(deps, tx, workspaceId, id, params, now()))),
    list: (workspaceId, query) => newestFirst(AGENTS, query, (filter) => listAgents(db, workspaceId, filter), agentJson),
    listVersions: (workspaceId, id, query) => listVersionsPage(db, workspaceId, id, query),
    async archive(workspaceId, id) {
      const known = await archiveAgent(db, workspaceId, id, now());
      const record = known ? await readAgent(db, workspaceId, id) : null;
      if (!record) throw unknownAgent(id);
      return agentJson(record);
    },
  };
}

/** `""` is no text: it clears, like `null`. */
const text = (value: string | null | undefined): string | null => value || null;

async function newConfig(deps: AgentsDeps, workspaceId: string, id: string, params: AgentCreateParams): Promise<AgentConfig> {
  const config: AgentConfig = {
    name: params.name,
    description: text(params.description),
    system: text(params.system),
    model: deps.models.resolve(params.model, "model"),
    tools: resolveTools(params.tools ?? []),
    mcp_servers: params.mcp_servers ?? [],
    skills: await resolveSkills(deps.db, workspaceId, params.skills ?? []),
    multiagent: null,
    execution_identity: params.execution_identity ?? SERVICE_ACCOUNT,
    metadata: params.metadata ?? {},
  };
  checkTools(config.tools, config.mcp_servers);
  if (params.multiagent) {
    const self = { id, version: 1, inferenceGeo: config.model.inference_geo };
    config.multiagent = await resolveMultiagent(params.multiagent, null, { self, find: finder(deps.db, workspaceId) });
  }
  return config;
}

const finder = (db: Queryable, workspaceId: string) => async (id: string, version: number | undefined) => {
  const record = await readAgent(db, workspaceId, id, version);
  return record && agentOf(record);
};

async function update(
  deps: AgentsDeps,
  tx: Queryable,
  workspaceId: string,
  id: string,
  params: AgentUpdateParams,
  now: Date,
): Promise<AgentRecord> {
  const record = await lockAgent(tx, workspaceId, id);
  if (!record) throw unknownAgent(id);
  if (record.archivedAt !== null) throw invalidRequest(`Agent \`${id}\` is archived and cannot be updated.`);
  if (params.version != null && params.version !== record.version) {
    throw new ApiError(
      "conflict_error",
      `version: ${params.version} is not the current version of this agent, which is ${record.version}`,
    );
  }
  const stored = configOf(record);
  const config = await changedConfig(deps, tx, workspaceId, record, stored, params);
  if (isDeepStrictEqual(config, stored)) return record;
  config.multiagent = repinSelf(config.multiagent, { id, version: record.version + 1 });
  return insertAgentVersion(tx, record, config, now);
}

async function changedConfig(
  deps: AgentsDeps,
  tx: Queryable,
  workspaceId: string,
  record: AgentRecord,
  stored: AgentConfig,
  params: AgentUpdateParams,
): Promise<AgentConfig> {
  const config: AgentConfig = {
    name: params.name ?? stored.name,
    description: params.description === undefined ? stored.description : text(params.description),
    system: params.system === undefined ? stored.system : text(params.system),
    model: params.model === undefined ? stored.model : deps.models.resolve(params.model, "model", stored.model),
    tools: params.tools === undefined ? stored.tools : resolveTools(params.tools ?? []),
    mcp_servers: params.mcp_servers === undefined ? stored.mcp_servers : (params.mcp_servers ?? []),
    skills: params.skills === undefined ? stored.skills : await resolveSkills(tx, workspaceId, params.skills ?? []),
    multiagent: params.multiagent === null ? null : stored.multiagent,
    execution_identity:
      params.execution_identity === undefined ? stored.execution_identity : (params.execution_identity ?? SERVICE_ACCOUNT),
    metadata: mergeMetadata(stored.metadata, params.metadata),
  };
  checkTools(config.tools, config.mcp_servers);
  if (params.multiagent) {
    // With the version it has now: whether anything changed must not depend on the version a change would make.
    const self = { id: record.id, version: record.version, inferenceGeo: config.model.inference_geo };
    config.multiagent = await resolveMultiagent(params.multiagent, stored.multiagent, { self, find: finder(tx, workspaceId) });
  }
  return config;
}

async function listVersionsPage(db: Database, workspaceId: string, id: string, query: PageQuery): Promise<Page<string>> {
  if (!(await readAgent(db, workspaceId, id))) throw unknownAgent(id);
  const limit = query.limit ?? PAGE_SIZE_DEFAULT;
  const list = `${VERSIONS}:${id}`;
  const before =
    query.page === undefined ? null : Number(decodeCursor(query.page, { list, order: "desc", key: ["version"] }).key[0]);
  const records = await listAgentVersions(db, id, before, limit + 1);
  return pageOfRecords(records, limit, agentJson, (last) => encodeCursor({ list, order: "desc", key: [last.version] }));
}
