import { expect, test } from "vitest";
import { createWarmPrograms } from "./warm-programs.ts";

const IDLE_MS = 600_000;

class FakeProgram {
  isStopped = false;
  readonly #end = Promise.withResolvers<void>();
  readonly ended = this.#end.promise;

  stop(): void {
    this.isStopped = true;
    this.#end.resolve();
  }
}

test("of programs without a turn only so many are kept: the one that waits longest is stopped", async () => {
  const warm = createWarmPrograms<FakeProgram>(IDLE_MS, 2);
  const [a, b, c, busy] = [new FakeProgram(), new FakeProgram(), new FakeProgram(), new FakeProgram()];
  for (const [threadId, program] of Object.entries({ busy, a, b, c })) warm.put(threadId, program);
  for (const threadId of ["b", "a"]) warm.letIdle(threadId);
  // One that had another turn meanwhile waits anew.
  const again = warm.take("b");
  if (again !== null) warm.put("b", again);
  warm.letIdle("b");
  expect([a, b, c, busy].map(({ isStopped }) => isStopped)).toEqual([false, false, false, false]);
  warm.letIdle("c");
  expect([a, b, c, busy].map(({ isStopped }) => isStopped)).toEqual([true, false, false, false]);
  await a.ended;
  expect(warm.take("a")).toBeNull();
  expect(warm.take("busy")).toBe(busy);
  await warm.close();
  expect([b, c, busy].every(({ isStopped }) => isStopped)).toBe(true);
});
