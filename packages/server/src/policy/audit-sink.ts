import { randomUUID } from "node:crypto";
import type { AuditRow, AuditSink } from "@sandbox0/egress";
import { deleteEgressRows, insertEgressRows, type NewEgressRow } from "../store/egress-audit.ts";
import type { Queryable } from "../store/query.ts";
import { createRowQueue } from "../store/row-queue.ts";

/** How long rows are kept. */
export const AUDIT_RETENTION_MS = 30 * 24 * 60 * 60_000;
const SWEEP_MS = 10 * 60_000;
const SWEEP_ROWS_MAX = 10_000;
/** Rows of one sandbox in a minute; what comes beyond is summed: a loop that runs all day must not fill the disk. */
export const ROWS_A_MINUTE_MAX: Readonly<Record<AuditRow["verdict"], number>> = { allowed: 1_200, denied: 600, failed: 600 };
/** Sums of one sandbox in a minute: the hosts beyond share one more, for under a wildcard there is no end of names. */
export const SUMS_A_MINUTE_MAX = 100;
/** Uses of credentials in a minute that have a row and a sum of their own: of those beyond, the hosts share one. */
export const USES_A_MINUTE_MAX = 1_200;
const SUM_REASONS: Readonly<Record<AuditRow["verdict"], string>> = {
  allowed: "more_requests",
  denied: "more_denials",
  failed: "more_failures",
};
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
  const add = (row: AuditRow): void => queue.add({ ...row, key: randomUUID() });
  const limit = createRowLimit(add);
  let isClosed = false;
  const removeOld = async (now: Date): Promise<void> => {
    const olderThan = new Date(now.getTime() - AUDIT_RETENTION_MS);
    // Some at a time: nobody shall wait for a lock of this.
    while (!isClosed && (await deleteEgressRows(db, olderThan, SWEEP_ROWS_MAX)) === SWEEP_ROWS_MAX);
  };
  const timers = [
    setInterval(() => void removeOld(new Date()).catch(onError), SWEEP_MS).unref(),
    setInterval(limit.endMinute, MINUTE_MS).unref(),
  ];
  return {
    record: (row) => {
      // No sum would be written any more: the queue counts what comes now as lost.
      const record = isClosed ? add : limit.record;
      record({ ...row, sessionId: row.sessionId ?? sessionOf(row.sandboxId) });
    },
    dropped: queue.dropped,
    flush: () => {
      limit.writeSums();
      return queue.flush();
    },
    removeOld,
    close: async () => {
      isClosed = true;
      for (const timer of timers) clearInterval(timer);
      limit.writeSums();
      await queue.close();
    },
  };
}

/** What one sandbox had in the minute that runs. */
interface Minute {
  rows: Record<AuditRow["verdict"], number>;
  /** Uses of credentials that have a row although there were too many. */
  uses: Set<string>;
  sums: Sums;
  /** Of those uses. */
  useSums: Sums;
  /** Of the uses beyond, by their credentials. */
  moreUses: Sums;
}

type Sums = Map<string, AuditRow>;

const newMinute = (): Minute => ({
  rows: { allowed: 0, denied: 0, failed: 0 },
  uses: new Set(),
  sums: new Map(),
  useSums: new Map(),
  moreUses: new Map(),
});

interface RowLimit {
  record(row: AuditRow): void;
  /** Those so far. */
  writeSums(): void;
  endMinute(): void;
}

/**
 * Sums the rows of a minute that are too many, with all their bytes: what went out, or used a credential, by host, port and
 * credentials; what did not go out in one row for all hosts. No number of rows hides that a credential was used: the first
 * use at a host has a row at once, and of uses at hosts without end the credentials have one. A minute is one of the timer,
 * for rows come late and with the time of their start.
 */
function createRowLimit(write: (row: AuditRow) => void): RowLimit {
  const sandboxes = new Map<string, Minute>();
  const writeSums = (): void => {
    for (const { sums, useSums, moreUses } of sandboxes.values()) {
      for (const part of [sums, useSums, moreUses]) {
        for (const sum of part.values()) write(sum);
        part.clear();
      }
    }
  };
  return {
    record(row) {
      const { verdict, sandboxId } = row;
      const minute = sandboxes.get(sandboxId) ?? newMinute();
      sandboxes.set(sandboxId, minute);
      minute.rows[verdict] += 1;
      if (minute.rows[verdict] <= ROWS_A_MINUTE_MAX[verdict]) write(row);
      else if (row.credentialIds.length > 0) addUse(minute, row, write);
      else addRequest(minute, row);
    },
    writeSums,
    endMinute() {
      writeSums();
      sandboxes.clear();
    },
  };
}

function addRequest({ sums }: Minute, row: AuditRow): void {
  const { verdict, sessionId, host, port } = row;
  const own = JSON.stringify([verdict, sessionId, host, port]);
  if (verdict === "allowed" && (sums.has(own) || sums.size < SUMS_A_MINUTE_MAX)) addTo(sums, own, row);
  else addTo(sums, JSON.stringify([verdict, sessionId]), withoutHost(row));
}

function addUse({ uses, useSums, moreUses }: Minute, row: AuditRow, write: (row: AuditRow) => void): void {
  const { verdict, sessionId, host, port } = row;
  const credentialIds = row.credentialIds.toSorted();
  const own = JSON.stringify([verdict, sessionId, host, port, ...credentialIds]);
  if (uses.has(own)) {
    addTo(useSums, own, row);
  } else if (uses.size < USES_A_MINUTE_MAX) {
    uses.add(own);
    write(row);
  } else {
    const together = JSON.stringify([verdict, sessionId, ...credentialIds]);
    // A few credentials have many subsets: those beyond share a row that names all of them.
    const key = moreUses.has(together) || moreUses.size < SUMS_A_MINUTE_MAX ? together : JSON.stringify([verdict, sessionId]);
    addTo(moreUses, key, withoutHost({ ...row, credentialIds }));
  }
}

const withoutHost = (row: AuditRow): AuditRow => ({ ...row, host: null, port: null });

function addTo(sums: Sums, key: string, row: AuditRow): void {
  const sum = sums.get(key);
  sums.set(key, sum ? sumOf(sum, row) : { ...row, reason: SUM_REASONS[row.verdict] });
}

/** From the first start to the last end. */
function sumOf(sum: AuditRow, row: AuditRow): AuditRow {
  const startMs = Math.min(sum.at.getTime(), row.at.getTime());
  const endMs = Math.max(sum.at.getTime() + sum.durationMs, row.at.getTime() + row.durationMs);
  const [bytesOut, bytesIn] = [sum.bytesOut + row.bytesOut, sum.bytesIn + row.bytesIn];
  const credentialIds = [...new Set([...sum.credentialIds, ...row.credentialIds])];
  return { ...sum, at: new Date(startMs), durationMs: endMs - startMs, bytesOut, bytesIn, credentialIds };
}
