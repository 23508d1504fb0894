import type { TimelineSpan } from "@sandbox0/protocol";

/** Idle time between turns is drawn this long at most: days of waiting say nothing. Milliseconds. */
const GAP_MS_MAX = 1_000;

/** Where a moment lies on an axis on which long pauses between turns are cut short. Milliseconds from its start. */
export interface TimeScale {
  at(timeMs: number): number;
  lengthMs: number;
}

interface Stretch {
  from: number;
  to: number;
  /** Of `from`, on the axis. */
  at: number;
}

/** @param spans those of a timeline; the turns among them are what the axis is made of */
export function createTimeScale(spans: readonly TimelineSpan[], nowMs: number): TimeScale {
  const turns = spans
    .filter((span) => span.parent_id === null)
    .map((span) => ({ from: Date.parse(span.started_at), to: endOf(span, nowMs) }))
    .sort((a, b) => a.from - b.from);
  const stretches: Stretch[] = [];
  for (const turn of turns) {
    const last = stretches.at(-1);
    if (last === undefined) stretches.push({ ...turn, at: 0 });
    else if (turn.from <= last.to) last.to = Math.max(last.to, turn.to);
    else stretches.push({ ...turn, at: axisEnd(last) + Math.min(turn.from - last.to, GAP_MS_MAX) });
  }
  const end = stretches.at(-1);
  return {
    lengthMs: Math.max(1, end === undefined ? 1 : axisEnd(end)),
    at(timeMs) {
      const stretch = stretches.findLast((each) => each.from <= timeMs) ?? stretches[0];
      if (stretch === undefined) return 0;
      return stretch.at + Math.max(0, Math.min(timeMs, stretch.to + GAP_MS_MAX) - stretch.from);
    },
  };
}

const axisEnd = (stretch: Stretch): number => stretch.at + stretch.to - stretch.from;

/** What goes on ends now. */
export function endOf(span: TimelineSpan, nowMs: number): number {
  return span.ended_at === null ? Math.max(nowMs, Date.parse(span.started_at)) : Date.parse(span.ended_at);
}

const TICKS_MAX = 6;
const STEPS = [1, 2, 5];

/** Round distances on the axis between `from` and `to`. */
export function ticksOf(from: number, to: number): number[] {
  const rough = (to - from) / TICKS_MAX;
  const power = 10 ** Math.floor(Math.log10(Math.max(rough, 1)));
  const step = (STEPS.find((each) => each * power >= rough) ?? 10) * power;
  const ticks: number[] = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) ticks.push(at);
  return ticks;
}

/** How deep each span stands below its turn. */
export function depthsOf(spans: readonly TimelineSpan[]): ReadonlyMap<string, number> {
  const depths = new Map<string, number>();
  for (const span of spans) depths.set(span.id, span.parent_id === null ? 0 : (depths.get(span.parent_id) ?? 0) + 1);
  return depths;
}
