import { expect, test } from "vitest";
import { createLogTail, LOG_TAIL_CHARS } from "./log-tail.ts";

test("text as a person would read it: no colours, bars as they were last, nothing that a database refuses", () => {
  const tail = createLogTail();
  for (const chunk of ["\u001b[1mbold\u001b[0m\r\n", "10%\r20%\r", "100%\n", "a\u0000b\u0007\tc\n", "\ud800"]) tail.add(chunk);
  expect(tail.text()).toBe("bold\n100%\nab\tc\n\ufffd");
});

test("only the end is kept, whatever comes", () => {
  const tail = createLogTail();
  for (let i = 0; i < 1000; i++) tail.add(`${"x".repeat(999)}\n`);
  tail.add("the end");
  expect(tail.text()).toHaveLength(LOG_TAIL_CHARS);
  expect(tail.text()).toMatch(/the end$/);
});
