import { useSyncExternalStore } from "react";
import { formatAgo, formatTime } from "./format.ts";

const TICK_MS = 10_000;

function subscribe(onTick: () => void): () => void {
  const timer = setInterval(onTick, TICK_MS);
  return () => clearInterval(timer);
}
/** The same within a tick, as React wants it of a snapshot. */
const now = (): number => Math.floor(Date.now() / TICK_MS) * TICK_MS + TICK_MS;

/** "3 min ago", with the full time on hover. */
export function RelativeTime({ at }: { at: string }) {
  const nowMs = useSyncExternalStore(subscribe, now);
  return (
    <time dateTime={at} title={formatTime(at)} className="tabular">
      {formatAgo(at, nowMs)}
    </time>
  );
}
