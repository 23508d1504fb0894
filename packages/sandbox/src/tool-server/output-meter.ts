import { setTimeout as delay } from "node:timers/promises";

/** What a command may print before its output is metered: all but a few print less. */
export const UNMETERED_BYTES = 1024 * 1024;
/** Output of all sandboxes together, beyond that; reading it takes the server's one thread about 1 ms for 2 MB. */
export const METERED_BYTES_PER_SECOND = 96 * 1024 * 1024;
const BURST_SECONDS = 0.1;

/**
 * Keeps commands that print without end from taking the server's thread away from everybody else: their pipes are simply
 * read more slowly. One meter serves all tool clients of a process.
 */
export class OutputMeter {
  /** When all that has been let through is paid for. */
  #paidAtMs = 0;

  /** @param alreadyBytes what the command has printed before */
  async take(bytes: number, alreadyBytes: number): Promise<void> {
    if (alreadyBytes + bytes <= UNMETERED_BYTES) return;
    const nowMs = performance.now();
    this.#paidAtMs = Math.max(this.#paidAtMs, nowMs) + (bytes / METERED_BYTES_PER_SECOND) * 1000;
    const aheadMs = this.#paidAtMs - nowMs - BURST_SECONDS * 1000;
    if (aheadMs > 0) await delay(aheadMs);
  }
}
