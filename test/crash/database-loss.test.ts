import { describe, expect } from "vitest";
import { endedWell, newSession, sendOnce } from "./client-parts.ts";
import { matrixTest } from "./matrix-test.ts";
import { message } from "./stage.ts";

describe.concurrent("the server loses its connections to Postgres", () => {
  matrixTest(
    "before and after every commit of a turn with two tool calls",
    async (matrix) => {
      const scenario = { prepare: newSession("free"), parts: [sendOnce(message("one after the other"))], check: endedWell };
      expect(await matrix.hitEveryStatement(scenario)).toBe(11);
      console.log(matrix.report.hits.map((h, i) => `${Math.round(matrix.report.recoveriesMs[i] ?? 0)} ${h}`).join("\n"));
    },
    { blow: "disconnect" },
  );
});
