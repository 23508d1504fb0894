import { setTimeout as delay } from "node:timers/promises";
import { inspect } from "node:util";

const TIMEOUT_MS = 120_000;
const POLL_MS = 10;

export interface UntilOptions {
  /** Default 120 s: a loaded machine must still pass. */
  timeoutMs?: number;
  /** What is waited for, for the failure message; a function is asked at the time of failure and may show the state then. */
  describe?: string | (() => unknown);
}

/**
 * Waits until `condition` gives something truthy and returns it. A rejection counts as "not yet".
 * @throws Error that says what was waited for, how long, and the last value or error
 */
export async function until<T>(
  condition: () => T | Promise<T>,
  options: UntilOptions = {},
): Promise<Exclude<T, undefined | null | false | 0 | "">> {
  const { timeoutMs = TIMEOUT_MS, describe } = options;
  const deadline = performance.now() + timeoutMs;
  let last = "";
  let cause: unknown;
  for (;;) {
    try {
      const value = await condition();
      if (value) return value as Exclude<T, undefined | null | false | 0 | "">;
      last = `it was ${inspect(value)}`;
      cause = undefined;
    } catch (error) {
      last = `it threw ${error instanceof Error ? error.message : inspect(error)}`;
      cause = error;
    }
    if (performance.now() > deadline) break;
    await delay(POLL_MS);
  }
  const what = typeof describe === "function" ? inspect(describe(), { depth: 6 }) : (describe ?? String(condition));
  throw new Error(`waited ${timeoutMs} ms for: ${what}\nlast look: ${last}`, cause === undefined ? undefined : { cause });
}
