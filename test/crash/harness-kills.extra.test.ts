import { VENDOR_HARNESSES } from "../harnesses/vendor-harnesses.ts";
import { afterAll, beforeAll, expect, test } from "vitest";
import { killHarnessAtRandom } from "./harness-kills.ts";
import { readSeed } from "./seeded-random.ts";
import { createStage, type Stage } from "./stage.ts";

let stage: Stage;
beforeAll(async () => {
  stage = await createStage();
});
afterAll(() => stage.close());

test.each(VENDOR_HARNESSES)(
  "$name: 50 random kills each of the program, the sandbox and the server",
  { timeout: 30 * 60_000 },
  async (harness) => {
    const seed = readSeed();
    console.log(`SEED=${seed}`);
    const report = await killHarnessAtRandom(stage, { seed, harness, sessions: 4, killsOfEach: Number(process.env.KILLS ?? 50) });
    console.log(harness.name, report);
    expect(report.violations).toEqual([]);
    expect(report.ended).toBeGreaterThan(0);
  },
);
