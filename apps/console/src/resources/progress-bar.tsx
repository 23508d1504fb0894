import { plainLine } from "../text/untrusted-text.ts";

/** How much of something is done, from 0 to 1. */
export function ProgressBar({ label, fraction }: { label: string; fraction: number }) {
  return (
    <progress className="progress" aria-label={plainLine(label)} max={1} value={fraction}>
      {Math.round(fraction * 100)} %
    </progress>
  );
}
