import { describe, expect } from "vitest";
import { endedWell, inOrder, letModelGoOn, newSession, sendOnce, sessionWith, untilModelHolds } from "./client-parts.ts";
import { matrixTest } from "./matrix-test.ts";

describe("what was acknowledged is there after a SIGKILL, and what was not is there whole or not at all", () => {
  matrixTest("a session that is created with its first message, and messages that queue up behind a turn", async (matrix) => {
    const created = await matrix.pointsOf({ parts: [sessionWith("only talk")], check: endedWell });
    const queued = await matrix.pointsOf({
      prepare: inOrder(newSession("free"), untilModelHolds("only talk", "asked")),
      parts: [inOrder(sendOnce("also, only talk", "and then, only talk"), letModelGoOn())],
      check: endedWell,
    });
    expect(created.length).toBeGreaterThanOrEqual(2 * 4);
    expect(queued.length).toBeGreaterThanOrEqual(2 * 4);
    await matrix.hitAll([...created, ...queued]);
  });
});
