import { ApiError, type Session, type SessionForkParams, createId, invalidRequest } from "@sandbox0/protocol";
import { totalsOf } from "../domain/lifecycle-events.ts";
import type { ResourceTokens } from "../resources/vaults/resource-tokens.ts";
import { writeSession } from "../store/append.ts";
import { type LogPoint, readIdleFacts, readIdlePoint, readLogEnd } from "../store/log-points.ts";
import type { Database } from "../store/pool.ts";
import type { Queryable } from "../store/query.ts";
import { fenceCheckpoints, insertFork, readCheckpointOfRest } from "../store/session-forks.ts";
import { readSnapshotAt, readSnapshotInputs, type SnapshotInput } from "../store/session-snapshots.ts";
import { readPending, toHead } from "../store/session-state.ts";
import { readSessionVolume, setSessionCheckpoint } from "../store/session-volumes.ts";
import { readSession, type SessionRow } from "../store/sessions.ts";
import { readCallsAt } from "./calls-at-point.ts";
import { forkOutputs, forkResources } from "./fork-resources.ts";
import { type CaptureFiles, needKeptFiles, withFilesKept } from "./kept-files.ts";
import { sessionObject } from "./session-object.ts";
import { needSnapshot, refuseUnlessIdle, unknownSession } from "./snapshot-errors.ts";

/** Where a fork begins. */
interface Origin {
  point: LogPoint;
  /** Admitted by then, and not taken up. */
  inputs: readonly SnapshotInput[];
  /** Of its files; `null`: it had none. */
  checkpointId: string | null;
  /** The source rests there. */
  isNow: boolean;
}

export interface ForkDeps {
  db: Database;
  tokens: ResourceTokens;
  captureFiles: CaptureFiles;
}

/** All of it in one transaction: there is the whole fork, or none. The source goes on meanwhile. */
export async function forkSession(
  { db, tokens, captureFiles }: ForkDeps,
  workspaceId: string,
  sourceId: string,
  params: SessionForkParams,
): Promise<Session> {
  const now = new Date();
  const attempt = () =>
    db.transaction(async (tx) => {
      // What is read is of one moment, and the source's log goes on.
      await tx.query("set transaction isolation level repeatable read");
      const source = await readSession(tx, workspaceId, sourceId);
      if (!source) throw unknownSession(sourceId);
      const origin = await findOrigin(tx, source, params);
      const id = await fork(tx, source, origin, params, now);
      if (origin.checkpointId !== null) await setSessionCheckpoint(tx, id, origin.checkpointId);
      await forkResources({ tx, tokens }, sourceId, { id, workspaceId }, now);
      if (origin.isNow) await forkOutputs(tx, sourceId, id, now);
      return readSession(tx, workspaceId, id);
    });
  const row = await withFilesKept(captureFiles, sourceId, attempt);
  if (!row) throw new Error(`a fork of ${sourceId} was not there right after it was made`);
  return sessionObject(row, now);
}

async function findOrigin(tx: Queryable, source: SessionRow, { snapshot_id, event_id }: SessionForkParams): Promise<Origin> {
  if (snapshot_id != null) {
    const { point, checkpointId } = await needSnapshot(tx, source.id, snapshot_id, { keep: true });
    return { point, inputs: await readSnapshotInputs(tx, snapshot_id), checkpointId, isNow: false };
  }
  const head = toHead(source);
  const end = await readLogEnd(tx, source.id);
  if (end === null) throw unknownSession(source.id);
  if (event_id != null) {
    const point = await readIdlePoint(tx, source.id, event_id);
    if (point === null) throw invalidRequest(`event_id: "${event_id}" is not a session.status_idle event of this session`);
    const isNow = head.shownStatus === "idle" && (await readIdleFacts(tx, source.id, end)).eventId === event_id;
    const checkpointId = isNow ? await needKeptFiles(tx, source.id) : await findFilesAt(tx, source.id, event_id, point);
    return { point, inputs: [], checkpointId, isNow };
  }
  refuseUnlessIdle(head, "fork");
  const [pending, checkpointId] = await Promise.all([readPending(tx, source.id, []), needKeptFiles(tx, source.id)]);
  return { point: end, inputs: pending?.inbox ?? [], checkpointId, isNow: true };
}

/** The files as they were when the session rested there. @throws ApiError when nothing keeps them */
async function findFilesAt(tx: Queryable, sessionId: string, eventId: string, point: LogPoint): Promise<string | null> {
  const snapshot = await readSnapshotAt(tx, sessionId, eventId);
  if (snapshot !== null) return snapshot.checkpointId;
  if ((await readSessionVolume(tx, sessionId)) === null) return null;
  const checkpointId = await readCheckpointOfRest(tx, sessionId, point.seq);
  if (checkpointId !== null) {
    await fenceCheckpoints(tx, sessionId);
    return checkpointId;
  }
  throw new ApiError(
    "conflict_error",
    `event_id: nothing keeps the session's files as they were at "${eventId}". Fork from a snapshot, or from where the session rests now.`,
  );
}

/** @returns its id */
async function fork(tx: Queryable, source: SessionRow, origin: Origin, params: SessionForkParams, now: Date): Promise<string> {
  const { point, inputs } = origin;
  const [facts, end] = await Promise.all([readIdleFacts(tx, source.id, point), readLogEnd(tx, source.id)]);
  const { stopReason } = facts;
  const calls = await readCallsAt(tx, source.id, point, { stopReason, rewound: end?.rewound ?? point.rewound });
  const id = createId("session");
  const threadId = createId("thread");
  await insertFork(tx, {
    sourceId: source.id,
    point,
    id,
    threadId,
    sourceThreadId: source.thread_id,
    title: params.title,
    metadata: params.metadata ?? undefined,
    stopReason,
    usage: totalsOf(facts.usage),
    calls,
    createdAt: now,
  });
  if (inputs.length > 0) {
    const enqueue = inputs.map(({ id: inputId, type, fields }) => ({ id: inputId, type, fields }));
    await writeSession(tx, { sessionId: id, threadId, generation: null, enqueue });
  }
  return id;
}
