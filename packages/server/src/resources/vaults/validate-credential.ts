import type { Fetch } from "./token-request.ts";
import { type CredentialValidation, invalidRequest } from "@sandbox0/protocol";
import type { Database } from "../../store/pool.ts";
import { readSecrets } from "../../store/vault-secrets.ts";
import type { Secrets } from "./credential-auth.ts";
import { needCredential } from "./credentials.ts";
import { type Probe, probeServer } from "./mcp-probe.ts";
import type { DetailedRefresh, OAuthRefresh } from "./oauth-refresh.ts";
import type { SecretBox } from "./secret-box.ts";

export interface ValidateDeps {
  db: Database;
  box: SecretBox;
  oauth: OAuthRefresh;
  fetch: Fetch;
  now: () => Date;
  probeTimeoutMs?: number;
}

type Verdict = Pick<CredentialValidation, "status" | "mcp_probe" | "refresh">;

/**
 * Shows a credential to its MCP server, and after a 401 its refresh token to the token endpoint (contract §9). What the two
 * answer comes back scrubbed and cut.
 * @throws ApiError when there is no such active `mcp_oauth` credential
 */
export async function validateCredential(
  deps: ValidateDeps,
  workspaceId: string,
  vaultId: string,
  id: string,
): Promise<CredentialValidation> {
  const record = await needCredential(deps.db, workspaceId, vaultId, id);
  if (record.auth.type !== "mcp_oauth")
    throw invalidRequest(`Credential \`${id}\` is of type "${record.auth.type}"; only mcp_oauth credentials can be validated.`);
  const sealed = record.archivedAt === null ? await readSecrets(deps.db, id) : null;
  if (!sealed) throw invalidRequest(`Credential \`${id}\` is archived; there is nothing to validate.`);
  const secrets = await deps.box.open(sealed);
  const verdict = await judge(deps, id, record.auth.mcp_server_url, secrets);
  return {
    type: "vault_credential_validation",
    credential_id: id,
    vault_id: vaultId,
    has_refresh_token: secrets.refresh_token !== undefined,
    validated_at: deps.now().toISOString(),
    ...verdict,
  };
}

async function judge(deps: ValidateDeps, id: string, url: string, secrets: Secrets): Promise<Verdict> {
  const token = secrets.access_token;
  if (token === undefined) return { status: "invalid", mcp_probe: null, refresh: null };
  const known = Object.values(secrets);
  const probe = (shown: string): Promise<Probe> =>
    probeServer(deps.fetch, {
      url,
      token: shown,
      secrets: [...known, shown],
      ...(deps.probeTimeoutMs === undefined ? {} : { timeoutMs: deps.probeTimeoutMs }),
    });
  const first = await probe(token);
  if (first.verdict !== "unauthorized") return { ...verdictOf(first), refresh: null };
  const refresh = await deps.oauth.refresh(id, token, { again: true });
  if (refresh.status === "gone") throw invalidRequest(`Credential \`${id}\` was archived or deleted meanwhile.`);
  if (refresh.status === "succeeded")
    return { ...verdictOf(await probe(refresh.token)), refresh: { status: "succeeded", http_response: null } };
  return {
    status: refreshMayPass(refresh) ? "unknown" : "invalid",
    mcp_probe: verdictOf(first).mcp_probe,
    refresh: { status: refresh.status, http_response: refresh.response ?? null },
  };
}

function verdictOf(probe: Probe): Pick<Verdict, "status" | "mcp_probe"> {
  if (probe.verdict === "authenticated") return { status: "valid", mcp_probe: null };
  const { method, response } = probe;
  return { status: probe.verdict === "unknown" ? "unknown" : "invalid", mcp_probe: { method, http_response: response } };
}

/** The grant may still be good: the endpoint was not reached, or is busy or broken. */
function refreshMayPass(refresh: DetailedRefresh): boolean {
  if (refresh.status === "connect_error") return true;
  return refresh.status === "failed" && refresh.httpStatus !== null && (refresh.httpStatus >= 500 || refresh.httpStatus === 429);
}
