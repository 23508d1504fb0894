import { describe, expect } from "vitest";
import {
  answer,
  endedWell,
  inOrder,
  newSession,
  send,
  sendOnce,
  untilModelHolds,
  untilRest,
  untilToolHolds,
} from "./client-parts.ts";
import { matrixTest } from "./matrix-test.ts";
import { message } from "./stage.ts";

const interrupt = { type: "user.interrupt" as const };
const parked = inOrder(newSession("asking"), send(message("ask the client")), untilRest());

describe.concurrent("a session that waits for its client survives a SIGKILL", () => {
  matrixTest("from the message to the last answer, at every commit", async (matrix) => {
    const scenario = {
      prepare: newSession("asking"),
      parts: [sendOnce(message("ask the client")), answer("bash"), answer("lookup")],
      check: endedWell,
    };
    // Three turns' worth: until it waits; one answer of two; the rest.
    expect(await matrix.hitEveryStatement(scenario)).toBe(12);
  });

  matrixTest("when it is answered with no", async (matrix) => {
    const scenario = { prepare: parked, parts: [answer("lookup"), answer("bash", "deny")] };
    expect(await matrix.hitEveryStatement(scenario)).toBeGreaterThanOrEqual(5);
  });
});

describe.concurrent("an interrupt is carried out once, whatever is killed", () => {
  matrixTest("while the model answers, with a message behind it", async (matrix) => {
    const scenario = {
      prepare: inOrder(newSession("free"), untilModelHolds("one after the other", "answering")),
      parts: [sendOnce(interrupt, message("only talk"))],
    };
    expect(await matrix.hitEveryStatement(scenario)).toBeGreaterThanOrEqual(5);
  });

  matrixTest("while a tool runs; while it waits for its client", async (matrix) => {
    const running = {
      prepare: inOrder(newSession("free"), untilToolHolds("the effect, then wait")),
      parts: [sendOnce(interrupt, message("only talk"))],
    };
    expect(await matrix.hitEveryStatement(running)).toBeGreaterThanOrEqual(5);
    expect(await matrix.hitEveryStatement({ prepare: parked, parts: [send(interrupt)] })).toBe(1);
  });
});
