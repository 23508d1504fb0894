import type { SessionEvent } from "@sandbox0/protocol";
import { expect, test } from "vitest";
import type { HistoryEntry } from "../port.ts";
import { REFUSED } from "./refused.ts";
import { createTranscript } from "./transcript.ts";

const entry = (event: Record<string, unknown>, native?: unknown): HistoryEntry => ({
  event: { processed_at: "2026-11-25T00:00:00Z", ...event } as SessionEvent,
  ...(native === undefined ? {} : { native }),
});
const text = (value: string) => [{ type: "text" as const, text: value }];
const user = (value: string) => entry({ id: `u-${value}`, type: "user.message", content: text(value) });
const use = (id: string, type = "agent.tool_use") =>
  entry({ id, type, name: "look", input: { of: id }, ...(type === "agent.mcp_tool_use" ? { mcp_server_name: "eyes" } : {}) });
const result = (id: string, value: string) =>
  entry({ id: `r-${id}`, type: "agent.tool_result", tool_use_id: id, content: text(value), is_error: false });
const end = (native?: unknown) =>
  entry({ id: "span", type: "span.model_request_end", model_request_start_id: "s", is_error: false }, native);
const given = (value: string, isError = false) => ({ content: text(value), isError });

test("groups a response with its calls, and puts each result to its call whenever it came", () => {
  const { items } = createTranscript([
    user("hi"),
    entry({ id: "s", type: "span.model_request_start" }),
    entry({ id: "t", type: "agent.thinking" }),
    entry({ id: "m", type: "agent.message", content: text("I look.") }),
    use("a"),
    use("b", "agent.custom_tool_use"),
    use("c", "agent.mcp_tool_use"),
    end({ v: 1 }),
    result("a", "A"),
    entry({ id: "x", type: "session.status_idle", stop_reason: { type: "requires_action", event_ids: ["b"] } }),
    entry({ id: "rc", type: "agent.mcp_tool_result", mcp_tool_use_id: "c", content: text("C"), is_error: true }),
    entry({ id: "rb", type: "user.custom_tool_result", custom_tool_use_id: "b", content: text("B") }),
  ]);
  expect(items).toEqual([
    { kind: "input", content: text("hi") },
    {
      kind: "exchange",
      content: text("I look."),
      native: { v: 1 },
      calls: [
        { id: "a", name: "look", input: { of: "a" }, result: given("A") },
        { id: "b", name: "look", input: { of: "b" }, result: given("B") },
        { id: "c", name: "mcp__eyes__look", input: { of: "c" }, result: given("C", true) },
      ],
    },
  ]);
});

test("separates responses by their ends, by results, and by a second message, with or without spans", () => {
  const message = (id: string) => entry({ id, type: "agent.message", content: text(id) });
  const { items } = createTranscript([
    user("hi"),
    message("one"),
    end(),
    message("two"),
    message("three"),
    use("a"),
    result("a", "A"),
    message("four"),
  ]);
  expect(items.map((item) => (item.kind === "exchange" ? [item.content, item.calls.length] : item.kind))).toEqual([
    "input",
    [text("one"), 0],
    [text("two"), 0],
    [text("three"), 1],
    [text("four"), 0],
  ]);
});

test("a failed request leaves no trace, and its native form goes to no other response", () => {
  const failed = entry({ id: "span", type: "span.model_request_end", model_request_start_id: "s", is_error: true }, { v: 1 });
  const { items } = createTranscript([user("hi"), failed, entry({ id: "m", type: "agent.message", content: text("ok") }), end()]);
  expect(items).toEqual([
    { kind: "input", content: text("hi") },
    { kind: "exchange", content: text("ok"), calls: [], native: undefined },
  ]);
});

test("waits for calls without a result until an input follows", () => {
  const transcript = createTranscript([user("hi"), use("a"), use("b"), end(), result("a", "A")]);
  expect(transcript.waiting()).toEqual(["b"]);
  transcript.append([entry({ id: "sys", type: "system.message", content: text("be brief") })]);
  expect(transcript.waiting()).toEqual(["b"]);
  transcript.append([user("go on")]);
  expect(transcript.waiting()).toEqual([]);
});

test("the first result of a call counts", () => {
  const transcript = createTranscript([user("hi"), use("a"), end(), result("a", "first"), result("a", "second")]);
  transcript.answer("a", given("third"));
  transcript.answer("unknown", given("nothing"));
  expect(transcript.items[1]).toMatchObject({ calls: [{ result: given("first") }] });
});

test("a response the provider declined leaves the conversation with the inputs that led to it", () => {
  const answered = [user("before"), entry({ id: "m", type: "agent.message", content: text("fine") }), end()];
  const declined = [user("bad"), user("worse"), entry({ id: "p", type: "agent.message", content: text("par") }), end(REFUSED)];
  const { items } = createTranscript([...answered, ...declined, user("after")]);
  expect(items.map((item) => JSON.stringify(item))).toEqual([
    expect.stringContaining("before"),
    expect.stringContaining("fine"),
    expect.stringContaining("the model declined"),
    expect.stringContaining("after"),
  ]);
});

test("a step that was just written reads like the same step from the log", () => {
  const live = createTranscript([user("hi")]);
  const usage = { input_tokens: 0, output_tokens: 0, cache_creation_input_tokens: 0, cache_read_input_tokens: 0 };
  const calls = [{ id: "a", name: "look", input: { of: "a" } }];
  const message = { id: "m", content: [{ type: "text" as const, text: "I look." }] };
  live.appendStep({ message, calls, usage, native: { v: 1 }, timing: { firstTokenMs: 1, totalMs: 2 } });
  live.answer("a", { content: [{ type: "text", text: "A" }], isError: false });
  const read = createTranscript([
    user("hi"),
    entry({ id: "m", type: "agent.message", content: text("I look.") }),
    use("a"),
    end({ v: 1 }),
    result("a", "A"),
  ]);
  expect(live.items).toEqual(read.items);
});
