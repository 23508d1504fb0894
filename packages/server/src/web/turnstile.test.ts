import { expect, test } from "vitest";
import { createTurnstile } from "./turnstile.ts";

const limits = { atOnceMax: 2, perSessionMax: 1, waitingMax: 2 };
const never = new AbortController().signal;

/** A work that is started, and ends when told. */
function held() {
  const { promise, resolve } = Promise.withResolvers<void>();
  const work = {
    started: false,
    end: resolve,
    run() {
      work.started = true;
      return promise;
    },
  };
  return work;
}
const settle = () => new Promise((resolve) => setImmediate(resolve));

test("one session waits for itself, others go before it", async () => {
  const turnstile = createTurnstile(limits);
  const [a1, a2, b1, c1] = [held(), held(), held(), held()];
  const all = [
    turnstile.pass("a", never, a1.run),
    turnstile.pass("a", never, a2.run),
    turnstile.pass("b", never, b1.run),
    turnstile.pass("c", never, c1.run),
  ];
  await settle();
  expect([a1, a2, b1, c1].map(({ started }) => started)).toEqual([true, false, true, false]);
  await expect(turnstile.pass("d", never, held().run)).rejects.toMatchObject({ code: "unavailable" });
  b1.end();
  await settle();
  expect([a2.started, c1.started]).toEqual([false, true]);
  a1.end();
  await settle();
  expect(a2.started).toBe(true);
  a2.end();
  c1.end();
  await Promise.all(all);
});

test("a wait that is aborted takes no place, and a failure frees its own", async () => {
  const turnstile = createTurnstile(limits);
  const [first, second] = [held(), held()];
  const running = turnstile.pass("a", never, first.run);
  const stop = new AbortController();
  const waiting = turnstile.pass("a", stop.signal, second.run);
  stop.abort();
  await expect(waiting).rejects.toMatchObject({ message: "stopped" });
  await expect(turnstile.pass("a", stop.signal, second.run)).rejects.toMatchObject({ message: "stopped" });
  first.end();
  await running;
  await expect(turnstile.pass("a", never, () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(await turnstile.pass("a", never, async () => "through")).toBe("through");
  expect(second.started).toBe(false);
});
