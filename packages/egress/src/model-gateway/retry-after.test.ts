import { expect, test } from "vitest";
import { retryAfterMs } from "./retry-after.ts";

const NOW = new Date("2026-11-26T12:00:00Z");

test.each([
  [{ "retry-after": "7" }, 7_000],
  [{ "retry-after": "0.5" }, 500],
  [{ "retry-after": "7", "retry-after-ms": "250" }, 250],
  [{ "retry-after": "Thu, 26 Nov 2026 12:00:03 GMT" }, 3_000],
  [{ "retry-after": "Thu, 26 Nov 2026 11:00:00 GMT" }, 0],
  [{ "retry-after": "soon" }, null],
  [{}, null],
])("%j asks for %s ms", (headers, expected) => expect(retryAfterMs(headers, NOW)).toBe(expected));
