import type { TimelineSpan } from "@sandbox0/protocol";
import { expect, test } from "vitest";
import { axisTicks, createTimeScale, depthsOf, ticksOf } from "./time-scale.ts";

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

test("labels of an axis do not meet, repeat or reach over its end, however narrow it is and whatever it shows", () => {
  // As wide as a label can be: the digits and letters of the smallest text have seven pixels at most.
  const end = ({ left, label }: { left: number; label: string }) => left + 7 * label.length;
  for (const width of [0, 40, 90, 216, 400, 900]) {
    for (const [from, to] of [
      [0, 1],
      [0, 5_600],
      [1_230, 1_260],
      [59_000, 61_000],
      [0, 90_000_000],
      [86_000, 86_002],
    ] as const) {
      const ticks = axisTicks(from, to, width);
      for (const [index, tick] of ticks.entries()) {
        expect(end(tick)).toBeLessThanOrEqual(Math.min(width, ticks[index + 1]?.left ?? width));
        expect(tick.left).toBeGreaterThanOrEqual(0);
      }
      expect(new Set(ticks.map(({ label }) => label)).size).toBe(ticks.length);
    }
  }
  expect(axisTicks(0, 5_600, 216).map(({ label }) => label)).toEqual(["0 ms", "2.00 s", "4.00 s"]);
  expect(axisTicks(0, 5_600, 900).map(({ label }) => label)).toEqual(["0 ms", "1.00 s", "2.00 s", "3.00 s", "4.00 s", "5.00 s"]);
});

test("depth is the way to the turn", () => {
  const depths = depthsOf([span("t", 0, 9), span("s", 1, 8, "t"), span("m", 2, 3, "s")]);
  expect([...depths.values()]).toEqual([0, 1, 2]);
});
