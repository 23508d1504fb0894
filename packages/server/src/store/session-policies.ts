import type { EnvironmentConfig, SessionAgent } from "@sandbox0/protocol";
import { isShown } from "./log-points.ts";
import type { Queryable } from "./query.ts";

/** What decides where a session may go, as it is now. */
export interface SessionPolicyRow {
  workspaceId: string;
  agent: SessionAgent;
  vaultIds: string[];
  environment: EnvironmentConfig;
}

/** `null`: no such session, or one that is over. */
export async function readSessionPolicy(db: Queryable, sessionId: string): Promise<SessionPolicyRow | null> {
  const { rows } = await db.query<{ workspace_id: string; agent: SessionAgent; vault_ids: string[]; config: EnvironmentConfig }>(
    `select s.workspace_id, s.agent, s.vault_ids, e.config from sessions s join environments e on e.id = s.environment_id
     where s.id = $1 and s.archived_at is null`,
    [sessionId],
    "read_session_policy",
  );
  const [row] = rows;
  return row ? { workspaceId: row.workspace_id, agent: row.agent, vaultIds: row.vault_ids, environment: row.config } : null;
}

/** Credentials that the session's log has an unreachable host of already. */
export async function readReportedCredentials(db: Queryable, sessionId: string): Promise<string[]> {
  const { rows } = await db.query<{ credential_id: string }>(
    `select body->'error'->>'credential_id' as credential_id from events
     where session_id = $1 and type = 'session.error' and body->'error'->>'type' = 'credential_host_unreachable_error'
       and ${isShown("seq")}`,
    [sessionId],
    "read_reported_credentials",
  );
  return rows.map((row) => row.credential_id);
}

/** The vault of each credential, by the credential's id. */
export async function readVaultsOf(db: Queryable, credentialIds: readonly string[]): Promise<Map<string, string>> {
  const { rows } = await db.query<{ id: string; vault_id: string }>(
    "select id, vault_id from vault_credentials where id = any($1)",
    [credentialIds],
    "read_vaults_of",
  );
  return new Map(rows.map((row) => [row.id, row.vault_id]));
}
