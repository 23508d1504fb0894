import { type ApiError, invalidRequest, notFound } from "@sandbox0/protocol";
import type { Head } from "../domain/head.ts";
import type { Queryable } from "../store/query.ts";
import { readIdentity } from "../store/sessions.ts";
import { readSnapshot, type SnapshotRecord } from "../store/session-snapshots.ts";

/** @throws ApiError not_found_error for a session of another workspace */
export async function needSession(db: Queryable, workspaceId: string, sessionId: string): Promise<void> {
  if ((await readIdentity(db, workspaceId, sessionId)) === null) throw unknownSession(sessionId);
}

export function unknownSession(sessionId: string): ApiError {
  return notFound(`Session \`${sessionId}\` not found.`);
}

/** @param options.keep it cannot be deleted until the transaction ends. @throws ApiError not_found_error */
export async function needSnapshot(
  db: Queryable,
  sessionId: string,
  id: string,
  options: { keep?: boolean } = {},
): Promise<SnapshotRecord> {
  const snapshot = await readSnapshot(db, sessionId, id, options);
  if (snapshot === null) throw unknownSnapshot(id);
  return snapshot;
}

export function unknownSnapshot(id: string): ApiError {
  return notFound(`Snapshot \`${id}\` not found.`);
}

/** @throws ApiError invalid_request_error that says what to do */
export function refuseUnlessIdle({ shownStatus }: Pick<Head, "shownStatus">, verb: string): void {
  if (shownStatus === "idle") return;
  if (shownStatus === "terminated") throw invalidRequest(`cannot ${verb} a session that is terminated`);
  throw invalidRequest(`cannot ${verb} while ${shownStatus}: interrupt the session and wait until it is idle`);
}
