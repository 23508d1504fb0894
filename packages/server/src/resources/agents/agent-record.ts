import type { Agent, AgentConfig } from "@sandbox0/protocol";
import type { AgentRecord } from "../../store/agents.ts";

export function configOf(record: AgentRecord): AgentConfig {
  // Written by us from a parsed request: reading it back is no border of trust.
  return JSON.parse(record.configText) as AgentConfig;
}

/** The agent as the API shows it, as JSON: its stored config is passed on as it is. */
export function agentJson(record: AgentRecord): string {
  const archivedAt = record.archivedAt === null ? "null" : `"${record.archivedAt.toISOString()}"`;
  const times = `"created_at":"${record.createdAt.toISOString()}","updated_at":"${record.updatedAt.toISOString()}","archived_at":${archivedAt}`;
  return `{"id":"${record.id}","type":"agent","version":${record.version},${times},${record.configText.slice(1)}`;
}

export function agentOf(record: AgentRecord): Agent {
  return JSON.parse(agentJson(record)) as Agent;
}
