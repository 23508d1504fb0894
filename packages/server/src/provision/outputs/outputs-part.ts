import type { Volume } from "@sandbox0/sandbox";
import { areOutputsDue, changeOutputsNotice, clearOutputsDue, markOutputsDue } from "../../store/session-outputs.ts";
import type { ProvisionPart, ProvisionSession } from "../port.ts";
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
  const list = async (session: ProvisionSession, volume: Volume, signal: AbortSignal): Promise<string | null> => {
    const { isComplete, notice } = await listOutputs(deps, session, volume, signal);
    if (isComplete) await clearOutputsDue(db, session.sessionId);
    else if (signal.aborted) unfinished.add(session.sessionId);
    return notice;
  };
  return {
    name: "outputs",
    fill: ({ sessionId }) => markOutputsDue(db, sessionId),
    isEager: ({ sessionId }) => areOutputsDue(db.reads, sessionId),
    async beforeIdle(session, volume) {
      const { sessionId } = session;
      unfinished.delete(sessionId);
      const signal = session.signal.aborted ? AbortSignal.timeout(STOPPED_MS_MAX) : session.signal;
      const message = await list(session, volume, signal);
      if (!(await changeOutputsNotice(db, sessionId, message)) || message === null) return;
      await session.report({ type: "unknown_error", message, retry_status: { type: "retrying" } });
    },
    async atRest(session, volume) {
      if (!unfinished.delete(session.sessionId)) return;
      try {
        await list(session, volume, new AbortController().signal);
      } catch (error) {
        // Gone with the session that was deleted meanwhile.
        if (await areOutputsDue(db, session.sessionId)) throw error;
      }
    },
  };
}
