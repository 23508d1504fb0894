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
