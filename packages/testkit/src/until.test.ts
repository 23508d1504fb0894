import { expect, test } from "vitest";
import { until } from "./until.ts";

test("gives the first truthy value", async () => {
  let looks = 0;
  expect(await until(() => (++looks > 2 ? `look ${looks}` : undefined))).toBe("look 3");
});

test("a condition that throws is not met yet", async () => {
  let looks = 0;
  const value = await until(async () => {
    if (++looks < 3) throw new Error("not yet");
    return looks;
  });
  expect(value).toBe(3);
});

test("says what it waited for, and what it saw last", async () => {
  const wait = until(() => 0, { timeoutMs: 1, describe: "the count to rise" });
  await expect(wait).rejects.toThrow(/waited 1 ms for: the count to rise\nlast look: it was 0/);
});

test("keeps the last error as the cause", async () => {
  const cause = new Error("the server is away");
  const wait = until(() => Promise.reject(cause), { timeoutMs: 1, describe: () => ({ tries: "many" }) });
  await expect(wait).rejects.toMatchObject({ message: expect.stringMatching(/tries: 'many'[\s\S]*the server is away/), cause });
});
