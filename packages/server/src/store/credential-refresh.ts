import type { Queryable } from "./query.ts";

/** Where a credential's refresh stands, by the database's clock. */
export interface RefreshState {
  /** Somebody asks the token endpoint now. */
  leased: boolean;
  /** How the last refresh of the secrets as they are failed, and how long ago. */
  error: "failed" | "connect_error" | null;
  failedMsAgo: number | null;
}

export async function readRefreshState(db: Queryable, credentialId: string): Promise<RefreshState | null> {
  const { rows } = await db.query<{ leased: boolean; refresh_error: RefreshState["error"]; failed_ms: number | null }>(
    `select coalesce(refresh_until > clock_timestamp(), false) as leased, refresh_error,
            extract(epoch from clock_timestamp() - refresh_failed_at)::float8 * 1000 as failed_ms
     from vault_credentials where id = $1 and archived_at is null`,
    [credentialId],
    "read_refresh_state",
  );
  const row = rows[0];
  return row ? { leased: row.leased, error: row.refresh_error, failedMsAgo: row.failed_ms } : null;
}

/** Takes the right to refresh these secrets, alone, for `leaseMs`. False: somebody has it, or the secrets are others by now. */
export async function takeRefreshLease(
  db: Queryable,
  credentialId: string,
  lease: { id: string; leaseMs: number; secretsVersion: number },
): Promise<boolean> {
  const { rowCount } = await db.query(
    `update vault_credentials set refresh_lease = $2, refresh_until = clock_timestamp() + $3 * interval '1 millisecond'
     where id = $1 and archived_at is null and secrets_version = $4
       and (refresh_until is null or refresh_until <= clock_timestamp())`,
    [credentialId, lease.id, lease.leaseMs, lease.secretsVersion],
    "take_refresh_lease",
  );
  return rowCount > 0;
}

/** Ends the lease with success: the caller stores the new secrets in this transaction. False: it was lost, store nothing. */
export async function endRefresh(tx: Queryable, credentialId: string, leaseId: string, expiresAt: Date | null): Promise<boolean> {
  const { rowCount } = await tx.query(
    `update vault_credentials set refresh_lease = null, refresh_until = null, refresh_error = null, refresh_failed_at = null,
            secrets_version = secrets_version + 1, expires_at = $3, updated_at = date_trunc('milliseconds', clock_timestamp())
     where id = $1 and refresh_lease = $2 and archived_at is null`,
    [credentialId, leaseId, expiresAt],
    "end_refresh",
  );
  return rowCount > 0;
}

export async function failRefresh(
  db: Queryable,
  credentialId: string,
  leaseId: string,
  error: NonNullable<RefreshState["error"]>,
): Promise<void> {
  await db.query(
    `update vault_credentials set refresh_lease = null, refresh_until = null, refresh_error = $3, refresh_failed_at = clock_timestamp()
     where id = $1 and refresh_lease = $2`,
    [credentialId, leaseId, error],
    "fail_refresh",
  );
}

/**
 * Credentials whose access token ends within `aheadMs` and that can be refreshed: not those whose endpoint said no, and those
 * that could not be reached only after `retryMs`.
 */
export async function listExpiring(
  db: Queryable,
  options: { aheadMs: number; retryMs: number; limit: number },
): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(
    `select c.id from vault_credentials c
     where c.archived_at is null and c.type = 'mcp_oauth' and c.expires_at < now() + $1 * interval '1 millisecond'
       and (c.refresh_until is null or c.refresh_until <= now())
       and (c.refresh_error is null or (c.refresh_error = 'connect_error' and c.refresh_failed_at < now() - $2 * interval '1 millisecond'))
       and exists (select 1 from vault_secrets s where s.credential_id = c.id and s.field = 'refresh_token')
     order by c.expires_at limit $3`,
    [options.aheadMs, options.retryMs, options.limit],
    "list_expiring",
  );
  return rows.map(({ id }) => id);
}
