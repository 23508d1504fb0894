import type { Head } from "../domain/head.ts";
import { type SessionWrite, type Written, writeSession } from "../store/append.ts";
import { readTranscript, type TranscriptRow, transcriptOf } from "../store/events.ts";
import { claimLease } from "../store/leases.ts";
import type { Database } from "../store/pool.ts";
import type { Queryable } from "../store/query.ts";
import { lockHead, type Pending, readPending } from "../store/session-state.ts";
import { readTurnSession, type TurnSession } from "../store/sessions.ts";
import type { Bells } from "./bells.ts";
import type { FreshEvents } from "./fresh-events.ts";

/** A write to the session that is locked. */
export type LockedWrite = Omit<SessionWrite, "sessionId">;

/** A session under its row lock: read, decide, write, all in one transaction. */
export interface LockedSession extends Pending {
  head: Head;
  tx: Queryable;
  /** Once, and last: the commit leaves with it. */
  write(write: LockedWrite): Promise<Written>;
}

/** What the harness goes on from, read with the claim: the log as far as it is written, what `decide` writes included. */
export interface TurnMemory {
  /** `null`: it is too large for any model. */
  transcript: TranscriptRow[] | null;
}

export interface EventLog {
  /** One statement, one commit. @throws LeaseLost */
  append(write: SessionWrite): Promise<Written>;
  /**
   * Locks the session for `decide`, which sees its calls without a result and those named in `callIds`. Answers `null`,
   * without calling it, when there is no such session; with a `workspaceId`, also for one of another, which is left alone.
   */
  locked<T>(
    session: { sessionId: string; workspaceId: string | null; callIds?: readonly string[] },
    decide: (session: LockedSession) => Promise<T>,
  ): Promise<T | null>;
  /** Takes the lease and decides, in one transaction. `null`: nothing to do, or another node was first. */
  claimed<T>(
    sessionId: string,
    lease: { nodeId: number; ttlMs: number },
    decide: (session: LockedSession & { row: TurnSession; memory: TurnMemory }) => Promise<T>,
  ): Promise<T | null>;
  /** For a transaction of one's own, such as the one that creates the session: ring after the commit. */
  ring(write: SessionWrite, written: Written): void;
}

/** @param fresh for the streams of this process, if it has any */
export function createEventLog(db: Database, bells: Bells, fresh?: FreshEvents): EventLog {
  const ring = (write: SessionWrite, written: Written): void => {
    if (write.events?.length) {
      if (!write.takesBack) fresh?.add(write.sessionId, write.events, written);
      bells.logged(write.sessionId, written.seq);
    }
    if (write.patch?.interrupted && written.leased) bells.interrupt(write.sessionId, written.inboxPosition);
    if (write.patch?.wake === "now") bells.wake(write.sessionId);
  };
  /** Lock and reads leave together: the server runs them in order, so what is read is what the lock protects. */
  const underLock = async <Lock extends { head: Head }, T>(
    { sessionId, workspaceId, callIds }: { sessionId: string; workspaceId: string | null; callIds: readonly string[] },
    lock: (tx: Queryable) => Promise<Lock | null>,
    decide: (session: LockedSession & Lock) => Promise<T>,
  ): Promise<T | null> => {
    let rung: [SessionWrite, Written] | undefined;
    const decided = await db.transaction(async (tx) => {
      rung = undefined;
      const [locked, pending] = await Promise.all([lock(tx), readPending(tx, sessionId, callIds, workspaceId)]);
      if (!locked || !pending) return null;
      const write = async (part: LockedWrite): Promise<Written> => {
        const whole = { ...part, sessionId };
        const written = await writeSession({ query: tx.last }, whole);
        rung = [whole, written];
        return written;
      };
      return { value: await decide({ ...locked, ...pending, tx, write }) };
    });
    if (rung) ring(...rung);
    return decided ? decided.value : null;
  };
  return {
    ring,
    async append(write) {
      const written = await db.grouped(write.sessionId, (one) => writeSession(one, write));
      ring(write, written);
      return written;
    },
    locked({ sessionId, workspaceId, callIds = [] }, decide) {
      const lock = async (tx: Queryable) => {
        const head = await lockHead(tx, sessionId, workspaceId);
        return head && { head };
      };
      return underLock({ sessionId, workspaceId, callIds }, lock, decide);
    },
    claimed(sessionId, { nodeId, ttlMs }, decide) {
      const lock = async (tx: Queryable) => {
        const [head, row, transcript] = await Promise.all([
          claimLease(tx, sessionId, nodeId, ttlMs),
          readTurnSession(tx, sessionId),
          readTranscript(tx, sessionId, nodeId),
        ]);
        return head && row && { head, row, memory: { transcript } };
      };
      return underLock({ sessionId, workspaceId: null, callIds: [] }, lock, ({ write, ...session }) => {
        const remember = async (part: LockedWrite): Promise<Written> => {
          const written = await write(part);
          session.memory.transcript?.push(...transcriptOf(part.events ?? [], written.at));
          return written;
        };
        return decide({ ...session, write: remember });
      });
    },
  };
}
