import type { Reporter, TestCase, TestModule } from "vitest/node";

/** Of an error: enough to know it again. */
const MESSAGE_CHARS_MAX = 300;

/**
 * Ends a test run with plain lines, for scripts that read no colours and for logs of which only the end is kept: one
 * for everything that failed, then `N passed, N failed`.
 */
export default class CountReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    let passed = 0;
    // An error outside any test (a broken file, a rejection nobody awaited) fails the run like a test does.
    const failed = unhandledErrors.map((error) => `outside any test: ${textOf(error)}`);
    for (const module of modules) {
      failed.push(...module.errors().map((error) => `${module.relativeModuleId}: ${textOf(error)}`));
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === "passed") passed += 1;
        else if (state === "failed") failed.push(`${module.relativeModuleId} > ${test.fullName}: ${errorsOf(test)}`);
      }
    }
    process.once("exit", () => {
      for (const line of failed) console.log(`failed: ${line}`);
      console.log(`${passed} passed, ${failed.length} failed`);
    });
  }
}

function errorsOf(test: TestCase): string {
  return (test.result().errors ?? []).map(textOf).join(" | ");
}

/** One line. Of a comparison also what was expected and what came: the message of most names neither in full. */
function textOf(error: unknown): string {
  const { message, expected, actual } = error as { message?: unknown; expected?: unknown; actual?: unknown };
  const said = String(message ?? error);
  const compared = expected === undefined && actual === undefined ? "" : ` (expected ${String(expected)}, got ${String(actual)})`;
  return `${said}${compared}`.replaceAll(/\s+/g, " ").slice(0, MESSAGE_CHARS_MAX);
}
