import type { StepTiming } from "../port.ts";
import { isJson, type Json, type Notification, ProgramFailed } from "./app-server.ts";
import type { Previewer } from "./preview.ts";
import type { ResponseItem, TokenUsageBreakdown } from "./protocol.ts";

/** One response of the model, as Codex took it in. */
export interface ModelResponse {
  items: ResponseItem[];
  /** `null`: Codex did not say. */
  usage: TokenUsageBreakdown | null;
  /** The model or the provider's filter declined. */
  isRefusal: boolean;
}

export type ResponseEnd = { type: "finished"; response: ModelResponse } | { type: "failed"; error: unknown };

export interface ResponseReader {
  /** @returns how the response ended, with its last notification. @throws ProgramFailed for what no program sends */
  see(notification: Notification): ResponseEnd | null;
  timing(): StepTiming;
}

/** Output of a model; everything else that Codex reports as an item is input. */
const OUTPUT_TYPES: ReadonlySet<string> = new Set([
  "message",
  "reasoning",
  "function_call",
  "custom_tool_call",
  "local_shell_call",
]);
const INCOMPLETE = /^Incomplete response returned, reason: (\S+)/;

export function createResponseReader(previewer: Previewer): ResponseReader {
  const items: ResponseItem[] = [];
  const clock = createClock();
  const finish = (usage: TokenUsageBreakdown | null, isRefusal: boolean): ResponseEnd => ({
    type: "finished",
    response: { items, usage, isRefusal: isRefusal || previewer.isTextOpen },
  });
  return {
    timing: clock.read,
    see({ method, params }) {
      switch (method) {
        case "item/started":
          begin(params, previewer, clock.token);
          return null;
        case "item/agentMessage/delta":
          clock.token();
          previewer.text(stringOf(params, "delta"));
          return null;
        case "rawResponseItem/completed":
          takeItem(jsonOf(params, "item"), items, previewer);
          return null;
        case "rawResponse/completed":
          return finish(params.usage === null ? null : usageOf(jsonOf(params, "usage")), false);
        case "error":
          return params.willRetry === true ? null : endOf(params.error, finish);
        case "turn/completed":
          return endOf(jsonOf(params, "turn").error ?? { message: "The turn ended without a response." }, finish);
        default:
          return null;
      }
    },
  };
}

type Finish = (usage: TokenUsageBreakdown | null, isRefusal: boolean) => ResponseEnd;

/** A response that the provider cut short is an error to Codex, and an end to us. */
function endOf(error: unknown, finish: Finish): ResponseEnd {
  const reason = isJson(error) && typeof error.message === "string" ? INCOMPLETE.exec(error.message)?.[1] : undefined;
  if (reason === "max_output_tokens") return finish(null, false);
  if (reason === "content_filter") return finish(null, true);
  return { type: "failed", error };
}

function begin(params: Json, previewer: Previewer, token: () => void): void {
  const { type } = jsonOf(params, "item");
  if (type === "reasoning") previewer.openThinking();
  else if (type === "agentMessage") previewer.openText();
  else return;
  token();
}

function takeItem(item: Json, items: ResponseItem[], previewer: Previewer): void {
  if (!OUTPUT_TYPES.has(String(item.type)) || (item.type === "message" && item.role !== "assistant")) return;
  // Codex's own mark, of no use elsewhere; it is not sent to providers either.
  const { internal_chat_message_metadata_passthrough: _, ...bare } = item;
  const checked = checkItem(bare);
  items.push(checked);
  if (checked.type === "message") previewer.closeText(textOf(checked));
}

/** What the adapter reads of an item has its type. @throws ProgramFailed */
function checkItem(item: Json): ResponseItem {
  if (item.type === "function_call") {
    for (const key of ["name", "arguments", "call_id"]) stringOf(item, key);
  } else if (item.type === "custom_tool_call") {
    for (const key of ["name", "input", "call_id"]) stringOf(item, key);
  } else if (item.type === "message" && !(Array.isArray(item.content) && item.content.every(isJson))) {
    throw malformed("content");
  }
  return item as ResponseItem;
}

export function textOf(item: Extract<ResponseItem, { type: "message" }>): string {
  return item.content.map((part) => (part.type === "output_text" && typeof part.text === "string" ? part.text : "")).join("");
}

function usageOf(usage: Json): TokenUsageBreakdown {
  for (const key of ["inputTokens", "cachedInputTokens", "cacheWriteInputTokens", "outputTokens"]) {
    if (!Number.isSafeInteger(usage[key])) throw malformed(key);
  }
  return usage as TokenUsageBreakdown;
}

function stringOf(holder: Json, key: string): string {
  const value = holder[key];
  if (typeof value !== "string") throw malformed(key);
  return value;
}

function jsonOf(holder: Json, key: string): Json {
  const value = holder[key];
  if (!isJson(value)) throw malformed(key);
  return value;
}

function malformed(key: string): ProgramFailed {
  return new ProgramFailed(`Codex sent a message whose ${key} is not what it should be.`);
}

function createClock(): { token: () => void; read: () => StepTiming } {
  const startedAt = performance.now();
  let firstTokenMs: number | null = null;
  return {
    token: () => {
      firstTokenMs ??= performance.now() - startedAt;
    },
    read: () => ({ firstTokenMs, totalMs: performance.now() - startedAt }),
  };
}
