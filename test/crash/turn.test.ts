import { describe, expect } from "vitest";
import { endedWell, newSession, sendOnce } from "./client-parts.ts";
import { matrixTest } from "./matrix-test.ts";
import { message } from "./stage.ts";

/** The turn of the issue: bash with an effect, then write. */
const inTurn = { prepare: newSession("free"), parts: [sendOnce(message("one after the other"))], check: endedWell };
const atOnce = { prepare: newSession("free"), parts: [sendOnce(message("both at once"))], check: endedWell };

describe.concurrent("a turn with two tool calls goes on after a SIGKILL", () => {
  matrixTest("before and after every commit, one call after the other", async (matrix) => {
    // Admission, claim, response, volume, result, request, response, result, request, response, settlement.
    expect(await matrix.hitEveryStatement(inTurn)).toBe(11);
  });

  matrixTest("before and after every commit, both calls at once; at every model request", async (matrix) => {
    expect(await matrix.hitEveryStatement(atOnce)).toBeGreaterThanOrEqual(9);
    expect(await matrix.hitEveryModelRequest(inTurn)).toBe(3);
  });

  matrixTest("while a tool runs, before its effect and after it", async (matrix) => {
    for (const script of ["wait, then the effect", "the effect, then wait"]) {
      const scenario = { prepare: newSession("free"), parts: [sendOnce(message(script))], check: endedWell };
      expect(await matrix.run(scenario, { kind: "tool" })).toBe("while the tool runs");
    }
  });
});
