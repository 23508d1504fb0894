import { clearOutputsDue, markOutputsDue, readOutputsDue, settleOutputs } from "../../store/session-outputs.ts";
import type { ProvisionPart } from "../port.ts";
import { listOutputs, type OutputsDeps } from "./list-outputs.ts";

/** What a turn that was stopped has left for it: the client waits for the session to be idle. */
const STOPPED_MS_MAX = 5_000;

/**
 * What a session writes under `/mnt/session/outputs` is among its files when it is idle (semantics §11). That there may be
 * something is on record before there can be; a server that dies in between leaves it to whoever runs the session next.
 */
export function createOutputsPart(deps: OutputsDeps): ProvisionPart {
  const { db } = deps;
  /** Sessions whose outputs could not all be stored in the time there was. */
  const unfinished = new Set<string>();
  return {
    name: "outputs",
    fill: ({ sessionId }) => markOutputsDue(db, sessionId),
    isEager: async ({ sessionId }) => (await readOutputsDue(db.reads, sessionId)) !== null,
    async beforeIdle(session, volume) {
      const { sessionId } = session;
      const signal = session.signal.aborted ? AbortSignal.timeout(STOPPED_MS_MAX) : session.signal;
      const mark = await readOutputsDue(db.reads, sessionId);
      const listed = await listOutputs(deps, session, volume, signal);
      if (!listed.isComplete && signal.aborted) unfinished.add(sessionId);
      else unfinished.delete(sessionId);
      const { notice: message } = listed;
      if (!(await settleOutputs(db, sessionId, { ...listed, mark })) || message === null) return;
      await session.report({ type: "unknown_error", message, retry_status: { type: "retrying" } });
    },
    async atRest(session, volume) {
      const { sessionId } = session;
      if (!unfinished.delete(sessionId)) return;
      // The next turn may begin, and write, while this goes on.
      const mark = await readOutputsDue(db, sessionId);
      if (mark === null) return;
      try {
        const { isComplete } = await listOutputs(deps, session, volume, new AbortController().signal);
        if (isComplete) await clearOutputsDue(db, sessionId, mark);
      } catch (error) {
        // Gone with the session that was deleted meanwhile.
        if ((await readOutputsDue(db, sessionId)) !== null) throw error;
      }
    },
  };
}
