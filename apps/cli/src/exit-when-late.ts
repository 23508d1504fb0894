import { EXIT, type Output } from "./command.ts";

/** A stop takes some 40 s at most: requests, turns, what turns have open, Postgres. Nothing is lost by ending in the middle: what is acknowledged is in the database. */
export const STOP_MS_MAX = 60_000;

/**
 * Whatever hangs, also in a start that was not over: a server that was told to stop is gone after this time, and says
 * what it waited for. Does not keep the process alive.
 * @param afterMs for tests, like `exit`
 */
export function exitWhenLate(
  stderr: Output["stderr"],
  afterMs = STOP_MS_MAX,
  exit: (code: number) => void = (code) => process.exit(code),
): void {
  const late = (): void => {
    const open = process.getActiveResourcesInfo().join(", ");
    stderr.write(`sandbox0 did not stop in ${afterMs / 1000} s and ends now; still open: ${open}\n`);
    exit(EXIT.failed);
  };
  setTimeout(late, afterMs).unref();
}
