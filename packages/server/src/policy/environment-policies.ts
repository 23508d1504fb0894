import type { SandboxPolicy } from "@sandbox0/egress";
import { readEnvironmentById } from "../store/environments.ts";
import type { Queryable } from "../store/query.ts";
import { createExpiringCache } from "./expiring-cache.ts";
import { networkingOf, POLICY_LIFE_MS, type SessionPoliciesDeps } from "./session-policies.ts";

const REMEMBERED_MAX = 1_000;

/** Where a sandbox may go that prepares an environment and is no session's: as its sessions, without MCP servers or secrets. */
export interface EnvironmentPolicies {
  /** `null`: there is no such environment of ours to run. */
  of(environmentId: string): Promise<SandboxPolicy | null>;
}

export function createEnvironmentPolicies(
  deps: { db: Queryable } & Pick<SessionPoliciesDeps, "packageHosts" | "blockedHosts">,
): EnvironmentPolicies {
  const bounds = { lifeMs: POLICY_LIFE_MS, entriesMax: REMEMBERED_MAX };
  const policies = createExpiringCache({ ...bounds, load: (environmentId) => loadPolicy(deps, environmentId) });
  return { of: (environmentId) => policies.get(environmentId) };
}

async function loadPolicy(
  deps: { db: Queryable } & Pick<SessionPoliciesDeps, "packageHosts" | "blockedHosts">,
  environmentId: string,
): Promise<SandboxPolicy | null> {
  const environment = await readEnvironmentById(deps.db, environmentId);
  if (environment === null || environment.config.type !== "cloud") return null;
  const networking = await networkingOf(deps, environment.config, []);
  return { workspaceId: environment.workspaceId, sessionId: null, networking, credentials: [], repositories: [] };
}
