import type { AgentContent, MessageContent, ResultContent } from "@sandbox0/protocol";
import type { HistoryEntry, Step, ToolResult } from "../port.ts";

/** The conversation as the model must see it, rebuilt from the log: inputs, and exchanges of one model response each. */
export type TranscriptItem = InputItem | SystemItem | Exchange;

export interface InputItem {
  kind: "input";
  content: readonly MessageContent[];
}
/** A `system.message` event: instructions from here on. */
export interface SystemItem {
  kind: "system";
  text: string;
}
/** One model response and the results of its calls, whenever they came. */
export interface Exchange {
  kind: "exchange";
  content: AgentContent[];
  calls: TranscriptCall[];
  /** What `Step.native` held; `undefined` when it is gone. */
  native: unknown;
}
export interface TranscriptCall {
  /** The event id. */
  id: string;
  name: string;
  input: Record<string, unknown>;
  result: ToolResult | null;
}

export interface Transcript {
  readonly items: readonly TranscriptItem[];
  append(entries: readonly HistoryEntry[]): void;
  /** The response that was just written with `finishStep`. */
  appendStep(step: Step): void;
  answer(callId: string, result: ToolResult): void;
  /** Calls of the last exchange that have no result, when no input came after it. */
  waiting(): readonly string[];
}

/** What the model is told of a call that has no result on the log (it should not happen; the log closes every call). */
export const NO_RESULT: ToolResult = {
  content: [{ type: "text", text: "Tool execution was interrupted before completion. Please retry." }],
  isError: true,
};

export function createTranscript(history: readonly HistoryEntry[]): Transcript {
  const items: TranscriptItem[] = [];
  const calls = new Map<string, TranscriptCall>();
  // The exchange whose `span.model_request_end`, with its `native`, has not been seen.
  let open: Exchange | null = null;

  const exchange = (): Exchange => {
    if (open === null) {
      open = { kind: "exchange", content: [], calls: [], native: undefined };
      items.push(open);
    }
    return open;
  };
  const input = (item: InputItem | SystemItem): void => {
    open = null;
    items.push(item);
  };
  const addCall = (id: string, name: string, callInput: Record<string, unknown>): void => {
    const call: TranscriptCall = { id, name, input: callInput, result: null };
    calls.set(id, call);
    exchange().calls.push(call);
  };
  const answer = (callId: string, result: ToolResult): void => {
    open = null;
    const call = calls.get(callId);
    // The first result counts: a call has only one.
    if (call !== undefined) call.result ??= result;
  };
  const append = ({ event, native }: HistoryEntry): void => {
    switch (event.type) {
      case "user.message":
        input({ kind: "input", content: event.content });
        break;
      case "system.message":
        input({ kind: "system", text: event.content.map((block) => block.text).join("\n") });
        break;
      case "agent.message":
        if (open !== null && (open.content.length > 0 || open.calls.length > 0)) open = null;
        exchange().content.push(...event.content);
        break;
      case "agent.tool_use":
      case "agent.mcp_tool_use":
      case "agent.custom_tool_use":
        addCall(event.id, event.name, event.input);
        break;
      case "span.model_request_end":
        if (open !== null) open.native = native;
        open = null;
        break;
      case "agent.tool_result":
      case "user.tool_result":
        answer(event.tool_use_id, resultOf(event));
        break;
      case "agent.mcp_tool_result":
        answer(event.mcp_tool_use_id, resultOf(event));
        break;
      case "user.custom_tool_result":
        answer(event.custom_tool_use_id, resultOf(event));
        break;
      default:
        // Everything else is bookkeeping the model does not see.
        break;
    }
  };
  for (const entry of history) append(entry);

  return {
    items,
    append: (entries) => entries.forEach(append),
    appendStep(step) {
      open = null;
      if (step.message === undefined && step.calls.length === 0) return;
      exchange().content.push(...(step.message?.content ?? []));
      for (const call of step.calls) addCall(call.id, call.name, call.input);
      exchange().native = step.native;
      open = null;
    },
    answer,
    waiting() {
      const last = items.findLast((item) => item.kind !== "system");
      return last?.kind === "exchange" ? last.calls.filter((call) => call.result === null).map((call) => call.id) : [];
    },
  };
}

function resultOf(event: { content?: ResultContent[] | undefined; is_error?: boolean | null | undefined }): ToolResult {
  return { content: event.content ?? [], isError: event.is_error === true };
}
