import type { AssistantMessage } from "@earendil-works/pi-ai";
import { expect, test } from "vitest";
import type { NativeStep } from "./native.ts";
import type { Exchange, TranscriptItem } from "../loop/transcript.ts";
import { type Target, toMessages, toStep } from "./translate.ts";

const TARGET: Target = {
  api: "anthropic-messages",
  baseUrl: "https://api.anthropic.com",
  vendor: "anthropic",
  model: "claude-opus-5",
  systemInPlace: false,
};
const text = (value: string) => ({ type: "text" as const, text: value });
const input = (...values: string[]): TranscriptItem => ({ kind: "input", content: values.map(text) });
const NATIVE: NativeStep = {
  v: 1,
  api: "anthropic-messages",
  baseUrl: "https://api.anthropic.com",
  model: "claude-opus-5",
  content: [
    { type: "thinking", thinking: "", thinkingSignature: "sig" },
    text("I look."),
    { type: "toolCall", id: "toolu_1", name: "look", arguments: { of: 1 } },
  ],
  callIds: ["sevt_1"],
};
const exchange = (changes: Partial<Exchange> = {}): Exchange => ({
  kind: "exchange",
  content: [text("I look.")],
  calls: [{ id: "sevt_1", name: "look", input: { of: 1 }, result: { content: [text("seen")], isError: false } }],
  native: NATIVE,
  ...changes,
});
const messages = (items: TranscriptItem[], target: Partial<Target> = {}) => toMessages(items, { ...TARGET, ...target }).messages;
const contents = (items: TranscriptItem[], target: Partial<Target> = {}) =>
  messages(items, target).map((message) => [message.role, message.content]);

test("the provider's own form goes back to the model that made it, with its call ids", () => {
  const [, assistant, result] = messages([input("hi"), exchange()]);
  expect(assistant).toMatchObject({ role: "assistant", provider: "anthropic", model: "claude-opus-5", content: NATIVE.content });
  expect(result).toMatchObject({
    role: "toolResult",
    toolCallId: "toolu_1",
    toolName: "look",
    content: [text("seen")],
    isError: false,
  });
});

test("a form of another endpoint is marked as foreign", () => {
  expect(messages([exchange()], { baseUrl: "https://other.example" })[0]).toMatchObject({ provider: "elsewhere" });
});

test.each([undefined, null, "text", {}, { v: 2 }, { ...NATIVE, callIds: ["sevt_other"] }, { ...NATIVE, content: undefined }])(
  "an exchange is rebuilt from its events when what was stored is %j",
  (native) => {
    const [assistant, result] = messages([exchange({ native })]);
    const call = { type: "toolCall", id: "sevt_1", name: "look", arguments: { of: 1 } };
    expect(assistant).toMatchObject({ content: [text("I look."), call], stopReason: "toolUse" });
    expect(result).toMatchObject({ toolCallId: "sevt_1" });
  },
);

test("a call without a result gets one, right behind its call", () => {
  const calls = [{ id: "sevt_1", name: "look", input: {}, result: null }];
  const [, result, next] = messages([exchange({ calls }), input("go on")]);
  expect(result).toMatchObject({
    role: "toolResult",
    isError: true,
    content: [{ text: expect.stringContaining("interrupted") }],
  });
  expect(next?.role).toBe("user");
});

test("ids and names no provider would take are repaired", () => {
  const block = (id: string, name: string) => ({ type: "toolCall" as const, id, name, arguments: {} });
  const native = {
    ...NATIVE,
    content: [block("same", "look"), block("same", "look at:it"), block("", "")],
    callIds: ["sevt_1", "sevt_2", "sevt_3"],
  };
  const calls = native.callIds.map((id) => ({ id, name: "look", input: {}, result: { content: [], isError: false } }));
  const [assistant, ...results] = messages([exchange({ native, calls })]);
  expect(assistant?.content).toMatchObject([
    { id: "sevt_1", name: "look" },
    { id: "sevt_2", name: "look_at_it" },
    { id: "sevt_3", name: "unknown" },
  ]);
  expect(results.map((result) => result.role === "toolResult" && result.toolCallId)).toEqual(native.callIds);
  expect(results[0]?.content).toEqual([text("(no output)")]);
});

test("neighbouring inputs become one message; system text is folded into it with a tag", () => {
  const items: TranscriptItem[] = [
    input("one"),
    input("two", "three"),
    { kind: "system", text: "be brief" },
    exchange({ calls: [], native: undefined }),
  ];
  expect(contents(items).slice(0, -1)).toEqual([
    ["user", [text("one"), text("two"), text("three"), text("<system_message>\nbe brief\n</system_message>")]],
  ]);
});

test("system text stays a message of its own where the provider takes it", () => {
  expect(contents([input("one"), { kind: "system", text: "be brief" }, input("two")], { systemInPlace: true })).toEqual([
    ["user", [text("one")]],
    ["system", "be brief"],
    ["user", [text("two")]],
  ]);
});

test("errors are marked where the API has no field for them", () => {
  const calls = [{ id: "sevt_1", name: "look", input: {}, result: { content: [text("no")], isError: true } }];
  expect(messages([exchange({ calls })], { api: "openai-responses" })[1]?.content).toEqual([text("[tool error]"), text("no")]);
  expect(messages([exchange({ calls })])[1]?.content).toEqual([text("no")]);
});

const USAGE = {
  input: 1,
  output: 2,
  cacheRead: 3,
  cacheWrite: 4,
  totalTokens: 10,
  cost: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0, total: 0 },
};
const RESPONSE: AssistantMessage = {
  role: "assistant",
  api: "anthropic-messages",
  provider: "anthropic",
  model: "claude-opus-5",
  content: [
    { type: "thinking", thinking: "", thinkingSignature: "sig" },
    text("I look."),
    { type: "toolCall", id: "toolu_1", name: "look", arguments: { of: 1 } },
    { type: "toolCall", id: "toolu_2", name: "look", arguments: {}, argumentsError: "Unexpected end of JSON input" },
  ],
  usage: USAGE,
  stopReason: "toolUse",
  timestamp: 0,
};
const TIMING = { firstTokenMs: 5, totalMs: 9 };

test("a response becomes a step: message, calls under event ids, usage, and its own form", () => {
  let ids = 0;
  const options = { baseUrl: TARGET.baseUrl, fast: true };
  const step = toStep(RESPONSE, ["I look."], { messageId: "m", thinkingId: "t", newEventId: () => `e${++ids}` }, TIMING, options);
  expect(step).toEqual({
    thinkingId: "t",
    message: { id: "m", content: [text("I look.")] },
    calls: [
      { id: "e1", name: "look", input: { of: 1 } },
      { id: "e2", name: "look", input: {}, inputError: expect.stringContaining("Unexpected end of JSON input") },
    ],
    usage: { input_tokens: 1, output_tokens: 2, cache_read_input_tokens: 3, cache_creation_input_tokens: 4, speed: "fast" },
    native: {
      v: 1,
      api: RESPONSE.api,
      baseUrl: TARGET.baseUrl,
      model: RESPONSE.model,
      content: RESPONSE.content,
      callIds: ["e1", "e2"],
    },
    timing: TIMING,
  });
});

test("a response without text and thinking has neither", () => {
  const step = toStep({ ...RESPONSE, content: [] }, [], { newEventId: () => "e" }, TIMING, { baseUrl: "", fast: false });
  expect(Object.keys(step).toSorted()).toEqual(["calls", "native", "timing", "usage"]);
});
