import type { SessionAgent } from "@sandbox0/protocol";
import { uncoveredDomain } from "../resources/environments/session-environment.ts";
import type { Queryable } from "../store/query.ts";
import { readSessionPolicy } from "../store/session-policies.ts";

/**
 * Why the web tools of a session cannot work as they are set, or `null`. It was right when the session was made or last
 * changed; its environment may have changed since (semantics §6).
 */
export async function describeInvalidSettings(
  db: Queryable,
  sessionId: string,
  tools: SessionAgent["tools"],
): Promise<string | null> {
  // Most sessions have no such list: nothing is read for them.
  if (!tools.some((tool) => tool.type === "agent_toolset_20260401" && tool.configs.some(hasAllowedDomains))) return null;
  const policy = await readSessionPolicy(db, sessionId);
  const domain = policy && uncoveredDomain(policy.environment, tools);
  if (domain === null) return null;
  return `The web tools of this session are limited to "${domain}", which is no longer within allowed_hosts of its environment. Change the session's tools or the environment.`;
}

function hasAllowedDomains(config: object): boolean {
  return "allowed_domains" in config && config.allowed_domains !== null && config.allowed_domains !== undefined;
}
