import { expect, test } from "vitest";
import type { Preview } from "../port.ts";
import { createResponseReader, type StreamEvent } from "./read-response.ts";

const usage = { input_tokens: 11, output_tokens: 1, cache_creation_input_tokens: 2, cache_read_input_tokens: 3 };
const block = (index: number, type: string, extra = {}): StreamEvent => ({
  type: "content_block_start",
  index,
  content_block: { type, ...extra },
});
const delta = (index: number, type: string, extra: Record<string, unknown>): StreamEvent => ({
  type: "content_block_delta",
  index,
  delta: { type, ...extra },
});
const text = (index: number, value: string): StreamEvent => delta(index, "text_delta", { text: value });
const ended = (stop_reason: string, stop_details?: { category: string; explanation: string }): StreamEvent => ({
  type: "message_delta",
  delta: { stop_reason, ...(stop_details === undefined ? {} : { stop_details }) },
  usage: { output_tokens: 22 },
});

/** As recorded from the program: its stream events are the provider's. */
function read(events: readonly StreamEvent[]) {
  const previews: Preview[] = [];
  let next = 0;
  const reader = createResponseReader({ preview: (each) => void previews.push(each), newEventId: () => `e${next++}` });
  const progress = [{ type: "message_start", message: { usage } } as StreamEvent, ...events].map((event) => reader.see(event));
  return { ...reader.step("m"), previews, progress: progress.at(-1) };
}

test("reads thinking, texts and calls in order, and previews what becomes the message", () => {
  const { step, previews, progress } = read([
    block(0, "thinking", { thinking: "", signature: "" }),
    delta(0, "thinking_delta", { thinking: "Hm." }),
    delta(0, "signature_delta", { signature: "c2ln" }),
    block(1, "text", { text: "" }),
    text(1, "\n"),
    block(2, "text", { text: "" }),
    text(2, " "),
    text(2, "I lo"),
    text(2, "ok."),
    block(3, "tool_use", { id: "toolu_1", name: "look", input: {} }),
    delta(3, "input_json_delta", { partial_json: '{"a":' }),
    delta(3, "input_json_delta", { partial_json: "1}" }),
    block(4, "tool_use", { id: "toolu_2", name: "look", input: {} }),
    ended("tool_use"),
    { type: "message_stop" },
  ]);
  expect(progress).toBe("finished");
  expect(previews).toEqual([
    { type: "start", eventType: "agent.thinking", eventId: "e0" },
    { type: "start", eventType: "agent.message", eventId: "e1" },
    { type: "text", eventId: "e1", index: 0, text: " I lo" },
    { type: "text", eventId: "e1", index: 0, text: "ok." },
  ]);
  expect(step).toMatchObject({
    thinkingId: "e0",
    message: { id: "e1", content: [{ type: "text", text: " I look." }] },
    calls: [
      { id: "e2", name: "look", input: { a: 1 } },
      { id: "e3", name: "look", input: {} },
    ],
    usage: { ...usage, output_tokens: 22, speed: "standard" },
  });
  expect(step.native).toEqual({
    v: 1,
    harness: "claude",
    model: "m",
    callIds: ["e2", "e3"],
    content: [
      { type: "thinking", thinking: "Hm.", signature: "c2ln" },
      { type: "text", text: " I look." },
      { type: "tool_use", id: "toolu_1", name: "look", input: { a: 1 } },
      { type: "tool_use", id: "toolu_2", name: "look", input: {} },
    ],
  });
});

test.each(["[1]", "null", '{"cut', "no json"])("marks arguments that are no object: %s", (partial_json) => {
  const call = block(0, "tool_use", { id: "t", name: "look", input: {} });
  const { step } = read([call, delta(0, "input_json_delta", { partial_json }), ended("tool_use")]);
  expect(step.calls).toMatchObject([{ input: {}, inputError: expect.stringMatching(/not a JSON object/) }]);
});

test.each(["max_tokens", "model_context_window_exceeded"])("is cut at %s: the program would ask again", (reason) => {
  const { progress, step } = read([block(0, "text"), text(0, "Half"), ended(reason)]);
  expect([progress, step.message?.content]).toEqual(["cut", [{ type: "text", text: "Half" }]]);
});

test("keeps of a refusal what was said, why, and no call", () => {
  const why = { category: "cyber", explanation: "No." };
  const { step, refusal, progress } = read([
    block(0, "text"),
    text(0, "First I"),
    block(1, "tool_use", { id: "t", name: "look" }),
    ended("refusal", why),
  ]);
  expect(progress).toBe("cut");
  expect(refusal).toEqual({ type: "refusal", ...why });
  expect(step).toMatchObject({ calls: [], refusal, native: { refused: true }, message: { content: [{ text: "First I" }] } });
});

test("takes no response whose end only the program has written", () => {
  const { progress } = read([
    block(0, "text"),
    text(0, "Half"),
    { type: "content_block_stop", index: 0 },
    { type: "message_stop" },
  ]);
  expect(progress).toBe("broken");
});
