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
