import { setTimeout as sleep } from "node:timers/promises";
import { DatabaseUnavailable } from "./database-error.ts";

/** Rows that wait for the database; more are dropped, and counted. */
export const ROW_QUEUE_MAX = 20_000;
const BATCH_ROWS_MAX = 500;
/** Before a batch that the database did not take is tried again. */
const RETRY_MS = 1_000;

/** Writes rows away from who has them: what comes while a batch is written goes with the next one. */
export interface RowQueue<Row> {
  /** Never blocks and never throws. */
  add(row: Row): void;
  /** Resolves when all rows so far are written or dropped. Waits for a database that is away. */
  flush(): Promise<void>;
  /** Writes what waits, once: what the database does not take now is lost. */
  close(): Promise<void>;
  /** Rows lost since the start. */
  dropped(): number;
}

/** @param write writes a batch; rejects with `DatabaseUnavailable` for another try, with anything else to drop the batch */
export function createRowQueue<Row>(
  write: (rows: readonly Row[]) => Promise<void>,
  onError: (error: unknown) => void,
): RowQueue<Row> {
  const queue: Row[] = [];
  const closing = new AbortController();
  let writing: Promise<void> | null = null;
  let dropped = 0;

  const writeAll = async (): Promise<void> => {
    while (queue.length > 0) {
      const batch = queue.slice(0, BATCH_ROWS_MAX);
      try {
        await write(batch);
        queue.splice(0, batch.length);
      } catch (error) {
        onError(error);
        // Rows that it refuses would be refused again, and hold up all others.
        if (!(error instanceof DatabaseUnavailable) || closing.signal.aborted) dropped += queue.splice(0, batch.length).length;
        else await sleep(RETRY_MS, undefined, { signal: closing.signal, ref: false }).catch(() => undefined);
      }
    }
    writing = null;
  };

  return {
    add(row) {
      if (queue.length >= ROW_QUEUE_MAX || closing.signal.aborted) dropped += 1;
      else queue.push(row);
      writing ??= queue.length > 0 ? writeAll() : null;
    },
    flush: async () => {
      await writing;
    },
    close: async () => {
      closing.abort();
      await writing;
    },
    dropped: () => dropped,
  };
}
