import {
  AGENT_TOOLSET,
  type Environment,
  type EnvironmentConfig,
  type SessionAgent,
  type SessionThreadAgent,
  invalidRequest,
} from "@sandbox0/protocol";
import { isCovered } from "../../domain/host-patterns.ts";
import { readEnvironment } from "../../store/environments.ts";
import type { Queryable } from "../../store/query.ts";
import { environmentOf, unknownEnvironment } from "./environments.ts";

/**
 * The environment of a new session: there, not archived, and its network policy lets the agent do what it is set up to
 * do (semantics §3).
 * @throws ApiError not_found_error or invalid_request_error
 */
export async function resolveSessionEnvironment(
  db: Queryable,
  workspaceId: string,
  environmentId: string,
  agent: SessionAgent,
): Promise<Environment> {
  const record = await readEnvironment(db, workspaceId, environmentId);
  if (!record) throw unknownEnvironment(environmentId);
  if (record.archivedAt !== null) throw invalidRequest(`environment_id: environment \`${environmentId}\` is archived`);
  const environment = environmentOf(record);
  checkEgress(environment, agent);
  return environment;
}

/** @throws ApiError when `limited` networking shuts out an MCP server or a domain that a web tool is limited to */
export function checkEgress(environment: Environment, agent: SessionAgent): void {
  const { config } = environment;
  if (config.type !== "cloud" || config.networking.type !== "limited") return;
  const { allowed_hosts: allowed, allow_mcp_servers: mcpAllowed } = config.networking;
  for (const member of membersOf(agent)) {
    for (const server of mcpAllowed ? [] : member.mcp_servers) {
      const host = new URL(server.url).hostname;
      if (isCovered(host, allowed)) continue;
      throw invalidRequest(
        `agent.mcp_servers: the host of "${server.name}" (${host}) is not in allowed_hosts of environment \`${environment.id}\`, and its allow_mcp_servers is false`,
      );
    }
  }
  const domain = uncoveredDomain(config, agent.tools);
  if (domain === null) return;
  throw invalidRequest(
    `agent.tools: allowed_domains entry "${domain}" is not within allowed_hosts of environment \`${environment.id}\``,
  );
}

/** A domain that an enabled web tool is limited to and `limited` networking shuts out; `null`: there is none (semantics §3). */
export function uncoveredDomain(config: EnvironmentConfig, tools: SessionAgent["tools"]): string | null {
  if (config.type !== "cloud" || config.networking.type !== "limited") return null;
  const { allowed_hosts: allowed } = config.networking;
  return tools.flatMap(webDomains).find((domain) => !isCoveredDomain(domain, allowed)) ?? null;
}

/** The agent itself and those it may start. */
export function membersOf(agent: SessionAgent): SessionThreadAgent[] {
  const { multiagent } = agent;
  if (multiagent === null) return [agent];
  if (multiagent.type === "coordinator") return [agent, ...multiagent.agents.filter((entry) => entry.type === "agent")];
  const parts = [multiagent.subagents, multiagent.workflows];
  return [agent, ...parts.flatMap((part) => (part.type === "enabled" ? part.predefined_agents : []))];
}

function webDomains(tool: SessionAgent["tools"][number]): string[] {
  if (tool.type !== AGENT_TOOLSET) return [];
  return tool.configs.flatMap((config) =>
    (config.name === "web_fetch" || config.name === "web_search") && config.enabled ? (config.allowed_domains ?? []) : [],
  );
}

/** A domain of a web tool means its host and all subdomains; what part of that the policy allows is enough to be useful. */
function isCoveredDomain(domain: string, allowed: readonly string[]): boolean {
  const host = (domain.split("/")[0] ?? "").toLowerCase();
  return isCovered(host, allowed) || allowed.some((entry) => entry.toLowerCase() === `*.${host}`);
}
