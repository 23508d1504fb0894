import { TurnStopped } from "@sandbox0/harness";
import type { EventLog } from "../log/event-log.ts";
import { LeaseLost, type SessionWrite, type Written } from "../store/append.ts";
import { DatabaseUnavailable } from "../store/database-error.ts";
import { type HeldTurn, stopTurn } from "./turn.ts";

/** A write of the turn, without what every one of them has. */
export type TurnWrite = (part: Omit<SessionWrite, "sessionId" | "threadId" | "generation">) => Promise<Written>;

/** Writes of a turn: fenced, and they end it when it must end. @throws TurnStopped */
export function turnWriter(log: EventLog, turn: HeldTurn): TurnWrite {
  return async (part) => {
    try {
      const written = await log.append({
        ...part,
        sessionId: turn.sessionId,
        threadId: turn.threadId,
        generation: turn.generation,
      });
      if (written.interrupted) stopTurn(turn, "interrupted");
      return written;
    } catch (error) {
      // Whether it was written is not known, or it is no longer ours to write: the log tells the next holder.
      if (!(error instanceof LeaseLost || error instanceof DatabaseUnavailable)) throw error;
      stopTurn(turn, "lease_lost");
      throw new TurnStopped("lease_lost");
    }
  };
}
