import type { TimelineSpan } from "@sandbox0/protocol";
import { type KeyboardEvent, type RefObject, useEffect, useMemo, useRef, useState } from "react";
import { useTimeline } from "../../api/sessions.ts";
import { UntrustedLine } from "../../text/untrusted.tsx";
import { IconButton } from "../../ui/button.tsx";
import { formatDuration } from "../../ui/format.ts";
import { EmptyState, ErrorState, LoadingState } from "../../ui/states.tsx";
import { VirtualList, type VirtualListHandle } from "../../ui/virtual-list.tsx";
import { useSessionView } from "./session-context.ts";
import { SpanDetails } from "./span-details.tsx";
import { axisTicks, createTimeScale, depthsOf, endOf, type TimeScale } from "./time-scale.ts";

const ROW_PX = 28;
const ZOOM_STEP = 1.6;
const PAN_SHARE = 0.15;
/** A window smaller than this shows nothing more. */
const WINDOW_MS_MIN = 2;

interface Window {
  from: number;
  to: number;
}

/** What the session did and how long it took: a waterfall of spans. */
export function TimelineView() {
  const { session, running } = useSessionView();
  const query = useTimeline(session.id, running);
  const { data, error, isPending, refetch, hasNextPage, fetchNextPage, isFetchingNextPage } = query;
  const spans = useMemo(() => uniqueSpans(data?.pages.flatMap((page) => page.data) ?? []), [data]);
  if (isPending) return <LoadingState label="Loading the timeline" />;
  if (error) return <ErrorState error={error} onRetry={() => void refetch()} />;
  if (spans.length === 0) {
    return (
      <EmptyState icon="spark" title="Nothing has run yet">
        <p>Turns, model requests and tool calls appear here when the session runs.</p>
      </EmptyState>
    );
  }
  const more = () => {
    if (hasNextPage && !isFetchingNextPage) void fetchNextPage();
  };
  return <Waterfall spans={spans} nowMs={query.dataUpdatedAt} more={more} />;
}

/** A turn that goes on over the end of a page is on both. */
function uniqueSpans(spans: readonly TimelineSpan[]): TimelineSpan[] {
  return [...new Map(spans.map((span) => [span.id, span])).values()];
}

function Waterfall({ spans, nowMs, more }: { spans: readonly TimelineSpan[]; nowMs: number; more(): void }) {
  const list = useRef<VirtualListHandle>(null);
  const scale = useMemo(() => createTimeScale(spans, nowMs), [spans, nowMs]);
  const depths = useMemo(() => depthsOf(spans), [spans]);
  const [zoomed, setZoomed] = useState<Window | null>(null);
  const [chosenId, setChosenId] = useState<string | null>(null);
  const shown = zoomed ?? { from: 0, to: scale.lengthMs };
  const chosen = spans.find((span) => span.id === chosenId) ?? null;
  const zoom = (factor: number) => setZoomed(zoomBy(shown, factor, scale));
  const choose = (step: number) => {
    const at = Math.max(0, Math.min(spans.length - 1, spans.findIndex((span) => span.id === chosenId) + step));
    setChosenId(spans[at]?.id ?? null);
    list.current?.scrollToIndex(at);
  };
  const keys: TimelineKeys = {
    zoom,
    pan: (share) => setZoomed(panBy(shown, share, scale)),
    choose,
    reset: () => setZoomed(null),
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: keys for what its buttons do, too
    <div className="timeline" onKeyDown={(event) => onTimelineKey(event, keys)}>
      <div className="timeline-bar row">
        <IconButton icon="zoomIn" label="Zoom in" size="small" onClick={() => zoom(1 / ZOOM_STEP)} />
        <IconButton icon="zoomOut" label="Zoom out" size="small" onClick={() => zoom(ZOOM_STEP)} />
        <IconButton icon="refresh" label="Show all" size="small" onClick={() => setZoomed(null)} />
        <span className="muted small timeline-keys">
          <span className="kbd">+</span> <span className="kbd">−</span> zoom, <span className="kbd">←</span>{" "}
          <span className="kbd">→</span> move, <span className="kbd">↑</span> <span className="kbd">↓</span> choose. Pauses
          between turns are cut short.
        </span>
      </div>
      <div className="timeline-split" data-details={chosen !== null}>
        <div className="timeline-main">
          <Axis shown={shown} />
          <VirtualList
            label="Timeline"
            items={spans}
            itemKey={(span) => span.id}
            estimate={() => ROW_PX}
            handle={list}
            onNearEnd={more}
          >
            {(span) => (
              <SpanRow
                span={span}
                depth={depths.get(span.id) ?? 0}
                bar={barOf(span, scale, shown, nowMs)}
                chosen={span.id === chosenId}
                onChoose={() => setChosenId(span.id === chosenId ? null : span.id)}
              />
            )}
          </VirtualList>
        </div>
        {chosen ? (
          <SpanDetails span={chosen} onZoom={() => setZoomed(windowOf(chosen, scale, nowMs))} onClose={() => setChosenId(null)} />
        ) : null}
      </div>
    </div>
  );
}

interface TimelineKeys {
  zoom(factor: number): void;
  pan(share: number): void;
  choose(step: number): void;
  reset(): void;
}

function onTimelineKey(event: KeyboardEvent, keys: TimelineKeys): void {
  if (event.metaKey || event.ctrlKey || event.altKey) return;
  switch (event.key) {
    case "+":
    case "=":
      keys.zoom(1 / ZOOM_STEP);
      break;
    case "-":
      keys.zoom(ZOOM_STEP);
      break;
    case "0":
      keys.reset();
      break;
    case "ArrowLeft":
      keys.pan(-PAN_SHARE);
      break;
    case "ArrowRight":
      keys.pan(PAN_SHARE);
      break;
    case "ArrowDown":
      keys.choose(1);
      break;
    case "ArrowUp":
      keys.choose(-1);
      break;
    default:
      return;
  }
  event.preventDefault();
}

function panBy({ from, to }: Window, share: number, scale: TimeScale): Window {
  const by = (to - from) * share;
  return clamp({ from: from + by, to: to + by }, scale);
}

function zoomBy(shown: Window, factor: number, scale: TimeScale): Window {
  const middle = (shown.from + shown.to) / 2;
  const half = Math.max(WINDOW_MS_MIN, (shown.to - shown.from) * factor) / 2;
  return clamp({ from: middle - half, to: middle + half }, scale);
}

function clamp({ from, to }: Window, { lengthMs }: TimeScale): Window {
  const width = Math.min(to - from, lengthMs);
  const start = Math.max(0, Math.min(from, lengthMs - width));
  return { from: start, to: start + width };
}

function windowOf(span: TimelineSpan, scale: TimeScale, nowMs: number): Window {
  const from = scale.at(Date.parse(span.started_at));
  const to = scale.at(endOf(span, nowMs));
  const edge = Math.max(WINDOW_MS_MIN, (to - from) * 0.05);
  return clamp({ from: from - edge, to: to + edge }, scale);
}

interface Bar {
  left: number;
  width: number;
}

/** In percent of what is shown; `null`: outside of it. */
function barOf(span: TimelineSpan, scale: TimeScale, shown: Window, nowMs: number): Bar | null {
  const from = scale.at(Date.parse(span.started_at));
  const to = scale.at(endOf(span, nowMs));
  if (to < shown.from || from > shown.to) return null;
  const width = shown.to - shown.from;
  const left = Math.max(0, (from - shown.from) / width) * 100;
  return { left, width: Math.min(100, ((to - shown.from) / width) * 100) - left };
}

function Axis({ shown }: { shown: Window }) {
  const track = useRef<HTMLDivElement>(null);
  const widthPx = useWidth(track);
  return (
    <div className="timeline-axis" aria-hidden="true">
      <div className="timeline-track" ref={track}>
        {axisTicks(shown.from, shown.to, widthPx).map(({ at, label, left }) => (
          <span key={at} className="timeline-tick" style={{ left }}>
            {label}
          </span>
        ))}
      </div>
    </div>
  );
}

/** Pixels; 0 until it has been laid out. */
function useWidth(ref: RefObject<HTMLElement | null>): number {
  const [widthPx, setWidthPx] = useState(0);
  useEffect(() => {
    if (ref.current === null) return undefined;
    const observer = new ResizeObserver(([entry]) => setWidthPx(entry?.contentRect.width ?? 0));
    observer.observe(ref.current);
    return () => observer.disconnect();
  }, [ref]);
  return widthPx;
}

interface SpanRowProps {
  span: TimelineSpan;
  depth: number;
  bar: Bar | null;
  chosen: boolean;
  onChoose(): void;
}

function SpanRow({ span, depth, bar, chosen, onChoose }: SpanRowProps) {
  const took = span.duration_ms === null ? "running" : formatDuration(span.duration_ms);
  return (
    <button
      type="button"
      className="span-row"
      data-kind={span.kind}
      data-status={span.status}
      aria-pressed={chosen}
      onClick={onChoose}
    >
      <span className="span-name truncate" style={{ paddingLeft: `${depth * 0.875}rem` }}>
        <UntrustedLine text={span.name} />
      </span>
      <span className="span-took tabular muted">
        {took}
        {span.status === "error" ? <span className="visually-hidden">, failed</span> : null}
      </span>
      <span className="timeline-track">
        {bar ? <span className="span-bar" style={{ left: `${bar.left}%`, width: `max(2px, ${bar.width}%)` }} /> : null}
      </span>
    </button>
  );
}
