import {
  type Page,
  type PageQuery,
  type Session,
  type SessionForkParams,
  type SessionRestoreParams,
  type Snapshot,
  type SnapshotCreateParams,
  createId,
  invalidRequest,
} from "@sandbox0/protocol";
import type { EventLog, LockedSession } from "../log/event-log.ts";
import { newestFirst } from "../resources/created-at-cursor.ts";
import { readIdleFacts, readLogEnd } from "../store/log-points.ts";
import {
  countSnapshots,
  deleteSnapshot,
  insertSnapshot,
  listSnapshots,
  type SnapshotRecord,
} from "../store/session-snapshots.ts";
import { type ForkDeps, forkSession } from "./fork.ts";
import { needKeptFiles, withFilesKept } from "./kept-files.ts";
import { restoreSession } from "./restore.ts";
import { needSession, needSnapshot, refuseUnlessIdle, unknownSession, unknownSnapshot } from "./snapshot-errors.ts";

/** One more is a 400: delete some. */
export const SNAPSHOTS_PER_SESSION_MAX = 1_000;
const LIST = "session_snapshots";

/**
 * Moments of a session to go back to or to go on from in another one (`/sandbox0/v1/sessions/{id}/…`): its conversation and its
 * files together. A session of another workspace answers like an unknown one. All methods throw `ApiError` and nothing else on
 * purpose.
 */
export interface Snapshots {
  /** Of an idle session, as it is now. */
  create(workspaceId: string, sessionId: string, params: SnapshotCreateParams): Promise<Snapshot>;
  list(workspaceId: string, sessionId: string, query: PageQuery): Promise<Page<Snapshot>>;
  retrieve(workspaceId: string, sessionId: string, id: string): Promise<Snapshot>;
  /** Sessions that were forked from it do not need it. */
  delete(workspaceId: string, sessionId: string, id: string): Promise<{ id: string; type: "session_snapshot_deleted" }>;
  /** A new session that begins as this one stood at a snapshot, at an idle event, or stands now. */
  fork(workspaceId: string, sessionId: string, params: SessionForkParams): Promise<Session>;
  /** Takes back, in this session, what came behind a snapshot. */
  restore(workspaceId: string, sessionId: string, params: SessionRestoreParams): Promise<Session>;
}

export interface SnapshotsDeps extends ForkDeps {
  log: EventLog;
}

export function createSnapshots(deps: SnapshotsDeps): Snapshots {
  const { db } = deps;
  return {
    create: (workspaceId, sessionId, params) => takeSnapshot(deps, workspaceId, sessionId, params.name ?? null),
    async list(workspaceId, sessionId, query) {
      await needSession(db.reads, workspaceId, sessionId);
      return newestFirst(LIST, query, (filter) => listSnapshots(db, sessionId, filter), snapshotObject);
    },
    async retrieve(workspaceId, sessionId, id) {
      await needSession(db.reads, workspaceId, sessionId);
      return snapshotObject(await needSnapshot(db, sessionId, id));
    },
    async delete(workspaceId, sessionId, id) {
      await needSession(db.reads, workspaceId, sessionId);
      if (!(await deleteSnapshot(db, sessionId, id))) throw unknownSnapshot(id);
      return { id, type: "session_snapshot_deleted" };
    },
    fork: (workspaceId, sessionId, params) => forkSession(deps, workspaceId, sessionId, params),
    restore: (workspaceId, sessionId, params) => restoreSession(deps, workspaceId, sessionId, params.snapshot_id),
  };
}

async function takeSnapshot(
  { log, captureFiles }: SnapshotsDeps,
  workspaceId: string,
  sessionId: string,
  name: string | null,
): Promise<Snapshot> {
  const attempt = (isCaptured: boolean) =>
    log.locked({ sessionId, workspaceId }, async (session) => {
      refuseUnlessIdle(session.head, "snapshot");
      return insertSnapshotOf(session, name, isCaptured);
    });
  const snapshot = await withFilesKept(captureFiles, sessionId, attempt);
  if (snapshot === null) throw unknownSession(sessionId);
  return snapshotObject(snapshot);
}

async function insertSnapshotOf(
  { tx, head, inbox }: LockedSession,
  name: string | null,
  isCaptured: boolean,
): Promise<SnapshotRecord> {
  const { sessionId } = head;
  const [count, point, checkpointId] = await Promise.all([
    countSnapshots(tx, sessionId),
    readLogEnd(tx, sessionId),
    needKeptFiles(tx, sessionId, isCaptured),
  ]);
  if (point === null) throw unknownSession(sessionId);
  if (count >= SNAPSHOTS_PER_SESSION_MAX)
    throw invalidRequest(`a session has at most ${SNAPSHOTS_PER_SESSION_MAX} snapshots: delete some of them`);
  const { eventId, stopReason } = await readIdleFacts(tx, sessionId, point);
  const id = createId("snapshot");
  const record = { id, sessionId, name, point, eventId, stopReason, checkpointId, createdAt: new Date() };
  await insertSnapshot(
    tx,
    record,
    inbox.map(({ id: inputId, type, fields }) => ({ id: inputId, type, fields })),
  );
  return record;
}

function snapshotObject({ id, sessionId, name, eventId, stopReason, createdAt }: SnapshotRecord): Snapshot {
  return {
    id,
    type: "session_snapshot",
    session_id: sessionId,
    name,
    event_id: eventId,
    stop_reason: stopReason,
    created_at: createdAt.toISOString(),
  };
}
