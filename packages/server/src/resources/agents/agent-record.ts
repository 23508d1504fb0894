import type { Agent, AgentConfig } from "@sandbox0/protocol";
import type { AgentRecord } from "../../store/agents.ts";

export function configOf(record: AgentRecord): AgentConfig {
  // Written by us from a parsed request: reading it back is no border of trust.
  return JSON.parse(record.configText) as AgentConfig;
}

/** The agent as the API shows it, as JSON: its stored config is passed on as it is. */
export function agentJson(record: AgentRecord): string {
  const head = {
    id: record.id,
    type: "agent",
    version: record.version,
    created_at: record.createdAt,
    updated_at: record.updatedAt,
    archived_at: record.archivedAt,
  };
  return `${JSON.stringify(head).slice(0, -1)},${record.configText.slice(1)}`;
}

export function agentOf(record: AgentRecord): Agent {
  return JSON.parse(agentJson(record)) as Agent;
}
