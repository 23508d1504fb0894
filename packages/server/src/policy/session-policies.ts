import type { RepositoryRule, SandboxPolicy } from "@sandbox0/egress";
import type { EnvironmentConfig, SessionThreadAgent } from "@sandbox0/protocol";
import { membersOf } from "../resources/environments/session-environment.ts";
import type { VaultSecrets } from "../resources/vaults/vault-secrets.ts";
import type { ResourceTokens } from "../resources/vaults/resource-tokens.ts";
import type { Queryable } from "../store/query.ts";
import { readSessionPolicy } from "../store/session-policies.ts";
import { listResourcesOfType } from "../store/session-resources.ts";
import { remoteOf } from "../domain/repository-remote.ts";
import { createExpiringCache } from "./expiring-cache.ts";
import { placeholderOf } from "./placeholder.ts";

/** How old a policy or a secret may be; with the gateway's own looks at open connections within the 5 s of issue 3. */
export const POLICY_LIFE_MS = 2_000;
/** Of each: sessions whose policy, credentials whose secret is remembered. */
const REMEMBERED_MAX = 10_000;

export interface SessionPoliciesDeps {
  db: Queryable;
  vaults: Pick<VaultSecrets, "environmentVariables" | "secretOf">;
  /** Of repositories. */
  tokens: Pick<ResourceTokens, "open">;
  /** The hosts of the package managers' registries (`allow_package_managers`). */
  packageHosts(): Promise<readonly string[]>;
  /** The operator's: where no `unrestricted` sandbox may go. */
  blockedHosts: readonly string[];
}

export interface SessionPolicy extends SandboxPolicy {
  sessionId: string;
  /** What the session's commands find in their environment: placeholders by name. */
  environment: Readonly<Record<string, string>>;
}

/** What sessions may do outside, as their environments, agents and vaults say it now, at most `POLICY_LIFE_MS` ago. */
export interface SessionPolicies {
  /** `null`: no such session, or it is archived, or its environment is not one of ours to run. */
  of(sessionId: string): Promise<SessionPolicy | null>;
  /** Of a credential, or the token of a repository. `null`: this session has none under this id now. */
  secretOf(sessionId: string, ruleId: string): Promise<string | null>;
}

export function createSessionPolicies(deps: SessionPoliciesDeps): SessionPolicies {
  const bounds = { lifeMs: POLICY_LIFE_MS, entriesMax: REMEMBERED_MAX };
  const policies = createExpiringCache({ ...bounds, load: (sessionId) => loadPolicy(deps, sessionId) });
  const secrets = createExpiringCache({ ...bounds, load: (credentialId) => deps.vaults.secretOf(credentialId) });
  const tokens = createExpiringCache({ ...bounds, load: (resourceId) => deps.tokens.open(resourceId) });
  return {
    of: (sessionId) => policies.get(sessionId),
    async secretOf(sessionId, ruleId) {
      const policy = await policies.get(sessionId);
      if (policy?.credentials.some(({ id }) => id === ruleId)) return secrets.get(ruleId);
      return policy?.repositories.some(({ id }) => id === ruleId) ? tokens.get(ruleId) : null;
    },
  };
}

async function loadPolicy(deps: SessionPoliciesDeps, sessionId: string): Promise<SessionPolicy | null> {
  const row = await readSessionPolicy(deps.db, sessionId);
  if (row === null || row.environment.type !== "cloud") return null;
  const { workspaceId, vaultIds } = row;
  const [networking, variables, repositories] = await Promise.all([
    networkingOf(deps, row.environment, membersOf(row.agent)),
    vaultIds.length === 0 ? [] : deps.vaults.environmentVariables(workspaceId, vaultIds),
    repositoryRules(deps.db, sessionId),
  ]);
  const credentials = variables.map(({ credentialId, hosts, inHeader, inBody }) => {
    return { id: credentialId, placeholder: placeholderOf(sessionId, credentialId), hosts, inHeader, inBody };
  });
  const environment = variables.map(({ credentialId, secretName }) => [secretName, placeholderOf(sessionId, credentialId)]);
  return { workspaceId, sessionId, networking, credentials, repositories, environment: Object.fromEntries(environment) };
}

async function repositoryRules(db: Queryable, sessionId: string): Promise<RepositoryRule[]> {
  const records = await listResourcesOfType(db, sessionId, "github_repository");
  return records.map(({ id, config }) => {
    const { host, port, path } = remoteOf(config.url);
    return { id, host, port, path };
  });
}

/** @param members whose MCP servers count as allowed when the environment says so */
export async function networkingOf(
  deps: Pick<SessionPoliciesDeps, "packageHosts" | "blockedHosts">,
  { networking }: Extract<EnvironmentConfig, { type: "cloud" }>,
  members: readonly SessionThreadAgent[],
): Promise<SandboxPolicy["networking"]> {
  if (networking.type === "unrestricted") return { type: "unrestricted", blockedHosts: deps.blockedHosts };
  const mcp = networking.allow_mcp_servers ? members.flatMap((member) => member.mcp_servers.map(hostOf)) : [];
  const packages = networking.allow_package_managers ? await deps.packageHosts() : [];
  const hosts = [...networking.allowed_hosts, ...mcp, ...packages].map((host) => host.toLowerCase());
  return { type: "limited", allowedHosts: [...new Set(hosts)] };
}

/** Validated when the agent was made. */
function hostOf(server: { url: string }): string {
  return new URL(server.url).hostname;
}
