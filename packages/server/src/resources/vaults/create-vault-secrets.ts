import type { Database } from "../../store/pool.ts";
import { type CredentialRecord, findCredentials } from "../../store/vault-credentials.ts";
import { readSecrets } from "../../store/vault-secrets.ts";
import { readVaults } from "../../store/vaults.ts";
import { LLM_PURPOSE, type Secrets, mcpPurpose } from "./credential-auth.ts";
import { isLlmVault, readLlmMetadata } from "./llm-vault.ts";
import type { OAuthRefresh } from "./oauth-refresh.ts";
import type { SecretBox } from "./secret-box.ts";
import type { EnvironmentVariable, McpCredential, Refresh, VaultSecrets } from "./vault-secrets.ts";

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
