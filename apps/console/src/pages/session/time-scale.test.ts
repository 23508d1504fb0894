import type { TimelineSpan } from "@sandbox0/protocol";
import { expect, test } from "vitest";
import { createTimeScale, depthsOf, ticksOf } from "./time-scale.ts";

function span(id: string, from: number, to: number | null, parent: string | null = null): TimelineSpan {
  return {
    id,
    parent_id: parent,
    kind: parent === null ? "turn" : "step",
    name: id,
    started_at: new Date(from).toISOString(),
    ended_at: to === null ? null : new Date(to).toISOString(),
    duration_ms: to === null ? null : to - from,
    status: to === null ? "running" : "ok",
    event_id: null,
    attributes: {},
  };
}

test("within a turn the axis is true; a day between turns is cut short", () => {
  const day = 86_400_000;
  const scale = createTimeScale([span("a", 0, 4_000), span("b", day, day + 2_000)], day + 9_000);
  expect(scale.at(1_500)).toBe(1_500);
  expect(scale.at(day) - scale.at(4_000)).toBe(1_000);
  expect(scale.at(day + 2_000)).toBe(scale.lengthMs);
  expect(scale.lengthMs).toBe(7_000);
});

test("what goes on ends now", () => {
  expect(createTimeScale([span("a", 1_000, null)], 4_000).lengthMs).toBe(3_000);
});

test("no spans make an axis, too", () => {
  const scale = createTimeScale([], 0);
  expect([scale.at(5), scale.lengthMs]).toEqual([0, 1]);
});

test("ticks are round and few", () => {
  expect(ticksOf(0, 1_000)).toEqual([0, 200, 400, 600, 800, 1_000]);
  expect(ticksOf(130, 470)).toEqual([200, 300, 400]);
  for (const to of [1, 7, 333, 98_765]) expect(ticksOf(0, to).length).toBeLessThanOrEqual(7);
});

test("depth is the way to the turn", () => {
  const depths = depthsOf([span("t", 0, 9), span("s", 1, 8, "t"), span("m", 2, 3, "s")]);
  expect([...depths.values()]).toEqual([0, 1, 2]);
});
