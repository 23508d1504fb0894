import type { Queryable } from "./query.ts";

/** One row as the gateway reports it; times in milliseconds, sizes in bytes. */
export interface NewEgressRow {
  /** A UUID of the writer's, by which a row is written once however often it is tried. */
  key: string;
  workspaceId: string | null;
  sessionId: string | null;
  sandboxId: string;
  at: Date;
  durationMs: number;
  host: string | null;
  port: number | null;
  verdict: "allowed" | "denied" | "failed";
  reason: string | null;
  bytesOut: number;
  bytesIn: number;
  credentialIds: readonly string[];
}

export interface EgressRow extends Omit<NewEgressRow, "key"> {
  id: number;
}

/** Longer names are no host names; the gateway refuses them, and says so here. */
const HOST_CHARS_MAX = 255;

/** All of them in one statement. */
export async function insertEgressRows(db: Queryable, rows: readonly NewEgressRow[]): Promise<void> {
  const values = rows.map((row) => ({
    key: row.key,
    workspace_id: row.workspaceId,
    session_id: row.sessionId,
    sandbox_id: row.sandboxId,
    at: row.at.toISOString(),
    duration_ms: Math.round(row.durationMs),
    host: row.host === null ? null : row.host.slice(0, HOST_CHARS_MAX).toWellFormed().replaceAll("\0", ""),
    port: row.port,
    verdict: row.verdict,
    reason: row.reason,
    bytes_out: row.bytesOut,
    bytes_in: row.bytesIn,
    credential_ids: row.credentialIds,
  }));
  await db.query(
    `insert into egress_audit (key, workspace_id, session_id, sandbox_id, at, duration_ms, host, port, verdict, reason, bytes_out,
                               bytes_in, credential_ids)
     select key, workspace_id, session_id, sandbox_id, at, duration_ms, host, port, verdict, reason, bytes_out, bytes_in, credential_ids
     from jsonb_to_recordset($1::jsonb) as r(key uuid, workspace_id text, session_id text, sandbox_id text, at timestamptz,
       duration_ms int, host text, port int, verdict text, reason text, bytes_out bigint, bytes_in bigint, credential_ids jsonb)
     on conflict (key) do nothing`,
    [JSON.stringify(values)],
    "insert_egress_rows",
  );
}

interface Row {
  id: number;
  workspace_id: string | null;
  session_id: string | null;
  sandbox_id: string;
  at: Date;
  duration_ms: number;
  host: string | null;
  port: number | null;
  verdict: EgressRow["verdict"];
  reason: string | null;
  bytes_out: number;
  bytes_in: number;
  credential_ids: string[];
}

/** Of one session, newest first, those before the row `before`. */
export async function listEgressRows(
  db: Queryable,
  sessionId: string,
  page: { before: number | null; limit: number },
): Promise<EgressRow[]> {
  const { rows } = await db.query<Row>(
    "select * from egress_audit where session_id = $1 and ($2::bigint is null or id < $2) order by id desc limit $3",
    [sessionId, page.before, page.limit],
    "list_egress_rows",
  );
  return rows.map(egressRowOf);
}

export interface EgressFilter {
  workspaceId: string;
  sessionId?: string | undefined;
  /** In lower case; those below it are found, too. */
  host?: string | undefined;
  verdict?: EgressRow["verdict"] | undefined;
}

/** Of all sessions of a workspace, also deleted ones; newest first, those before the row `before`. */
export async function findEgressRows(
  db: Queryable,
  { workspaceId, sessionId, host, verdict }: EgressFilter,
  page: { before: number | null; limit: number },
): Promise<EgressRow[]> {
  const { rows } = await db.query<Row>(
    `select * from egress_audit
     where workspace_id = $1 and ($2::bigint is null or id < $2) and ($4::text is null or session_id = $4)
       and ($5::text is null or lower(host) = $5 or right(lower(host), length($5) + 1) = '.' || $5)
       and ($6::text is null or verdict = $6)
     order by id desc limit $3`,
    [workspaceId, page.before, page.limit, sessionId ?? null, host ?? null, verdict ?? null],
    "find_egress_rows",
  );
  return rows.map(egressRowOf);
}

function egressRowOf(row: Row): EgressRow {
  return {
    id: row.id,
    workspaceId: row.workspace_id,
    sessionId: row.session_id,
    sandboxId: row.sandbox_id,
    at: row.at,
    durationMs: row.duration_ms,
    host: row.host,
    port: row.port,
    verdict: row.verdict,
    reason: row.reason,
    bytesOut: row.bytes_out,
    bytesIn: row.bytes_in,
    credentialIds: row.credential_ids,
  };
}

/** Removes some of the rows that are older. @returns how many; fewer than `limit`: that was all of them */
export async function deleteEgressRows(db: Queryable, olderThan: Date, limit: number): Promise<number> {
  const { rowCount } = await db.query(
    "delete from egress_audit where id in (select id from egress_audit where at < $1 order by at limit $2)",
    [olderThan, limit],
    "delete_egress_rows",
  );
  return rowCount;
}
