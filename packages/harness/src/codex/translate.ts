import type { ModelUsage, RefusalDetails } from "@sandbox0/protocol";
import type { RequestedCall, Step, StepTiming } from "../port.ts";
import { isJson } from "./json.ts";
import type { NativeResponse } from "./native.ts";
import type { ResponseItem, TokenUsageBreakdown } from "./protocol.ts";
import type { ModelResponse } from "./read-response.ts";
import type { Target } from "./to-items.ts";

export interface StepParts {
  /** The text blocks of the message in order, as they were previewed. */
  texts: readonly string[];
  /** Given when the response was previewed under it. */
  messageId?: string;
  thinkingId?: string;
  newEventId: () => string;
}

/** One finished response as the log takes it. Nothing of it is dropped: reasoning lives on in `native`. */
export function toStep(
  response: ModelResponse,
  parts: StepParts,
  timing: StepTiming,
  target: Target,
): { step: Step; refusal: RefusalDetails | null } {
  const { texts, messageId, thinkingId, newEventId } = parts;
  // Of a response that was declined only the text counts: no call of it runs.
  const called = response.refusal === null ? response.items.filter(isCall) : [];
  const calls = called.map((item) => toCall(item, newEventId(), target));
  const said = texts.length === 0 && response.refusal?.text ? [response.refusal.text] : texts;
  const content = said.map((text) => ({ type: "text" as const, text }));
  // OpenAI has no categories.
  const refusal: RefusalDetails | null =
    response.refusal === null ? null : { type: "refusal", category: null, explanation: response.refusal.text };
  const native: NativeResponse = {
    v: 1,
    harness: "codex",
    baseUrl: target.baseUrl,
    model: target.model,
    items: response.items,
    callIds: calls.map((call) => call.id),
  };
  const step: Step = {
    ...(response.items.some((item) => item.type === "reasoning") ? { thinkingId: thinkingId ?? newEventId() } : {}),
    ...(content.length > 0 ? { message: { id: messageId ?? newEventId(), content } } : {}),
    calls,
    ...(refusal === null ? { native } : { refusal }),
    usage: toUsage(response.usage),
    timing,
  };
  return { step, refusal };
}

type CallItem = Extract<ResponseItem, { type: "function_call" | "custom_tool_call" }>;

function isCall(item: ResponseItem): item is CallItem {
  return item.type === "function_call" || item.type === "custom_tool_call";
}

function toCall(item: CallItem, id: string, { names }: Target): RequestedCall {
  const name = names.fromWire(item.name);
  if (item.type === "custom_tool_call") return { id, name, input: { input: item.input } };
  const parsed = parseArguments(item.arguments);
  return "error" in parsed
    ? { id, name, input: {}, inputError: `The arguments are not a JSON object: ${parsed.error}` }
    : { id, name, input: parsed.input };
}

/** No arguments at all mean an empty object. */
function parseArguments(text: string): { input: Record<string, unknown> } | { error: string } {
  if (text.trim() === "") return { input: {} };
  try {
    const input: unknown = JSON.parse(text);
    return isJson(input) ? { input } : { error: "it is JSON of another kind" };
  } catch (error) {
    if (error instanceof SyntaxError) return { error: error.message };
    throw error;
  }
}

/** OpenAI counts what was cached as input; the session does not. */
export function toUsage(usage: TokenUsageBreakdown): ModelUsage {
  const { inputTokens, cachedInputTokens, cacheWriteInputTokens, outputTokens } = usage;
  return {
    input_tokens: Math.max(0, inputTokens - cachedInputTokens - cacheWriteInputTokens),
    output_tokens: outputTokens,
    cache_creation_input_tokens: cacheWriteInputTokens,
    cache_read_input_tokens: cachedInputTokens,
  };
}
