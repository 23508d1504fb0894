import {
  type CredentialAuth,
  type CredentialCreateParams,
  type CredentialUpdateParams,
  type EnvironmentVariableUpdate,
  type McpOAuthUpdate,
  invalidRequest,
} from "@sandbox0/protocol";
import { normalizeServerUrl } from "../../domain/server-url.ts";
import type { SecretField } from "../../store/vault-secrets.ts";

export type Secrets = Partial<Record<SecretField, string>>;

/** What a client's `auth` comes to: what may be shown, what it is for, and the secrets, which go elsewhere. */
export interface AuthParts {
  auth: CredentialAuth;
  purpose: string;
  expiresAt: Date | null;
  /** Those to store; the others stay as they are. */
  secrets: Secrets;
}

type AuthParams = CredentialCreateParams["auth"];
type AuthOf<T extends CredentialAuth["type"]> = Extract<CredentialAuth, { type: T }>;

export const LLM_PURPOSE = "llm";
export const mcpPurpose = (url: string): string => `mcp ${normalizeServerUrl(url)}`;

/** @throws ApiError that names the field */
export function newAuth(params: AuthParams, vault: { isLlm: boolean }): AuthParts {
  switch (params.type) {
    case "mcp_oauth":
      return newMcpOAuth(params);
    case "static_bearer": {
      const url = params.mcp_server_url ?? "";
      if (url === "" && !vault.isLlm) throw invalidRequest("auth.mcp_server_url: Field required");
      return {
        auth: { type: "static_bearer", mcp_server_url: url },
        purpose: url === "" ? LLM_PURPOSE : mcpPurpose(url),
        expiresAt: null,
        secrets: { token: params.token },
      };
    }
    case "environment_variable": {
      const { header = false, body = false } = params.injection_location ?? { header: true, body: true };
      const auth: AuthOf<"environment_variable"> = {
        type: "environment_variable",
        secret_name: params.secret_name,
        networking: params.networking,
        injection_location: { header, body },
      };
      checkInjection(auth, params.secret_value);
      return { auth, purpose: `env ${params.secret_name}`, expiresAt: null, secrets: { secret_value: params.secret_value } };
    }
  }
}

function newMcpOAuth(params: Extract<AuthParams, { type: "mcp_oauth" }>): AuthParts {
  const { refresh } = params;
  const auth: AuthOf<"mcp_oauth"> = { type: "mcp_oauth", mcp_server_url: params.mcp_server_url, refresh: null };
  const secrets: Secrets = { access_token: params.access_token };
  if (refresh) {
    auth.refresh = {
      client_id: refresh.client_id,
      token_endpoint: refresh.token_endpoint,
      token_endpoint_auth: { type: refresh.token_endpoint_auth.type },
      resource: refresh.resource ?? null,
      scope: refresh.scope || null,
    };
    secrets.refresh_token = refresh.refresh_token;
    if (refresh.token_endpoint_auth.type !== "none") secrets.client_secret = refresh.token_endpoint_auth.client_secret;
  }
  const expiresAt = params.expires_at ? new Date(params.expires_at) : null;
  return { auth, purpose: mcpPurpose(params.mcp_server_url), expiresAt, secrets };
}

/**
 * `null` and what is left out keep what is stored (contract §9).
 * @throws ApiError that names the field
 */
export function mergeAuth(
  stored: { auth: CredentialAuth; expiresAt: Date | null },
  update: NonNullable<CredentialUpdateParams["auth"]>,
): Omit<AuthParts, "purpose"> {
  const { auth, expiresAt } = stored;
  if (auth.type === "mcp_oauth" && update.type === "mcp_oauth") return mergeMcpOAuth(auth, expiresAt, update);
  if (auth.type === "static_bearer" && update.type === "static_bearer")
    return { auth, expiresAt, secrets: update.token ? { token: update.token } : {} };
  if (auth.type === "environment_variable" && update.type === "environment_variable")
    return {
      auth: mergeVariable(auth, update),
      expiresAt,
      secrets: update.secret_value ? { secret_value: update.secret_value } : {},
    };
  throw invalidRequest(`auth.type: cannot change from "${auth.type}" to "${update.type}"`);
}

function mergeMcpOAuth(auth: AuthOf<"mcp_oauth">, expiresAt: Date | null, update: McpOAuthUpdate): Omit<AuthParts, "purpose"> {
  const secrets: Secrets = {};
  if (update.access_token) secrets.access_token = update.access_token;
  const merged = { ...auth };
  if (update.refresh) {
    if (!auth.refresh)
      throw invalidRequest("auth.refresh: this credential was created without one, and its client_id cannot be added");
    const { refresh_token: refreshToken, scope, token_endpoint_auth: clientAuth } = update.refresh;
    if (refreshToken) secrets.refresh_token = refreshToken;
    // "" clears.
    if (typeof scope === "string") merged.refresh = { ...auth.refresh, scope: scope || null };
    if (clientAuth?.client_secret) {
      if (auth.refresh.token_endpoint_auth.type === "none")
        throw invalidRequest(
          "auth.refresh.token_endpoint_auth: this credential uses no client secret, and the type cannot change",
        );
      secrets.client_secret = clientAuth.client_secret;
    }
  }
  return { auth: merged, expiresAt: update.expires_at ? new Date(update.expires_at) : expiresAt, secrets };
}

function mergeVariable(auth: AuthOf<"environment_variable">, update: EnvironmentVariableUpdate): AuthOf<"environment_variable"> {
  const { header = auth.injection_location.header, body = auth.injection_location.body } = update.injection_location ?? {};
  const merged = { ...auth, networking: update.networking ?? auth.networking, injection_location: { header, body } };
  checkInjection(merged, update.secret_value ?? null);
  return merged;
}

/** A line break in a header would begin another one. */
const ENDS_A_HEADER = /[\r\n\0]/;

/** @throws ApiError; `secret`: the new one, `null` when it does not change */
export function checkInjection({ injection_location: at }: AuthOf<"environment_variable">, secret: string | null): void {
  if (!at.header && !at.body) throw invalidRequest("auth.injection_location: at least one of header and body must be true");
  if (at.header && secret !== null && ENDS_A_HEADER.test(secret))
    throw invalidRequest("auth.secret_value: must not have line breaks while injection_location.header is true");
}
