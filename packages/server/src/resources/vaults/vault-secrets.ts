import type { Database } from "../../store/pool.ts";
import { type CredentialRecord, findCredentials } from "../../store/vault-credentials.ts";
import { readSecrets } from "../../store/vault-secrets.ts";
import { readVaults } from "../../store/vaults.ts";
import { LLM_PURPOSE, type Secrets, mcpPurpose } from "./credential-auth.ts";
import { isLlmVault, readLlmMetadata } from "./llm-vault.ts";
import type { OAuthRefresh } from "./oauth-refresh.ts";
import type { SecretBox } from "./secret-box.ts";

/**
 * What the parts of the server that spend secrets may ask of vaults: the MCP connector, the egress policy, the model
 * provider. Nothing here throws for a secret that is missing, archived or purged; a secret that is there and cannot be read
 * (a wrong master key, a tampered row) throws `SecretUnreadable`. Secrets are in no error and no log line: keep it so.
 */
export interface VaultSecrets {
  /**
   * The credential for an MCP server: of the first vault in `vaultIds` that has an active one for this URL (semantics §9;
   * scheme and host in any case, with or without the default port and a trailing slash). An OAuth token that is past its
   * time is refreshed first; when that fails the old one is returned, and the server will refuse it. `null`: connect
   * without.
   */
  credentialForMcp(workspaceId: string, vaultIds: readonly string[], url: string): Promise<McpCredential | null>;
  /**
   * A new access token after the server refused `staleToken` with a 401. One refresh at a time for a credential, across all
   * servers of this database; when another one has already replaced `staleToken`, its result is returned at once.
   */
  refreshMcp(credentialId: string, staleToken: string): Promise<Refresh>;
  /**
   * Active `environment_variable` credentials, in the order of their vaults. Of two with one name the first vault's is kept.
   * Cheap and without secrets: ask again to see rotation, archive and changes.
   */
  environmentVariables(workspaceId: string, vaultIds: readonly string[]): Promise<EnvironmentVariable[]>;
  /** The secret of a `static_bearer` or `environment_variable` credential as it is now; `null`: archived, deleted, or another type. */
  secretOf(credentialId: string): Promise<string | null>;
  /** The first of these vaults that is an LLM vault (design §5); `null`: none is. */
  llmOf(workspaceId: string, vaultIds: readonly string[]): Promise<LlmVault | null>;
}

export interface McpCredential {
  credentialId: string;
  type: "static_bearer" | "mcp_oauth";
  /** Goes into `Authorization: Bearer`. */
  token: string;
  /** `refreshMcp` may help after a 401. */
  refreshable: boolean;
}

export type Refresh =
  | { status: "succeeded"; token: string }
  /** The token endpoint said no, or something that is no answer; `httpStatus` is `null` when another server heard it. */
  | { status: "failed"; httpStatus: number | null }
  /** The token endpoint was not reached, is not allowed, or did not answer in time. */
  | { status: "connect_error" }
  | { status: "no_refresh_token" }
  /** Archived or deleted meanwhile. */
  | { status: "gone" };

export interface EnvironmentVariable {
  credentialId: string;
  secretName: string;
  /** `null`: every host that the environment allows. Else bare hosts, IPv4 addresses and `*.x`, in lower case. */
  hosts: readonly string[] | null;
  inHeader: boolean;
  inBody: boolean;
}

export interface LlmVault {
  vaultId: string;
  /** `sandbox0.managed_agents.engine`: a harness by name. */
  engine: string | null;
  /** `sandbox0.managed_agents.llm_base_url`. */
  baseUrl: string | null;
  /** Its unbound `static_bearer`: `secretOf` has the provider key. `null`: the server's own key is used. */
  credentialId: string | null;
}

/** A token that ends within this time is refreshed before it is used: the request takes its time, and clocks differ. */
const EXPIRY_MARGIN_MS = 30_000;

export interface VaultSecretsDeps {
  db: Database;
  box: SecretBox;
  oauth: OAuthRefresh;
  now: () => Date;
}

export function createVaultSecrets(deps: VaultSecretsDeps): VaultSecrets {
  const { db, oauth } = deps;
  const openSecrets = async (credentialId: string): Promise<Secrets | null> => {
    const sealed = await readSecrets(db.reads, credentialId);
    return sealed && deps.box.open(sealed);
  };
  return {
    credentialForMcp: (workspaceId, vaultIds, url) => credentialForMcp(deps, openSecrets, workspaceId, vaultIds, url),
    async refreshMcp(credentialId, staleToken) {
      const { response: _, ...refresh } = await oauth.refresh(credentialId, staleToken);
      return refresh as Refresh;
    },
    async environmentVariables(workspaceId, vaultIds) {
      if (vaultIds.length === 0) return [];
      const records = await findCredentials(db.reads, workspaceId, vaultIds, { type: "environment_variable" });
      const variables = new Map<string, EnvironmentVariable>();
      for (const variable of records.flatMap(variableOf))
        if (!variables.has(variable.secretName)) variables.set(variable.secretName, variable);
      return [...variables.values()];
    },
    async secretOf(credentialId) {
      const secrets = await openSecrets(credentialId);
      return secrets?.token ?? secrets?.secret_value ?? null;
    },
    async llmOf(workspaceId, vaultIds) {
      if (vaultIds.length === 0) return null;
      const vaults = new Map((await readVaults(db.reads, workspaceId, vaultIds)).map((vault) => [vault.id, vault]));
      const vault = vaultIds
        .map((id) => vaults.get(id))
        .find((found) => found?.archivedAt === null && isLlmVault(found.metadata));
      if (!vault) return null;
      const [key] = await findCredentials(db.reads, workspaceId, [vault.id], { purpose: LLM_PURPOSE });
      return { vaultId: vault.id, ...readLlmMetadata(vault.metadata), credentialId: key?.id ?? null };
    },
  };
}

async function credentialForMcp(
  { db, oauth, now }: VaultSecretsDeps,
  openSecrets: (credentialId: string) => Promise<Secrets | null>,
  workspaceId: string,
  vaultIds: readonly string[],
  url: string,
): Promise<McpCredential | null> {
  if (vaultIds.length === 0) return null;
  for (const { id, auth, expiresAt } of await findCredentials(db.reads, workspaceId, vaultIds, { purpose: mcpPurpose(url) })) {
    const secrets = await openSecrets(id);
    if (!secrets) continue;
    if (auth.type === "static_bearer" && secrets.token !== undefined)
      return { credentialId: id, type: auth.type, token: secrets.token, refreshable: false };
    if (auth.type !== "mcp_oauth" || secrets.access_token === undefined) continue;
    const refreshable = secrets.refresh_token !== undefined;
    const expired = expiresAt !== null && expiresAt.getTime() <= now().getTime() + EXPIRY_MARGIN_MS;
    const refreshed = expired && refreshable ? await oauth.refresh(id, secrets.access_token) : null;
    if (refreshed?.status === "gone") continue;
    const token = refreshed?.status === "succeeded" ? refreshed.token : secrets.access_token;
    return { credentialId: id, type: auth.type, token, refreshable };
  }
  return null;
}

function variableOf({ id, auth }: CredentialRecord): EnvironmentVariable[] {
  if (auth.type !== "environment_variable") return [];
  const { networking, injection_location: at } = auth;
  const hosts = networking.type === "limited" ? networking.allowed_hosts.map((host) => host.toLowerCase()) : null;
  return [{ credentialId: id, secretName: auth.secret_name, hosts, inHeader: at.header, inBody: at.body }];
}
