import { expect, test } from "vitest";
import { callsAt } from "./calls-at.ts";
import { newEvent } from "./lifecycle-events.ts";

const newId = () => "fresh";

test("a call nobody has answered is open, with a result to come under a new id", () => {
  const [open] = callsAt([{ id: "a", kind: "builtin" }], [newEvent("agent.tool_result", { tool_use_id: "b" })], newId);
  expect(open).toEqual({ id: "a", resultId: "fresh", answer: null, answerId: null, confirmed: null, finished: false });
});

test("a confirmation is an answer, and a result the end", () => {
  const allowed = newEvent("user.tool_confirmation", { tool_use_id: "a", result: "allow" }, "c1");
  const denied = newEvent("user.tool_confirmation", { tool_use_id: "b", result: "deny", deny_message: "no" }, "c2");
  const result = newEvent("agent.mcp_tool_result", { mcp_tool_use_id: "b" }, "r2");
  const calls = [
    { id: "a", kind: "builtin" },
    { id: "b", kind: "mcp" },
  ] as const;
  expect(callsAt(calls, [allowed, denied, result], newId)).toEqual([
    {
      id: "a",
      resultId: "fresh",
      answer: { result: "allow", deny_message: null },
      answerId: "c1",
      confirmed: "allow",
      finished: false,
    },
    {
      id: "b",
      resultId: "r2",
      answer: { result: "deny", deny_message: "no" },
      answerId: "c2",
      confirmed: "deny",
      finished: true,
    },
  ]);
});

test("a client's tool ends with its client's result, or with that of an interrupt", () => {
  const content = [{ type: "text", text: "\u0000" }];
  const given = newEvent("user.custom_tool_result", { custom_tool_use_id: "a", content }, "g");
  const closed = newEvent("agent.tool_result", { tool_use_id: "b", is_error: true }, "x");
  const calls = [
    { id: "a", kind: "custom" },
    { id: "b", kind: "custom" },
  ] as const;
  expect(callsAt(calls, [given, closed], newId)).toEqual([
    { id: "a", resultId: "fresh", answer: { content, is_error: null }, answerId: "g", confirmed: null, finished: true },
    { id: "b", resultId: "x", answer: null, answerId: null, confirmed: null, finished: true },
  ]);
});
