import type { StepTiming } from "../port.ts";
import { type Notification, ProgramFailed } from "./app-server.ts";
import { isJson, type Json } from "./json.ts";
import type { LogNote } from "./program-log.ts";
import type { Previewer } from "./preview.ts";
import type { ResponseItem, TokenUsageBreakdown } from "./protocol.ts";

/** One response of the model, as Codex took it in. */
export interface ModelResponse {
  items: ResponseItem[];
  usage: TokenUsageBreakdown;
  /** The provider ended it early: its limit of tokens, or a filter. To Codex that is an error. */
  isCut: boolean;
  /** The model or the provider's filter declined, with what it said. */
  refusal: { text: string | null } | null;
}

export type ResponseEnd = { type: "finished"; response: ModelResponse } | { type: "failed"; error: unknown; facts: Facts };

/** What the program's log told. */
export interface Facts {
  http?: Extract<LogNote, { type: "http" }>;
  providerError?: Extract<LogNote, { type: "provider_error" }>;
  refusal?: string;
  usage?: TokenUsageBreakdown;
  isBroken?: true;
}

/** How long a line of the log may come behind the message that it belongs to. Nobody waits for it who has the facts. */
const LOG_LATE_MS = 5_000;

export interface ResponseReader {
  /** @returns how the response ended, with its last notification. @throws ProgramFailed for what no program sends */
  see(notification: Notification): Ending | null;
  note(note: LogNote): void;
  /** The stream broke, and the program waits for something before it says so. */
  breakOff(message: string): Ending;
  /** With what the log tells of it, for which it waits a moment where it is needed. */
  settle(ending: Ending): Promise<ResponseEnd>;
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

/** As the messages alone tell it. */
export type Ending =
  | { type: "finished"; usage: TokenUsageBreakdown | null; isCut: boolean; isRefusal: boolean }
  | { type: "failed"; error: unknown };

export function createResponseReader(previewer: Previewer): ResponseReader {
  const items: ResponseItem[] = [];
  const clock = createClock();
  const facts: Facts = {};
  let wake = (): void => undefined;
  return {
    timing: clock.read,
    note(note) {
      addFact(facts, note);
      wake();
    },
    breakOff: (message) => endOf({ message, codexErrorInfo: "other" }),
    async settle(ending) {
      const isComplete = (): boolean => hasFacts(ending, facts);
      if (!isComplete()) await atMost(LOG_LATE_MS, isComplete, (woken) => (wake = woken));
      if (ending.type === "failed") return { ...ending, facts };
      const usage = ending.usage ?? facts.usage ?? NO_USAGE;
      const refusal = ending.isRefusal ? { text: facts.refusal ?? null } : null;
      return { type: "finished", response: { items, usage, isCut: ending.isCut, refusal } };
    },
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
          return {
            type: "finished",
            usage: params.usage === null ? null : usageOf(jsonOf(params, "usage")),
            isCut: false,
            // Codex drops what is not text: the message began and never came.
            isRefusal: previewer.isTextOpen,
          };
        case "error":
          return params.willRetry === true ? null : endOf(params.error);
        case "turn/completed":
          return endOf(jsonOf(params, "turn").error ?? { message: "The turn ended without a response." });
        default:
          return null;
      }
    },
  };
}

function endOf(error: unknown): Ending {
  const reason = isJson(error) && typeof error.message === "string" ? INCOMPLETE.exec(error.message)?.[1] : undefined;
  if (reason !== "max_output_tokens" && reason !== "content_filter") return { type: "failed", error };
  return { type: "finished", usage: null, isCut: true, isRefusal: reason === "content_filter" };
}

const NO_USAGE: TokenUsageBreakdown = {
  totalTokens: 0,
  inputTokens: 0,
  cachedInputTokens: 0,
  cacheWriteInputTokens: 0,
  outputTokens: 0,
  reasoningOutputTokens: 0,
};

function addFact(facts: Facts, note: LogNote): void {
  if (note.type === "http") facts.http = note;
  else if (note.type === "provider_error") facts.providerError = note;
  else if (note.type === "refusal") facts.refusal = note.text;
  else if (note.type === "incomplete") facts.usage = providerUsage(note.usage);
  else facts.isBroken = true;
}

function hasFacts(ending: Ending, facts: Facts): boolean {
  if (ending.type === "failed")
    return facts.isBroken === true || facts.providerError !== undefined || (facts.http !== undefined && facts.http.status >= 400);
  // The last that the log says of one that was cut; a filter's refusal often has no text.
  if (ending.isCut) return facts.usage !== undefined;
  return !ending.isRefusal || facts.refusal !== undefined;
}

/** Waits for a condition, and not long. @param onWake is given what looks at the condition again */
async function atMost(ms: number, holds: () => boolean, onWake: (look: () => void) => void): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  // Timers run before pipes are read: after a stall of this process, what has arrived meanwhile comes first.
  const timer = setTimeout(() => setImmediate(resolve), ms);
  onWake(() => {
    if (holds()) resolve();
  });
  await promise;
  clearTimeout(timer);
}

/** As the Responses API counts. */
function providerUsage(usage: Json): TokenUsageBreakdown {
  const details = isJson(usage.input_tokens_details) ? usage.input_tokens_details : {};
  const count = (value: unknown): number => (Number.isSafeInteger(value) ? (value as number) : 0);
  return {
    ...NO_USAGE,
    inputTokens: count(usage.input_tokens),
    cachedInputTokens: count(details.cached_tokens),
    cacheWriteInputTokens: count(details.cache_write_tokens),
    outputTokens: count(usage.output_tokens),
  };
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
