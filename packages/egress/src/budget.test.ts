import { expect, test } from "vitest";
import { createBudget } from "./budget.ts";

test("one holder cannot take what is left for the others, and what is given back can be taken again", () => {
  const budget = createBudget(100, 60);
  const first = budget.take("a", 60);
  expect(first).not.toBeNull();
  expect(budget.take("a", 1)).toBeNull();
  expect(budget.take("b", 40)).not.toBeNull();
  expect(budget.take("c", 1)).toBeNull();
  first?.();
  first?.();
  expect(budget.take("a", 60)).not.toBeNull();
  expect(budget.take("c", 1)).toBeNull();
});

test("what grows while it is held is given back at once, and can grow again", () => {
  const budget = createBudget(100, 60);
  const hold = budget.open("a");
  expect([hold.take(40), hold.take(20), hold.take(1)]).toEqual([true, true, false]);
  expect(budget.take("a", 1)).toBeNull();
  hold.release();
  hold.release();
  expect(hold.take(60)).toBe(true);
  expect([budget.open("b").take(41), budget.open("b").take(40)]).toEqual([false, true]);
});
