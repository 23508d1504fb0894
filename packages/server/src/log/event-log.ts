import type { Head, InboxRow, ToolCall } from "../domain/head.ts";
import { type SessionWrite, type Written, writeSession } from "../store/append.ts";
import type { Database } from "../store/pool.ts";
import type { Queryable } from "../store/query.ts";
import { lockHead, readCalls, readInbox, readOpenSpans } from "../store/session-state.ts";
import type { Bells } from "./bells.ts";

/** A write to the session that is locked. */
export type LockedWrite = Omit<SessionWrite, "sessionId">;

/** A session under its row lock: read, decide, write, all in one transaction. */
export interface LockedSession {
  head: Head;
  /** Calls without a result, and the named ones. */
  calls: ToolCall[];
  inbox: InboxRow[];
  openSpans: string[];
  tx: Queryable;
  write(write: LockedWrite): Promise<Written>;
}

export interface EventLog {
  /** One statement, one commit. @throws LeaseLost */
  append(write: SessionWrite): Promise<Written>;
  /** Locks the session for `decide`. Answers `null`, without calling it, when there is no such session. */
  locked<T>(sessionId: string, callIds: readonly string[], decide: (session: LockedSession) => Promise<T>): Promise<T | null>;
  /** For a transaction of one's own, such as the one that creates the session: ring after the commit. */
  ring(write: SessionWrite, written: Written): void;
}

export function createEventLog(db: Database, bells: Bells): EventLog {
  const ring = (write: SessionWrite, written: Written): void => {
    if (write.events?.length) bells.logged(write.sessionId, written.seq);
    if (write.patch?.interrupted && written.leased) bells.interrupt(write.sessionId);
    if (write.patch?.wake === "now") bells.wake(write.sessionId);
  };
  return {
    ring,
    async append(write) {
      const written = await writeSession(db, write);
      ring(write, written);
      return written;
    },
    async locked(sessionId, callIds, decide) {
      let rings: [SessionWrite, Written][] = [];
      const result = await db.transaction(async (tx) => {
        rings = [];
        const session = await lockSession(tx, sessionId, callIds, (write, written) => rings.push([write, written]));
        return session && { value: await decide(session) };
      });
      for (const [write, written] of rings) ring(write, written);
      return result ? result.value : null;
    },
  };
}

/** Lock and reads leave together: the server runs them in order, so what is read is what the lock protects. */
export async function lockSession(
  tx: Queryable,
  sessionId: string,
  callIds: readonly string[],
  onWritten: (write: SessionWrite, written: Written) => void,
): Promise<LockedSession | null> {
  const [head, calls, inbox, openSpans] = await Promise.all([
    lockHead(tx, sessionId),
    readCalls(tx, sessionId, callIds),
    readInbox(tx, sessionId),
    readOpenSpans(tx, sessionId),
  ]);
  if (!head) return null;
  return {
    head,
    calls,
    inbox,
    openSpans,
    tx,
    async write(write) {
      const whole = { ...write, sessionId };
      const written = await writeSession(tx, whole);
      onWritten(whole, written);
      return written;
    },
  };
}
