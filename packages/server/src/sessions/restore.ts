import type { Session } from "@sandbox0/protocol";
import { idleEvents, promoted, totalsAt } from "../domain/lifecycle-events.ts";
import type { EventLog, LockedSession } from "../log/event-log.ts";
import { readLogEnd } from "../store/log-points.ts";
import type { Database } from "../store/pool.ts";
import type { Queryable } from "../store/query.ts";
import { forgetProvided, renewVolume, rewindCalls, rewindLog } from "../store/session-forks.ts";
import { readSnapshotInputs, type SnapshotRecord } from "../store/session-snapshots.ts";
import { lockSessionVolume, setSessionCheckpoint } from "../store/session-volumes.ts";
import { readSession } from "../store/sessions.ts";
import { readCallsAt } from "./calls-at-point.ts";
import { sessionObject } from "./session-object.ts";
import { needSnapshot, refuseUnlessIdle, unknownSession } from "./snapshot-errors.ts";

/** All of it in one transaction under the session's lock. */
export async function restoreSession(
  { db, log }: { db: Database; log: EventLog },
  workspaceId: string,
  sessionId: string,
  snapshotId: string,
): Promise<Session> {
  const found = await log.locked({ sessionId, workspaceId }, async (session) => {
    refuseUnlessIdle(session.head, "restore");
    await restore(session, await needSnapshot(session.tx, sessionId, snapshotId, { keep: true }));
    return true;
  });
  const row = found && (await readSession(db.reads, workspaceId, sessionId));
  if (!row) throw unknownSession(sessionId);
  return sessionObject(row, new Date());
}

/**
 * What came behind the snapshot is taken back: it stays on the log and is no longer shown. What was waiting goes onto the log
 * first, to be taken back with it. Behind that the log says how the session rests now, so that whoever follows it knows; what
 * was spent stays spent.
 */
async function restore(session: LockedSession, snapshot: SnapshotRecord): Promise<void> {
  const { id, point } = snapshot;
  const stopReason = snapshot.stopReason ?? { type: "end_turn" };
  const { head, tx, inbox, threadId, agentName } = session;
  const { sessionId } = head;
  const end = await readLogEnd(tx, sessionId);
  const inputs = await readSnapshotInputs(tx, id);
  const calls = await readCallsAt(tx, sessionId, point, { stopReason, rewound: end?.rewound ?? point.rewound });
  await rewindLog(tx, sessionId, point, head.seq + inbox.length);
  await rewindCalls(tx, sessionId, point, calls);
  await restoreFiles(tx, sessionId, snapshot.checkpointId);
  const now = new Date(Math.max(Date.now(), head.lastEventAt.getTime()));
  await session.write({
    threadId,
    generation: null,
    events: [...inbox.map(promoted), ...idleEvents({ threadId, agentName }, totalsAt(head, now), stopReason)],
    takesBack: true,
    takenInputs: inbox.map(({ position }) => position),
    enqueue: inputs.map(({ id: inputId, type, fields }) => ({ id: inputId, type, fields })),
    patch: { stopReason, turnPending: false, interrupted: false, ending: null, attempts: 0 },
  });
}

/** The next turn makes its volume from the checkpoint, on whichever node; what the session has now is removed. */
async function restoreFiles(tx: Queryable, sessionId: string, checkpointId: string | null): Promise<void> {
  const volume = await lockSessionVolume(tx, sessionId);
  // It had none then, and has none.
  if (volume === null && checkpointId === null) return;
  await setSessionCheckpoint(tx, sessionId, checkpointId);
  await renewVolume(tx, sessionId);
  // The checkpoint may be older than what was put there; what it has is found again.
  await forgetProvided(tx, sessionId);
}
