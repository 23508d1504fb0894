import { expect, test } from "vitest";
import { Slots } from "./slots.ts";

test("gives no more than there are, in the order of asking", async () => {
  const slots = new Slots(2, 10);
  const order: string[] = [];
  const take = (name: string): Promise<void> => slots.take().then(() => void order.push(name));
  const waiting = ["a", "b", "c", "d"].map(take);
  await Promise.all(waiting.slice(0, 2));
  expect([order, slots.taken, slots.queued]).toEqual([["a", "b"], 2, 2]);
  expect(slots.tryTake()).toBe(false);
  slots.give();
  await waiting[2];
  expect([order, slots.taken, slots.queued]).toEqual([["a", "b", "c"], 2, 1]);
  for (let i = 0; i < 3; i++) slots.give();
  await waiting[3];
  expect([order, slots.taken, slots.queued]).toEqual([["a", "b", "c", "d"], 0, 0]);
});

test("refuses when the queue is full", async () => {
  const slots = new Slots(1, 1);
  await slots.take();
  const second = slots.take();
  await expect(slots.take()).rejects.toMatchObject({ code: "limit" });
  slots.give();
  await second;
});
