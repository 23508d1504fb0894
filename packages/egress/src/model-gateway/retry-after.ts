import type { IncomingHttpHeaders } from "node:http";

const SECOND_MS = 1_000;

/** Of an error: `retry-after-ms`, or `retry-after` in seconds or as a date; `null`: none that can be read. */
export function retryAfterMs(headers: IncomingHttpHeaders, now: Date): number | null {
  const ms = toNumber(headers["retry-after-ms"]);
  if (ms !== null) return ms;
  const text = headers["retry-after"];
  const seconds = toNumber(text);
  if (seconds !== null) return seconds * SECOND_MS;
  const until = Date.parse(text ?? "");
  return Number.isNaN(until) ? null : Math.max(0, until - now.getTime());
}

function toNumber(header: string | string[] | undefined): number | null {
  return typeof header === "string" && /^\d+(\.\d+)?$/.test(header.trim()) ? Number(header) : null;
}
