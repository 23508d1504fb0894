import { describe, expect } from "vitest";
import { answer, endedWell, INTERRUPT, inOrder, newSession, sendOnce, sessionWith, untilModelHolds } from "./client-parts.ts";
import { matrixTest } from "./matrix-test.ts";

describe("the server loses its connections to Postgres and lives on", () => {
  matrixTest(
    "before and after every commit",
    async (matrix) => {
      const inTurn = await matrix.pointsOf({
        prepare: newSession("free"),
        parts: [sendOnce("one after the other")],
        check: endedWell,
      });
      const waiting = await matrix.pointsOf({
        prepare: newSession("asking"),
        parts: [sendOnce("ask the client"), answer("bash"), answer("lookup")],
        check: endedWell,
      });
      const interrupted = await matrix.pointsOf({
        prepare: inOrder(newSession("free"), untilModelHolds("one after the other", "answering")),
        parts: [sendOnce(INTERRUPT, "only talk")],
      });
      const created = await matrix.pointsOf({ parts: [sessionWith("only talk")], check: endedWell });
      expect(inTurn).toHaveLength(2 * 14 + 2 * 3);
      await matrix.hitAll([...inTurn, ...waiting, ...interrupted, ...created]);
    },
    { blow: "disconnect" },
  );
});
