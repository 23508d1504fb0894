import { type Session, type SessionForkParams, createId, invalidRequest } from "@sandbox0/protocol";
import { totalsOf } from "../domain/lifecycle-events.ts";
import type { ResourceTokens } from "../resources/vaults/resource-tokens.ts";
import { writeSession } from "../store/append.ts";
import { type LogPoint, readIdleFacts, readIdlePoint, readLogEnd } from "../store/log-points.ts";
import type { Database } from "../store/pool.ts";
import type { Queryable } from "../store/query.ts";
import { insertFork } from "../store/session-forks.ts";
import { readSnapshotInputs, type SnapshotInput } from "../store/session-snapshots.ts";
import { readPending, toHead } from "../store/session-state.ts";
import { readSession, type SessionRow } from "../store/sessions.ts";
import { readCallsAt } from "./calls-at-point.ts";
import { forkResources } from "./fork-resources.ts";
import { sessionObject } from "./session-object.ts";
import { needSnapshot, refuseUnlessIdle, unknownSession } from "./snapshot-errors.ts";

/** Where a fork begins. */
interface Origin {
  point: LogPoint;
  /** Admitted by then, and not taken up. */
  inputs: readonly SnapshotInput[];
}

export interface ForkDeps {
  db: Database;
  tokens: ResourceTokens;
}

/** All of it in one transaction: there is the whole fork, or none. The source goes on meanwhile. */
export async function forkSession(
  { db, tokens }: ForkDeps,
  workspaceId: string,
  sourceId: string,
  params: SessionForkParams,
): Promise<Session> {
  const now = new Date();
  const row = await db.transaction(async (tx) => {
    // What is read is of one moment, and nothing of the source is locked.
    await tx.query("set transaction isolation level repeatable read");
    const source = await readSession(tx, workspaceId, sourceId);
    if (!source) throw unknownSession(sourceId);
    const origin = await findOrigin(tx, source, params);
    const id = await fork(tx, source, origin, params, now);
    await forkResources({ tx, tokens }, sourceId, { id, workspaceId }, now);
    return readSession(tx, workspaceId, id);
  });
  if (!row) throw new Error(`a fork of ${sourceId} was not there right after it was made`);
  return sessionObject(row, now);
}

async function findOrigin(tx: Queryable, source: SessionRow, { snapshot_id, event_id }: SessionForkParams): Promise<Origin> {
  if (snapshot_id != null) {
    const { point } = await needSnapshot(tx, source.id, snapshot_id);
    return { point, inputs: await readSnapshotInputs(tx, snapshot_id) };
  }
  if (event_id != null) {
    const point = await readIdlePoint(tx, source.id, event_id);
    if (point === null) throw invalidRequest(`event_id: "${event_id}" is not a session.status_idle event of this session`);
    return { point, inputs: [] };
  }
  refuseUnlessIdle(toHead(source), "fork");
  const [point, pending] = await Promise.all([readLogEnd(tx, source.id), readPending(tx, source.id, [])]);
  if (point === null || pending === null) throw unknownSession(source.id);
  return { point, inputs: pending.inbox };
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
