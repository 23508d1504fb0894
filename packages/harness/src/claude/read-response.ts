import type { AgentContent, ModelUsage, RefusalDetails } from "@sandbox0/protocol";
import { REFUSED } from "../loop/refused.ts";
import type { Effects, RequestedCall, Step, StepTiming } from "../port.ts";
import type { NativeBlock } from "./native.ts";
import { createPreviewer, type Part, type Previewer } from "./preview.ts";

/** The provider's stream events, as Claude Code passes them on. */
export type StreamEvent =
  | { type: "message_start"; message: { usage?: Partial<ApiUsage> } }
  | { type: "content_block_start"; index: number; content_block: { type: string } & Record<string, unknown> }
  | { type: "content_block_delta"; index: number; delta: { type: string } & Record<string, unknown> }
  | { type: "content_block_stop"; index: number }
  | {
      type: "message_delta";
      delta: { stop_reason?: string | null; stop_details?: StopDetails | null };
      usage?: Partial<ApiUsage>;
    }
  | { type: "message_stop" }
  | { type: "ping" };

interface ApiUsage {
  input_tokens: number;
  output_tokens: number;
  cache_creation_input_tokens: number;
  cache_read_input_tokens: number;
}
export interface StopDetails {
  category?: string | null;
  explanation?: string | null;
}

/** Of one response. `cut`: the program must not go on by itself from here. `broken`: it never ended. */
export type Progress = "open" | "finished" | "cut" | "broken";

export interface ResponseReader {
  see(event: StreamEvent): Progress;
  /** The provider declined; the program says it in place of the response's own end. */
  refuse(why: StopDetails): void;
  /** The request goes out now. */
  sent(): void;
  readonly isSent: boolean;
  readonly hasBegun: boolean;
  step(model: string): { step: Step; refusal: RefusalDetails | null };
  /** What was counted until now; `null`: nothing. */
  usage(): ModelUsage | null;
  timing(): StepTiming;
}

/** After these Claude Code would ask again, for more. */
const CUT_STOPS: ReadonlySet<string> = new Set(["max_tokens", "model_context_window_exceeded", "refusal", "pause_turn"]);
const CATEGORIES = ["cyber", "bio", "frontier_llm", "reasoning_extraction", "general_harms"] as const;

/** Reads one response: previews on the way, the finished step at the end. */
export function createResponseReader(effects: Pick<Effects, "preview" | "newEventId">): ResponseReader {
  const parts: Part[] = [];
  const counted: Partial<ApiUsage> = {};
  const clock = createClock();
  const previewer = createPreviewer(effects);
  let stopReason: string | null = null;
  let details: StopDetails | null = null;
  let hasBegun = false;
  let isSent = false;

  const begin = (index: number, block: Part["block"]): void => {
    clock.token();
    const part: Part = { block: { ...block }, text: "", shownAt: null };
    parts[index] = part;
    if (block.type === "text" && typeof block.text === "string")
      extend(part, { type: "text_delta", text: block.text }, previewer);
    if (block.type.endsWith("thinking")) previewer.think();
  };
  return {
    see(event) {
      if (event.type === "message_start") {
        hasBegun = true;
        Object.assign(counted, event.message.usage);
      } else if (event.type === "content_block_start") begin(event.index, event.content_block);
      else if (event.type === "content_block_delta") {
        const part = parts[event.index];
        if (part !== undefined) extend(part, event.delta, previewer);
      } else if (event.type === "message_delta") {
        stopReason = event.delta.stop_reason ?? stopReason;
        details = event.delta.stop_details ?? details;
        Object.assign(counted, event.usage);
        if (stopReason !== null && CUT_STOPS.has(stopReason)) return "cut";
      } else if (event.type === "message_stop") {
        // The program closes a stream that broke off itself; only the provider says why a response ends.
        return stopReason === null ? "broken" : "finished";
      }
      return "open";
    },
    refuse(why) {
      stopReason = "refusal";
      details = why;
    },
    sent() {
      isSent = true;
      clock.start();
    },
    get isSent() {
      return isSent;
    },
    get hasBegun() {
      return hasBegun;
    },
    step(model) {
      const ids = { ...previewer.ids, newEventId: effects.newEventId };
      const read = parts.filter((part) => part !== undefined);
      const step = toStep(read, ids, toUsage(counted), clock.read(), model);
      return stopReason === "refusal" ? refused(step, details) : { step, refusal: null };
    },
    usage: () => (hasBegun ? toUsage(counted) : null),
    timing: clock.read,
  };
}

function extend(part: Part, delta: { type: string } & Record<string, unknown>, previewer: Previewer): void {
  if (delta.type === "text_delta") previewer.show(part, String(delta.text));
  else if (delta.type === "thinking_delta") part.text += String(delta.thinking);
  else if (delta.type === "input_json_delta") part.text += String(delta.partial_json);
  else if (delta.type === "signature_delta") part.block.signature = delta.signature;
}

/** Only the text counts of what was declined: no call of it runs. */
function refused(step: Step, details: StopDetails | null): { step: Step; refusal: RefusalDetails } {
  const category = CATEGORIES.find((known) => known === details?.category) ?? null;
  const refusal: RefusalDetails = { type: "refusal", category, explanation: details?.explanation ?? null };
  return { step: { ...step, calls: [], native: REFUSED, refusal }, refusal };
}

interface StepIds {
  messageId?: string;
  thinkingId?: string;
  newEventId: () => string;
}

function toStep(parts: readonly Part[], ids: StepIds, usage: ModelUsage, timing: StepTiming, model: string): Step {
  const calls: RequestedCall[] = [];
  const content: AgentContent[] = [];
  const native: NativeBlock[] = [];
  for (const { block, text } of parts) {
    if (block.type === "text" && text.trim() !== "") {
      content.push({ type: "text", text });
      native.push({ type: "text", text });
    } else if (block.type === "thinking") {
      native.push({ type: "thinking", thinking: text, signature: String(block.signature ?? "") });
    } else if (block.type === "redacted_thinking") {
      native.push({ type: "redacted_thinking", data: String(block.data) });
    } else if (block.type === "tool_use") {
      const parsed = parseInput(text);
      calls.push({ id: ids.newEventId(), name: String(block.name), ...parsed });
      native.push({ type: "tool_use", id: String(block.id), name: String(block.name), input: parsed.input });
    }
  }
  const callIds = calls.map(({ id }) => id);
  return {
    ...(ids.thinkingId === undefined ? {} : { thinkingId: ids.thinkingId }),
    ...(content.length === 0 ? {} : { message: { id: ids.messageId ?? ids.newEventId(), content } }),
    calls,
    usage,
    native: { v: 1, harness: "claude", model, content: native, callIds },
    timing,
  };
}

function parseInput(text: string): { input: Record<string, unknown>; inputError?: string } {
  if (text.trim() === "") return { input: {} };
  try {
    const input: unknown = JSON.parse(text);
    if (typeof input === "object" && input !== null && !Array.isArray(input)) return { input: input as Record<string, unknown> };
    return { input: {}, inputError: "The arguments are not a JSON object." };
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return { input: {}, inputError: `The arguments are not a JSON object: ${error.message}` };
  }
}

function toUsage(counted: Partial<ApiUsage>): ModelUsage {
  return {
    input_tokens: counted.input_tokens ?? 0,
    output_tokens: counted.output_tokens ?? 0,
    cache_creation_input_tokens: counted.cache_creation_input_tokens ?? 0,
    cache_read_input_tokens: counted.cache_read_input_tokens ?? 0,
    speed: "standard",
  };
}

function createClock(): { start(): void; token(): void; read(): StepTiming } {
  let startedAt = performance.now();
  let firstTokenMs: number | null = null;
  return {
    start() {
      startedAt = performance.now();
    },
    token() {
      firstTokenMs ??= performance.now() - startedAt;
    },
    read: () => ({ firstTokenMs, totalMs: performance.now() - startedAt }),
  };
}
