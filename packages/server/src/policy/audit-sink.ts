import type { AuditSink } from "@sandbox0/egress";
import { deleteEgressRows, insertEgressRows } from "../store/egress-audit.ts";
import type { Queryable } from "../store/query.ts";
import { createRowQueue } from "./row-queue.ts";

/** How long rows are kept. */
export const AUDIT_RETENTION_MS = 30 * 24 * 60 * 60_000;
const SWEEP_MS = 10 * 60_000;
const SWEEP_ROWS_MAX = 10_000;

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
  const queue = createRowQueue<Parameters<AuditSink["record"]>[0]>((rows) => insertEgressRows(db, rows), onError);
  let isClosed = false;
  const removeOld = async (now: Date): Promise<void> => {
    const olderThan = new Date(now.getTime() - AUDIT_RETENTION_MS);
    // Some at a time: nobody shall wait for a lock of this.
    while (!isClosed && (await deleteEgressRows(db, olderThan, SWEEP_ROWS_MAX)) === SWEEP_ROWS_MAX);
  };
  const sweep = setInterval(() => void removeOld(new Date()).catch(onError), SWEEP_MS);
  sweep.unref();
  return {
    record: (row) => queue.add(row.sessionId === null ? { ...row, sessionId: sessionOf(row.sandboxId) } : row),
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
