import { afterAll, beforeAll, expect, test } from "vitest";
import { killAtRandom } from "./random-kills.ts";
import { readSeed } from "./seeded-random.ts";
import { createStage, type Stage } from "./stage.ts";

let stage: Stage;
beforeAll(async () => {
  stage = await createStage();
});
afterAll(() => stage.close());

test("20 sessions over two servers, 200 random SIGKILLs", { timeout: 15 * 60_000 }, async () => {
  const seed = readSeed();
  console.log(`SEED=${seed}`);
  const report = await killAtRandom(stage, {
    seed,
    servers: 2,
    sessions: 20,
    kills: Number(process.env.KILLS ?? 200),
  });
  const records = await Promise.all(report.sessionIds.map((id) => stage.record(id)));
  const found = await Promise.all(records.map((record) => stage.violations(record)));
  expect(found.flat()).toEqual([]);
  const count = (type: string, part = "") =>
    records.flatMap(({ events }) => events).filter((event) => event.type === type && JSON.stringify(event.body).includes(part))
      .length;
  const summary = {
    ...report,
    sessionIds: undefined,
    turns: count("session.status_running"),
    ended: count("session.status_idle", "end_turn"),
    givenUp: count("session.status_idle", "retries_exhausted"),
    calls: count("agent.tool_use"),
    cut: count("agent.tool_result", "server failure"),
  };
  console.log(summary);
  expect(summary.ended).toBeGreaterThan(report.sessionIds.length);
  expect(summary.cut).toBeGreaterThan(0);
});
