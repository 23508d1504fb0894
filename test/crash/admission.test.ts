import { describe, expect } from "vitest";
import { endedWell, inOrder, letModelGoOn, newSession, sendOnce, sessionWith, untilModelHolds } from "./client-parts.ts";
import { matrixTest } from "./matrix-test.ts";
import { message } from "./stage.ts";

describe.concurrent("what was acknowledged is there after a SIGKILL, and what was not is there whole or not at all", () => {
  matrixTest("a session that is created with its first message", async (matrix) => {
    expect(await matrix.hitEveryStatement({ parts: [sessionWith("only talk")], check: endedWell })).toBeGreaterThanOrEqual(4);
  });

  matrixTest("messages that queue up behind a turn", async (matrix) => {
    const scenario = {
      prepare: inOrder(newSession("free"), untilModelHolds("only talk", "asked")),
      parts: [inOrder(sendOnce(message("also, only talk"), message("and then, only talk")), letModelGoOn())],
      check: endedWell,
    };
    expect(await matrix.hitEveryStatement(scenario)).toBeGreaterThanOrEqual(4);
  });
});
