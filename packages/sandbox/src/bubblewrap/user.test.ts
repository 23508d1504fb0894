import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import type { CaseReport } from "../testing/run-conformance.ts";

const run = promisify(execFile);
const SCRIPT = fileURLToPath(new URL("../testing/run-conformance.ts", import.meta.url));
/** Nobody's: it has no account and owns nothing. */
const USER = 54_321;
/** A home has to be named: nobody's account is there to say where it is. */
const ENV = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", HOME: "/nonexistent" };
const SUITE_TIMEOUT_MS = 600_000;

/** Root can try how it is for a user; a user has tried it already, in the conformance test itself. */
const isRoot = process.getuid?.() === 0;
const asUser = ["setpriv", `--reuid=${USER}`, `--regid=${USER}`, "--clear-groups"];
const canRead =
  isRoot &&
  (await run("setpriv", [...asUser.slice(1), "test", "-r", SCRIPT]).then(
    () => true,
    () => false,
  ));

describe.skipIf(!canRead)("bubblewrap conforms for a user who is not root", () => {
  test("every case", { timeout: SUITE_TIMEOUT_MS }, async () => {
    const [file = "", ...args] = [...asUser, process.execPath, SCRIPT];
    const { stdout } = await run(file, args, { env: ENV, timeout: SUITE_TIMEOUT_MS });
    const reports = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as CaseReport);
    expect(reports.filter(({ error }) => error !== null)).toEqual([]);
    expect(reports.filter(({ skipped }) => skipped === null).length).toBeGreaterThan(35);
  });
});
