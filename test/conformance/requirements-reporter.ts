import type { Reporter, TestModule } from "vitest/node";
import "./fixture/verifies.ts";
import { REQUIREMENTS } from "./requirements.ts";

/** Ends a run of the conformance suite with one line, `requirements N, pass N`, and names those that do not hold. */
export default class RequirementsReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const cited = new Set<string>();
    const broken = new Set<string>();
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        for (const id of test.meta().requirements ?? []) {
          cited.add(id);
          const isKnownFailure = test.options.fails === true;
          if (test.result().state !== "passed" || isKnownFailure) broken.add(id);
        }
      }
    }
    if (cited.size === 0) return;
    const ids = Object.keys(REQUIREMENTS);
    const passing = ids.filter((id) => cited.has(id) && !broken.has(id));
    const failing = ids.filter((id) => broken.has(id));
    const notRun = ids.length - passing.length - failing.length;
    process.once("exit", () => {
      if (failing.length > 0) console.log(`requirements that do not hold: ${failing.join(", ")}`);
      console.log(`requirements ${ids.length}, pass ${passing.length}${notRun > 0 ? ` (${notRun} not run)` : ""}`);
    });
  }
}
