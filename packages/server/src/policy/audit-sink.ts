import { randomUUID } from "node:crypto";
import type { AuditRow, AuditSink } from "@sandbox0/egress";
import { deleteEgressRows, insertEgressRows, type NewEgressRow } from "../store/egress-audit.ts";
import type { Queryable } from "../store/query.ts";
import { createRowQueue } from "../store/row-queue.ts";

/** How long rows are kept. */
export const AUDIT_RETENTION_MS = 30 * 24 * 60 * 60_000;
const SWEEP_MS = 10 * 60_000;
const SWEEP_ROWS_MAX = 10_000;
/** Refusals of one sandbox in a minute that get a row each: a loop that tries one door all day must not fill the disk. */
export const DENIALS_A_MINUTE_MAX = 600;
const MINUTE_MS = 60_000;

export interface AuditSinkOptions {
  db: Queryable;
  /** For rows of connections that nothing was decided for. */
  sessionOf(sandboxId: string): string | null;
  onError(error: unknown): void;
}

export interface DurableAuditSink extends AuditSink {
  /** Rows that were lost since the start. */
  dropped(): number;
  /** Resolves when everything recorded before is written. */
  flush(): Promise<void>;
  /** Removes rows that were there for `AUDIT_RETENTION_MS`; the sink does so by itself now and then. */
  removeOld(now: Date): Promise<void>;
  close(): Promise<void>;
}

/** Writes the gateway's rows to Postgres in batches, away from any request, and removes old ones. */
export function createAuditSink({ db, sessionOf, onError }: AuditSinkOptions): DurableAuditSink {
  const queue = createRowQueue<NewEgressRow>((rows) => insertEgressRows(db, rows), onError);
  const summarise = createDenialLimit();
  let isClosed = false;
  const removeOld = async (now: Date): Promise<void> => {
    const olderThan = new Date(now.getTime() - AUDIT_RETENTION_MS);
    // Some at a time: nobody shall wait for a lock of this.
    while (!isClosed && (await deleteEgressRows(db, olderThan, SWEEP_ROWS_MAX)) === SWEEP_ROWS_MAX);
  };
  const sweep = setInterval(() => void removeOld(new Date()).catch(onError), SWEEP_MS);
  sweep.unref();
  return {
    record(row) {
      const kept = summarise(row);
      if (kept !== null) queue.add({ ...kept, sessionId: kept.sessionId ?? sessionOf(kept.sandboxId), key: randomUUID() });
    },
    dropped: queue.dropped,
    flush: queue.flush,
    removeOld,
    close: async () => {
      isClosed = true;
      clearInterval(sweep);
      await queue.close();
    },
  };
}

/** The first refusal of a minute that is too many stands for all that follow, as `more_denials`; what went out is never left out. */
function createDenialLimit(): (row: AuditRow) => AuditRow | null {
  let minute = 0;
  const counts = new Map<string, number>();
  return (row) => {
    if (row.verdict !== "denied") return row;
    const now = Math.floor(row.at.getTime() / MINUTE_MS);
    if (now !== minute) counts.clear();
    minute = now;
    const count = (counts.get(row.sandboxId) ?? 0) + 1;
    counts.set(row.sandboxId, count);
    if (count <= DENIALS_A_MINUTE_MAX) return row;
    return count === DENIALS_A_MINUTE_MAX + 1 ? { ...row, reason: "more_denials" } : null;
  };
}
