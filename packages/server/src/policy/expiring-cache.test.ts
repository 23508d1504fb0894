import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createExpiringCache } from "./expiring-cache.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["performance"] }));
afterEach(() => void vi.useRealTimers());

function counting(entriesMax = 10) {
  const loads: string[] = [];
  const load = async (key: string) => {
    loads.push(key);
    return `${key}${loads.length}`;
  };
  return { loads, cache: createExpiringCache({ lifeMs: 1000, entriesMax, load }) };
}

test("asks once for all who ask at the same time, and again when the answer is old", async () => {
  const { loads, cache } = counting();
  expect(await Promise.all([cache.get("a"), cache.get("a"), cache.get("a")])).toEqual(["a1", "a1", "a1"]);
  vi.advanceTimersByTime(999);
  expect(await cache.get("a")).toBe("a1");
  vi.advanceTimersByTime(1);
  expect(await cache.get("a")).toBe("a2");
  expect(loads).toEqual(["a", "a"]);
});

test("does not keep a failure", async () => {
  let isBroken = true;
  const load = async () => {
    if (isBroken) throw new Error("away");
    return "back";
  };
  const cache = createExpiringCache({ lifeMs: 1000, entriesMax: 10, load });
  await expect(cache.get("a")).rejects.toThrow("away");
  isBroken = false;
  expect(await cache.get("a")).toBe("back");
});

test("keeps no more than its bound: the oldest go", async () => {
  const { loads, cache } = counting(2);
  for (const key of ["a", "b", "c"]) await cache.get(key);
  await cache.get("b");
  await cache.get("c");
  expect(loads).toEqual(["a", "b", "c"]);
  await cache.get("a");
  expect(loads).toEqual(["a", "b", "c", "a"]);
});
