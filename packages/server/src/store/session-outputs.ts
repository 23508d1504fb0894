import type { FileRecord } from "./files.ts";
import { insertFile } from "./files.ts";
import type { Queryable } from "./query.ts";

/** A path below a session's outputs directory, and what it has become. */
export interface OutputRecord {
  /** A character a byte. */
  path: string;
  /** `null`: a client has deleted the file. */
  fileId: string | null;
  stamp: string;
}

const PATH_ENCODING = "latin1";

export async function listSessionOutputs(db: Queryable, sessionId: string): Promise<OutputRecord[]> {
  const { rows } = await db.query<{ path: Buffer; file_id: string | null; stamp: string }>(
    "select path, file_id, stamp from session_outputs where session_id = $1",
    [sessionId],
    "list_session_outputs",
  );
  return rows.map((row) => ({ path: row.path.toString(PATH_ENCODING), fileId: row.file_id, stamp: row.stamp }));
}

/**
 * What was found at a path: a file of the API, which a path that is written again keeps. With the content that it had, nothing
 * was written: the volume may have been made anew, and a file that a client has deleted stays deleted.
 */
export async function storeOutput(
  tx: Queryable,
  owner: { workspaceId: string; sessionId: string },
  output: { path: string; stamp: string; file: FileRecord & { sha256: string } },
): Promise<void> {
  const { file, stamp } = output;
  const key = [owner.sessionId, Buffer.from(output.path, PATH_ENCODING)];
  // The row is held from here on: who stores the same path at the same time sees the file that came of it.
  const { rows } = await tx.query<{ file_id: string | null; sha256: string | null }>(
    `insert into session_outputs (session_id, path, stamp) values ($1, $2, $3)
     on conflict (session_id, path) do update set stamp = excluded.stamp returning file_id, sha256`,
    [...key, stamp],
    "touch_output",
  );
  const { file_id: fileId = null, sha256 = null } = rows[0] ?? {};
  if (sha256 === file.sha256) return;
  if (fileId === null) await insertFile(tx, owner.workspaceId, file);
  else await tx.query("update files set sha256 = $2, size_bytes = $3 where id = $1", [fileId, file.sha256, file.sizeBytes]);
  await tx.query(
    "update session_outputs set file_id = $3, sha256 = $4 where session_id = $1 and path = $2",
    [...key, fileId ?? file.id, file.sha256],
    "name_output",
  );
}

/** Somebody must look for outputs: said before there can be any. */
export async function markOutputsDue(db: Queryable, sessionId: string): Promise<void> {
  await db.query(
    `insert into session_outputs_due (session_id) values ($1)
     on conflict (session_id) do update set mark = gen_random_uuid()`,
    [sessionId],
    "mark_outputs_due",
  );
}

/** A look that began when this was the mark has seen all; another mark is of a turn that came later. */
export async function clearOutputsDue(db: Queryable, sessionId: string, mark: string): Promise<void> {
  await db.query("delete from session_outputs_due where session_id = $1 and mark = $2", [sessionId, mark], "clear_outputs_due");
}

/** The last one who said so; `null`: nobody must look. */
export async function readOutputsDue(db: Queryable, sessionId: string): Promise<string | null> {
  const { rows } = await db.query<{ mark: string }>(
    "select mark from session_outputs_due where session_id = $1",
    [sessionId],
    "read_outputs_due",
  );
  return rows[0]?.mark ?? null;
}

/**
 * What came of a look. @param notice what is to be said of it; `null`: nothing @param mark as there was when it began
 * @returns whether that is another thing than what was said last
 */
export async function settleOutputs(
  db: Queryable,
  sessionId: string,
  { isComplete, notice, mark }: { isComplete: boolean; notice: string | null; mark: string | null },
): Promise<boolean> {
  const { rows } = await db.query<{ is_new: boolean }>(
    `with said as (update sessions set outputs_notice = $2 where id = $1 and outputs_notice is distinct from $2 returning id),
       due as (delete from session_outputs_due where session_id = $1 and $3 and mark = $4)
     select exists (select from said) as is_new`,
    [sessionId, notice, isComplete, mark],
    "settle_outputs",
  );
  return rows[0]?.is_new ?? false;
}
