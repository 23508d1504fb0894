import { describe, expect } from "vitest";
import {
  answer,
  endedWell,
  INTERRUPT,
  inOrder,
  newSession,
  send,
  sendOnce,
  untilModelHolds,
  untilRest,
  untilToolHolds,
} from "./client-parts.ts";
import { matrixTest } from "./matrix-test.ts";

describe("a SIGKILL at every commit and in every model request", () => {
  matrixTest("while a session waits for its client, and when it is answered", async (matrix) => {
    const runs = await matrix.pointsOf({
      prepare: newSession("asking"),
      parts: [sendOnce("ask the client"), answer("bash"), answer("lookup")],
      check: endedWell,
    });
    // Until it waits; one answer of two; the other answer and the rest of the turn.
    expect(runs.length).toBeGreaterThanOrEqual(2 * 12);
    await matrix.hitAll(runs);
  });

  matrixTest("while it is interrupted: as the model answers, as a tool runs, as it waits", async (matrix) => {
    const interrupt = { parts: [sendOnce(INTERRUPT, "only talk")] };
    const asModelAnswers = await matrix.pointsOf({
      ...interrupt,
      prepare: inOrder(newSession("free"), untilModelHolds("one after the other", "answering")),
    });
    const asToolRuns = await matrix.pointsOf({
      ...interrupt,
      prepare: inOrder(newSession("free"), untilToolHolds("the effect, then wait")),
    });
    const asItWaits = await matrix.pointsOf({
      parts: [send(INTERRUPT)],
      prepare: inOrder(newSession("asking"), send("ask the client"), untilRest()),
    });
    expect(asModelAnswers.length).toBeGreaterThanOrEqual(2 * 5);
    expect(asToolRuns.length).toBeGreaterThanOrEqual(2 * 5);
    expect(asItWaits).toHaveLength(2 * 1);
    await matrix.hitAll([...asModelAnswers, ...asToolRuns, ...asItWaits]);
  });
});
