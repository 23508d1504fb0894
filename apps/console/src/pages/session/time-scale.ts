import type { TimelineSpan } from "@sandbox0/protocol";
import { formatDuration } from "../../ui/format.ts";

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
/** Of a letter of a label, at most, and of what is around each label. Pixels. */
const LETTER_PX = 7;
const LABEL_EDGE_PX = 10;

/** @returns round distances on the axis between `from` and `to`, about `count` of them, and one more at most */
export function ticksOf(from: number, to: number, count = TICKS_MAX): number[] {
  const rough = (to - from) / count;
  const power = 10 ** Math.floor(Math.log10(Math.max(rough, 1)));
  const step = (STEPS.find((each) => each * power >= rough) ?? 10) * power;
  const ticks: number[] = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) ticks.push(at);
  return ticks;
}

export interface Tick {
  at: number;
  label: string;
  /** Pixels from the beginning of the axis. */
  left: number;
}

/** As many ticks as there is room for: their labels neither meet nor say the same, and none reaches over the end. */
export function axisTicks(from: number, to: number, widthPx: number): Tick[] {
  const place = (at: number): Tick => ({ at, label: formatDuration(at), left: ((at - from) / (to - from)) * widthPx });
  let ticks: Tick[] = [];
  for (let count = TICKS_MAX; count > 0; count -= 1) {
    ticks = ticksOf(from, to, count)
      .map(place)
      .filter((tick) => endOfLabel(tick) <= widthPx);
    if (ticks.every((tick, index) => index === 0 || isClear(ticks[index - 1], tick))) return ticks;
  }
  return ticks.slice(0, 1);
}

const endOfLabel = ({ left, label }: Tick): number => left + label.length * LETTER_PX + LABEL_EDGE_PX;
const isClear = (before: Tick | undefined, tick: Tick): boolean =>
  before === undefined || (before.label !== tick.label && endOfLabel(before) <= tick.left);

/** How deep each span stands below its turn. */
export function depthsOf(spans: readonly TimelineSpan[]): ReadonlyMap<string, number> {
  const depths = new Map<string, number>();
  for (const span of spans) depths.set(span.id, span.parent_id === null ? 0 : (depths.get(span.parent_id) ?? 0) + 1);
  return depths;
}
