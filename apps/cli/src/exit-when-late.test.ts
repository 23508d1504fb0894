import { expect, test } from "vitest";
import { exitWhenLate } from "./exit-when-late.ts";

test("a stop that hangs ends the process with a failure, and says what is open", async () => {
  const keepsOpen = setInterval(() => undefined, 60_000);
  const written: string[] = [];
  const stderr = { write: (text: string) => written.push(text) } as unknown as Parameters<typeof exitWhenLate>[0];
  const code = await new Promise<number>((resolve) => exitWhenLate(stderr, 1, resolve));
  clearInterval(keepsOpen);
  expect(code).toBe(1);
  expect(written.join("")).toMatch(/^sandbox0 did not stop in 0.001 s and ends now; still open: .*Timeout/);
});
