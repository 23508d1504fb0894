import { describe, expect } from "vitest";
import { endedWell, newSession, sendOnce } from "./client-parts.ts";
import type { Run, Scenario } from "./kill-matrix.ts";
import { matrixTest } from "./matrix-test.ts";
import type { ScriptName } from "./model.ts";

const turnWith = (script: ScriptName): Scenario => ({ prepare: newSession("free"), parts: [sendOnce(script)], check: endedWell });
const inTool = (script: ScriptName): Run => ({ scenario: turnWith(script), point: { kind: "tool" } });

describe("a turn with two tool calls goes on after a SIGKILL", () => {
  matrixTest(
    "before and after every statement, in every model request, in a tool before and after its effect",
    async (matrix) => {
      const commits = await matrix.pointsOf(turnWith("one after the other"));
      // Admission, claim, response, volume used, volume taken, outputs due, result, request, response, result, request,
      // response, outputs looked at, settlement: before and after each. Three requests to the model: before the first byte and
      // in the middle of each.
      expect(commits).toHaveLength(2 * 14 + 2 * 3);
      const all = await matrix.pointsOf(turnWith("one after the other"), "all");
      expect(all.length).toBeGreaterThan(commits.length);
      await matrix.hitAll([...all, inTool("wait, then the effect"), inTool("the effect, then wait")]);
    },
  );

  matrixTest("before and after every commit when both calls run at once", async (matrix) => {
    const runs = await matrix.pointsOf(turnWith("both at once"));
    expect(runs.length).toBeGreaterThan(2 * 8);
    await matrix.hitAll(runs);
  });
});
