import type { Queryable } from "./query.ts";

export interface FileRecord {
  id: string;
  /** The session whose file it is; `null`: uploaded. */
  sessionId: string | null;
  filename: string;
  mimeType: string;
  sizeBytes: number;
  /** Where its content is; `null`: expired, and gone. */
  sha256: string | null;
  downloadable: boolean;
  createdAt: Date;
  expiresAt: Date | null;
}

interface Row {
  id: string;
  session_id: string | null;
  filename: string;
  mime_type: string;
  size_bytes: number;
  sha256: string | null;
  downloadable: boolean;
  created_at: Date;
  expires_at: Date | null;
}

const COLUMNS = "id, session_id, filename, mime_type, size_bytes, sha256, downloadable, created_at, expires_at";

const toRecord = (row: Row): FileRecord => ({
  id: row.id,
  sessionId: row.session_id,
  filename: row.filename,
  mimeType: row.mime_type,
  sizeBytes: row.size_bytes,
  sha256: row.sha256,
  downloadable: row.downloadable,
  createdAt: row.created_at,
  expiresAt: row.expires_at,
});

/** Its blob is kept from now on. */
export async function insertFile(tx: Queryable, workspaceId: string, file: FileRecord): Promise<void> {
  await tx.query(
    `insert into files (id, workspace_id, session_id, filename, mime_type, size_bytes, sha256, downloadable, created_at, expires_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
    [
      file.id,
      workspaceId,
      file.sessionId,
      file.filename,
      file.mimeType,
      file.sizeBytes,
      file.sha256,
      file.downloadable,
      file.createdAt,
      file.expiresAt,
    ],
    "insert_file",
  );
}

export async function readFile(db: Queryable, workspaceId: string, id: string): Promise<FileRecord | null> {
  const sql = `select ${COLUMNS} from files where id = $1 and workspace_id = $2`;
  const { rows } = await db.query<Row>(sql, [id, workspaceId], "read_file");
  return rows[0] ? toRecord(rows[0]) : null;
}

/** Those of these that the workspace has, in no order. */
export async function readFiles(db: Queryable, workspaceId: string, ids: readonly string[]): Promise<FileRecord[]> {
  const { rows } = await db.query<Row>(
    `select ${COLUMNS} from files where workspace_id = $1 and id = any($2)`,
    [workspaceId, ids],
    "read_files",
  );
  return rows.map(toRecord);
}

/**
 * Files of a session with the content of others, which they do not depend on. They never expire.
 * @returns how many were made: fewer than asked for when one of the others is gone
 */
export async function copyFilesToSession(
  tx: Queryable,
  owner: { workspaceId: string; sessionId: string; at: Date },
  copies: readonly { from: string; id: string }[],
): Promise<number> {
  const { rowCount } = await tx.query(
    `insert into files (id, workspace_id, session_id, filename, mime_type, size_bytes, sha256, downloadable, created_at)
     select c.id, $1, $2, f.filename, f.mime_type, f.size_bytes, f.sha256, f.downloadable, $3
     from unnest($4::text[], $5::text[]) as c (source_id, id) join files f on f.id = c.source_id
     where f.workspace_id = $1 and f.sha256 is not null`,
    [owner.workspaceId, owner.sessionId, owner.at, copies.map(({ from }) => from), copies.map(({ id }) => id)],
    "copy_files_to_session",
  );
  return rowCount;
}

export async function deleteFile(db: Queryable, workspaceId: string, id: string): Promise<boolean> {
  const { rowCount } = await db.query("delete from files where id = $1 and workspace_id = $2", [id, workspaceId]);
  return rowCount > 0;
}

type Place = Pick<FileRecord, "createdAt" | "id">;

export interface FileFilter {
  ids?: readonly string[] | undefined;
  sessionId?: string | undefined;
  /** Only what is older. */
  after?: Place | undefined;
  /** Only what is newer, and of that the oldest. */
  before?: Place | undefined;
  limit: number;
}

/** Newest first. */
export async function listFiles(db: Queryable, workspaceId: string, filter: FileFilter): Promise<FileRecord[]> {
  const values: unknown[] = [workspaceId];
  const bind = (value: unknown): string => `$${values.push(value)}`;
  const conditions = ["workspace_id = $1"];
  if (filter.ids !== undefined) conditions.push(`id = any(${bind(filter.ids)})`);
  if (filter.sessionId !== undefined) conditions.push(`session_id = ${bind(filter.sessionId)}`);
  const { after, before } = filter;
  if (after) conditions.push(`(created_at, id) < (${bind(after.createdAt)}, ${bind(after.id)})`);
  if (before) conditions.push(`(created_at, id) > (${bind(before.createdAt)}, ${bind(before.id)})`);
  const order = before ? "asc" : "desc";
  const { rows } = await db.query<Row>(
    `select ${COLUMNS} from files where ${conditions.join(" and ")}
     order by created_at ${order}, id ${order} limit ${bind(filter.limit)}`,
    values,
  );
  const records = rows.map(toRecord);
  return before ? records.reverse() : records;
}

/** Bytes of all uploaded files of the workspace. In a transaction that changed them: with its change, and nobody else's. */
export async function readStoredBytes(db: Queryable, workspaceId: string): Promise<number> {
  const { rows } = await db.query<{ bytes: number }>(
    "select bytes from workspace_storage where workspace_id = $1",
    [workspaceId],
    "read_stored_bytes",
  );
  return rows[0]?.bytes ?? 0;
}

/** Lets go of the content of files that have expired. @returns how many */
export async function dropExpiredContent(db: Queryable, limit: number): Promise<number> {
  const { rowCount } = await db.query(
    `update files set sha256 = null where id in (
       select id from files where expires_at <= now() and sha256 is not null order by expires_at limit $1 for update skip locked)`,
    [limit],
  );
  return rowCount;
}

/** Forgets files that expired longer ago than this. @returns how many */
export async function deleteExpiredFiles(db: Queryable, longerAgoMs: number, limit: number): Promise<number> {
  const { rowCount } = await db.query(
    `delete from files where id in (
       select id from files where expires_at <= now() - make_interval(secs => $1) order by expires_at limit $2
       for update skip locked)`,
    [longerAgoMs / 1_000, limit],
  );
  return rowCount;
}
