import { ApiError, type Session, type SessionForkParams, createId, invalidRequest } from "@sandbox0/protocol";
import { totalsOf } from "../domain/lifecycle-events.ts";
import type { ResourceTokens } from "../resources/vaults/resource-tokens.ts";
import { writeSession } from "../store/append.ts";
import { type LogPoint, readIdleFacts, readIdlePoint, readLogEnd } from "../store/log-points.ts";
import type { Database } from "../store/pool.ts";
import type { Queryable } from "../store/query.ts";
import { fenceCheckpoints, holdLog, insertFork, readCheckpointOfRest } from "../store/session-forks.ts";
import { readSnapshotAt, readSnapshotInputs, type SnapshotInput } from "../store/session-snapshots.ts";
import { readPending, toHead } from "../store/session-state.ts";
import { readSessionVolume, setSessionCheckpoint } from "../store/session-volumes.ts";
import { readSession, type SessionRow } from "../store/sessions.ts";
import { readCallsAt } from "./calls-at-point.ts";
import { forkOutputs, forkResources, sealForkTokens } from "./fork-resources.ts";
import { type CaptureFiles, expectKeptFiles, needKeptFiles, withFilesKept } from "./kept-files.ts";
import { sessionObject } from "./session-object.ts";
import { needSnapshot, refuseUnlessIdle, unknownSession } from "./snapshot-errors.ts";

/** Where a fork begins. */
interface Origin {
  source: SessionRow;
  point: LogPoint;
  /** Admitted by then, and not taken up. */
  inputs: readonly SnapshotInput[];
  /** Of its files; `null`: it had none. Asked last: other forks of the session wait from then on. */
  findCheckpoint(): Promise<string | null>;
  /** The source rests there. */
  isNow: boolean;
}

export interface ForkDeps {
  db: Database;
  tokens: Pick<ResourceTokens, "reseal">;
  captureFiles: CaptureFiles;
}

/** All of it in one transaction: there is the whole fork, or none. */
export async function forkSession(
  { db, tokens, captureFiles }: ForkDeps,
  workspaceId: string,
  sourceId: string,
  params: SessionForkParams,
): Promise<Session> {
  const now = new Date();
  const attempt = async (isCaptured: boolean) => {
    const sealed = await sealForkTokens({ db, tokens }, workspaceId, sourceId);
    return db.transaction(async (tx) => {
      const origin = await findOrigin(tx, workspaceId, sourceId, params, isCaptured);
      const id = await fork(tx, origin, params, now);
      await forkResources(tx, sourceId, { id, workspaceId, tokens: sealed }, now);
      if (origin.isNow) await forkOutputs(tx, sourceId, id, now);
      const checkpointId = await origin.findCheckpoint();
      if (checkpointId !== null) await setSessionCheckpoint(tx, id, checkpointId);
      const row = await readSession(tx, workspaceId, id);
      if (!row) throw new Error(`a fork of ${sourceId} was not there right after it was made`);
      return row;
    });
  };
  return sessionObject(await withFilesKept(captureFiles, sourceId, attempt), now);
}

async function findOrigin(
  tx: Queryable,
  workspaceId: string,
  sourceId: string,
  { snapshot_id, event_id }: SessionForkParams,
  isCaptured: boolean,
): Promise<Origin> {
  // What a snapshot has never changes; else nothing is written to the log until there is the fork, which is soon.
  if (snapshot_id == null) await holdLog(tx, workspaceId, sourceId);
  const source = await readSession(tx, workspaceId, sourceId);
  if (!source) throw unknownSession(sourceId);
  if (snapshot_id != null) {
    const { point, checkpointId } = await needSnapshot(tx, sourceId, snapshot_id, { keep: true });
    const inputs = await readSnapshotInputs(tx, snapshot_id);
    return { source, point, inputs, findCheckpoint: async () => checkpointId, isNow: false };
  }
  const head = toHead(source);
  const end = await readLogEnd(tx, sourceId);
  if (end === null) throw unknownSession(sourceId);
  if (event_id != null) {
    const point = await readIdlePoint(tx, sourceId, event_id);
    if (point === null) throw invalidRequest(`event_id: "${event_id}" is not a session.status_idle event of this session`);
    const isNow = head.shownStatus === "idle" && (await readIdleFacts(tx, sourceId, end)).eventId === event_id;
    if (isNow) await expectKeptFiles(tx, sourceId, isCaptured);
    const findCheckpoint = () => (isNow ? needKeptFiles(tx, sourceId, isCaptured) : findFilesAt(tx, sourceId, event_id, point));
    return { source, point, inputs: [], findCheckpoint, isNow };
  }
  refuseUnlessIdle(head, "fork");
  await expectKeptFiles(tx, sourceId, isCaptured);
  const pending = await readPending(tx, sourceId, [], workspaceId);
  const findCheckpoint = () => needKeptFiles(tx, sourceId, isCaptured);
  return { source, point: end, inputs: pending?.inbox ?? [], findCheckpoint, isNow: true };
}

/** The files as they were when the session rested there. @throws ApiError when nothing keeps them */
async function findFilesAt(tx: Queryable, sessionId: string, eventId: string, point: LogPoint): Promise<string | null> {
  const snapshot = await readSnapshotAt(tx, sessionId, eventId);
  if (snapshot !== null) return snapshot.checkpointId;
  if ((await readSessionVolume(tx, sessionId)) === null) return null;
  await fenceCheckpoints(tx, sessionId);
  const checkpointId = await readCheckpointOfRest(tx, sessionId, point.seq);
  if (checkpointId !== null) return checkpointId;
  throw new ApiError(
    "conflict_error",
    `event_id: nothing keeps the session's files as they were at "${eventId}". Fork from a snapshot, or from where the session rests now.`,
  );
}

/** @returns its id */
async function fork(tx: Queryable, { source, point, inputs }: Origin, params: SessionForkParams, now: Date): Promise<string> {
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
