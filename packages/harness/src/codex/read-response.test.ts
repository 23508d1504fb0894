import { expect, test } from "vitest";
import type { Preview } from "../port.ts";
import { ProgramFailed } from "./app-server.ts";
import { createPreviewer } from "./preview.ts";
import { createResponseReader, type Ending, type ResponseEnd } from "./read-response.ts";
import { toStep } from "./translate.ts";
import { createWireNames } from "./wire-names.ts";

const USAGE = {
  totalTokens: 110,
  inputTokens: 100,
  cachedInputTokens: 30,
  cacheWriteInputTokens: 20,
  outputTokens: 10,
  reasoningOutputTokens: 0,
};

/** As codex-cli 0.169.0 sent them, shortened: reasoning, a message and two calls. */
const RECORDED = [
  { method: "item/started", params: { item: { type: "reasoning", id: "rs_1", summary: [], content: [] } } },
  {
    method: "rawResponseItem/completed",
    params: {
      item: {
        type: "reasoning",
        id: "rs_1",
        summary: [],
        encrypted_content: "b3BhcXVl",
        internal_chat_message_metadata_passthrough: { turn_id: "t" },
      },
    },
  },
  { method: "item/started", params: { item: { type: "agentMessage", id: "msg_1", text: "" } } },
  { method: "item/agentMessage/delta", params: { itemId: "msg_1", delta: "I lo" } },
  { method: "item/agentMessage/delta", params: { itemId: "msg_1", delta: "ok." } },
  {
    method: "rawResponseItem/completed",
    params: { item: { type: "message", id: "msg_1", role: "assistant", content: [{ type: "output_text", text: "I look." }] } },
  },
  {
    method: "rawResponseItem/completed",
    params: { item: { type: "function_call", name: "mcp_a__b", arguments: '{"x":1}', call_id: "call_1" } },
  },
  {
    method: "rawResponseItem/completed",
    params: { item: { type: "function_call", name: "look", arguments: "[1", call_id: "call_2" } },
  },
  {
    method: "rawResponseItem/completed",
    params: { item: { type: "function_call_output", call_id: "call_1", output: "not of the model" } },
  },
  { method: "rawResponse/completed", params: { responseId: "resp_1", usage: USAGE } },
] as const;

async function read(
  notifications: readonly { method: string; params: object }[],
): Promise<{ end: ResponseEnd; previews: Preview[]; settled: object }> {
  const previews: Preview[] = [];
  let ids = 0;
  const previewer = createPreviewer({ preview: (preview) => void previews.push(preview), newEventId: () => `id_${++ids}` });
  const reader = createResponseReader(previewer);
  let ending: Ending | null = null;
  for (const { method, params } of notifications) ending ??= reader.see({ method, params: { ...params } });
  if (ending === null) throw new Error("the response has no end");
  return { end: await reader.settle(ending), previews, settled: previewer.settle() };
}

test("makes one step of a response: thinking, message, calls in order, usage, and all of it to give back", async () => {
  const { end, previews, settled } = await read(RECORDED);
  if (end.type !== "finished") throw new Error("failed");
  const target = { baseUrl: "http://gateway", model: "m", names: createWireNames(["mcp__a__b", "look"]) };
  let ids = 0;
  const parts = { texts: ["I look."], ...settled, newEventId: () => `new_${++ids}` };
  const { step, refusal } = toStep(end.response, parts, { firstTokenMs: 1, totalMs: 2 }, target);
  expect(refusal).toBeNull();
  expect(step).toMatchObject({
    thinkingId: "id_1",
    message: { id: "id_2", content: [{ type: "text", text: "I look." }] },
    calls: [
      { id: "new_1", name: "mcp__a__b", input: { x: 1 } },
      { id: "new_2", name: "look", input: {}, inputError: expect.stringContaining("not a JSON object") },
    ],
    usage: { input_tokens: 50, output_tokens: 10, cache_read_input_tokens: 30, cache_creation_input_tokens: 20 },
    native: { harness: "codex", baseUrl: "http://gateway", model: "m", callIds: ["new_1", "new_2"] },
  });
  expect((step.native as { items: { type: string }[] }).items.map(({ type }) => type)).toEqual([
    "reasoning",
    "message",
    "function_call",
    "function_call",
  ]);
  expect(JSON.stringify(step.native)).not.toContain("passthrough");
  expect(previews).toEqual([
    { type: "start", eventType: "agent.thinking", eventId: "id_1" },
    { type: "start", eventType: "agent.message", eventId: "id_2" },
    { type: "text", eventId: "id_2", index: 0, text: "I lo" },
    { type: "text", eventId: "id_2", index: 0, text: "ok." },
  ]);
});

test("takes a message that began and never came for a refusal", async () => {
  const { end } = await read([RECORDED[2], RECORDED[9]]);
  expect(end).toMatchObject({ type: "finished", response: { items: [], refusal: { text: null } } });
});

test("ends with what was said when the provider's limit cut it", async () => {
  const error = { message: "Incomplete response returned, reason: max_output_tokens", codexErrorInfo: "other" };
  const { end } = await read([...RECORDED.slice(2, 6), { method: "error", params: { error, willRetry: false } }]);
  expect(end).toMatchObject({ type: "finished", response: { isCut: true, refusal: null } });
});

test.each([
  { method: "item/agentMessage/delta", params: { delta: 7 } },
  { method: "rawResponseItem/completed", params: {} },
  { method: "rawResponseItem/completed", params: { item: { type: "function_call", name: "x" } } },
  { method: "rawResponseItem/completed", params: { item: { type: "message", role: "assistant", content: "text" } } },
  { method: "rawResponse/completed", params: { usage: { inputTokens: "many" } } },
  { method: "turn/completed", params: { turn: null } },
])("does not take what no program sends: %j", async (notification) => {
  await expect(read([notification])).rejects.toThrow(ProgramFailed);
});
