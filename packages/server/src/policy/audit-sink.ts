import type { AuditRow, AuditSink } from "@sandbox0/egress";
import { DatabaseUnavailable } from "../store/database-error.ts";
import { deleteEgressRows, insertEgressRows } from "../store/egress-audit.ts";
import type { Queryable } from "../store/query.ts";

/** Rows that wait for the database; more are dropped, and counted. */
export const AUDIT_QUEUE_MAX = 20_000;
const BATCH_ROWS_MAX = 1_000;
/** How long a row may wait for others to be written with. */
const BATCH_MS = 250;
/** Before a batch that the database did not take is tried again. */
const RETRY_MS = 1_000;
/** How long rows are kept. */
export const AUDIT_RETENTION_MS = 30 * 24 * 60 * 60_000;
const SWEEP_MS = 10 * 60_000;
const SWEEP_ROWS_MAX = 10_000;

export interface AuditSinkOptions {
  db: Queryable;
  /** For rows that were written before anything was decided. */
  sessionOf(sandboxId: string): string | null;
  onError(error: unknown): void;
  retentionMs?: number;
  now?: () => Date;
}

export interface DurableAuditSink extends AuditSink {
  /** Rows that were dropped since the start. */
  dropped(): number;
  /** Resolves when everything recorded before is written, or has been tried. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

/** Writes the gateway's rows to Postgres in batches, away from any request, and removes old ones. */
export function createAuditSink(options: AuditSinkOptions): DurableAuditSink {
  return new Sink(options);
}

class Sink implements DurableAuditSink {
  readonly #options: AuditSinkOptions;
  readonly #queue: AuditRow[] = [];
  readonly #sweep: NodeJS.Timeout;
  #timer: NodeJS.Timeout | null = null;
  #writing: Promise<void> | null = null;
  #dropped = 0;
  #isClosed = false;

  constructor(options: AuditSinkOptions) {
    this.#options = options;
    this.#sweep = setInterval(() => void this.#removeOld().catch(options.onError), SWEEP_MS);
    this.#sweep.unref();
  }

  record(row: AuditRow): void {
    if (this.#queue.length >= AUDIT_QUEUE_MAX) {
      this.#dropped++;
      return;
    }
    this.#queue.push(row.sessionId === null ? { ...row, sessionId: this.#options.sessionOf(row.sandboxId) } : row);
    this.#writeIn(BATCH_MS);
  }

  dropped(): number {
    return this.#dropped;
  }

  async flush(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    for (let isGoing = true; isGoing && this.#queue.length > 0; ) isGoing = await this.#write();
    await this.#writing;
  }

  async close(): Promise<void> {
    clearInterval(this.#sweep);
    this.#isClosed = true;
    await this.flush();
    // What the database has not taken by now is lost.
    this.#dropped += this.#queue.splice(0).length;
  }

  #writeIn(ms: number): void {
    if (this.#timer !== null || this.#writing !== null || this.#isClosed) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      void this.#write();
    }, ms);
    this.#timer.unref();
  }

  /** One batch; one at a time. @returns whether it was written */
  async #write(): Promise<boolean> {
    await this.#writing;
    const batch = this.#queue.slice(0, BATCH_ROWS_MAX);
    let isWritten = false;
    this.#writing = insertEgressRows(this.#options.db, batch).then(
      () => {
        isWritten = true;
        this.#queue.splice(0, batch.length);
      },
      (error: unknown) => {
        this.#options.onError(error);
        // Rows that it refuses would be refused again, and hold up all others.
        if (!(error instanceof DatabaseUnavailable)) this.#dropped += this.#queue.splice(0, batch.length).length;
      },
    );
    await this.#writing;
    this.#writing = null;
    if (this.#queue.length > 0) this.#writeIn(isWritten ? 0 : RETRY_MS);
    return isWritten;
  }

  async #removeOld(): Promise<void> {
    const { db, retentionMs = AUDIT_RETENTION_MS, now = () => new Date() } = this.#options;
    const olderThan = new Date(now().getTime() - retentionMs);
    while (!this.#isClosed && (await deleteEgressRows(db, olderThan, SWEEP_ROWS_MAX)) === SWEEP_ROWS_MAX);
  }
}
