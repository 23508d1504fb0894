/**
 * Runs the bubblewrap driver's conformance suite in a process of its own and prints a JSON line a case, so that a test
 * that runs as root can have it run as a user: `setpriv --reuid=<uid> … node run-conformance.ts`.
 */
import { createBubblewrapDriver } from "../bubblewrap/driver.ts";
import { openSandboxConformance } from "./conformance.ts";

export interface CaseReport {
  name: string;
  skipped: string | null;
  error: string | null;
}

const suite = await openSandboxConformance((dir, programs) => createBubblewrapDriver({ dir, programs }));
try {
  for (const { name, skipped, run } of suite.cases) {
    const error =
      skipped === null
        ? await run().then(
            () => null,
            (reason: unknown) => String(reason),
          )
        : null;
    const report: CaseReport = { name, skipped, error };
    console.log(JSON.stringify(report));
  }
} finally {
  await suite.close();
}
