import type { AgentContent, MessageContent, ResultContent, SessionEvent } from "@sandbox0/protocol";
import { mcpToolName } from "../mcp-tool-name.ts";
import type { HistoryEntry, Step, ToolResult } from "../port.ts";
import { isRefused } from "./refused.ts";

/** The conversation as the model must see it, rebuilt from the log: inputs, and exchanges of one model response each. */
export type TranscriptItem = InputItem | SystemItem | Exchange;

interface InputItem {
  kind: "input";
  content: readonly MessageContent[];
}
/** A `system.message` event: instructions from here on. */
interface SystemItem {
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
interface TranscriptCall {
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

const REMOVED = "[A message was removed here: the model declined to answer it.]";

interface State {
  items: TranscriptItem[];
  calls: Map<string, TranscriptCall>;
  /** The exchange whose `span.model_request_end`, with its `native`, has not been seen. */
  open: Exchange | null;
}

export function createTranscript(history: readonly HistoryEntry[]): Transcript {
  const state: State = { items: [], calls: new Map(), open: null };
  const append = (entries: readonly HistoryEntry[]): void => {
    for (const { event, native } of entries) apply(state, event, native);
  };
  append(history);
  return {
    items: state.items,
    append,
    appendStep(step) {
      if (step.message === undefined && step.calls.length === 0) return;
      state.open = null;
      const exchange = openExchange(state);
      exchange.content.push(...(step.message?.content ?? []));
      for (const call of step.calls) addCall(state, call.id, call.name, call.input);
      exchange.native = step.native;
      state.open = null;
    },
    answer: (callId, result) => answer(state, callId, result),
    waiting() {
      const last = state.items.findLast((item) => item.kind !== "system");
      return last?.kind === "exchange" ? last.calls.filter((call) => call.result === null).map((call) => call.id) : [];
    },
  };
}

function apply(state: State, event: SessionEvent, native: unknown): void {
  switch (event.type) {
    case "user.message":
      addInput(state, { kind: "input", content: event.content });
      break;
    case "system.message":
      addInput(state, { kind: "system", text: event.content.map((block) => block.text).join("\n") });
      break;
    case "agent.message":
      // A response has one message, and it comes first: another one begins another exchange.
      state.open = null;
      openExchange(state).content.push(...event.content);
      break;
    case "agent.tool_use":
    case "agent.custom_tool_use":
      addCall(state, event.id, event.name, event.input);
      break;
    case "agent.mcp_tool_use":
      addCall(state, event.id, mcpToolName(event.mcp_server_name, event.name), event.input);
      break;
    case "span.model_request_end":
      if (isRefused(native)) dropRefused(state);
      else if (state.open !== null) state.open.native = native;
      state.open = null;
      break;
    case "agent.tool_result":
    case "user.tool_result":
      answer(state, event.tool_use_id, resultOf(event));
      break;
    case "agent.mcp_tool_result":
      answer(state, event.mcp_tool_use_id, resultOf(event));
      break;
    case "user.custom_tool_result":
      answer(state, event.custom_tool_use_id, resultOf(event));
      break;
    default:
      // Everything else is bookkeeping the model does not see.
      break;
  }
}

/** Takes back the response that was declined and the inputs that led to it. */
function dropRefused(state: State): void {
  if (state.open !== null) state.items.pop();
  const before = state.items.length;
  while (state.items.at(-1)?.kind === "input") state.items.pop();
  if (state.items.length < before) state.items.push({ kind: "input", content: [{ type: "text", text: REMOVED }] });
}

function openExchange(state: State): Exchange {
  if (state.open !== null) return state.open;
  const exchange: Exchange = { kind: "exchange", content: [], calls: [], native: undefined };
  state.items.push(exchange);
  state.open = exchange;
  return exchange;
}

function addInput(state: State, item: InputItem | SystemItem): void {
  state.open = null;
  state.items.push(item);
}

function addCall(state: State, id: string, name: string, input: Record<string, unknown>): void {
  const call: TranscriptCall = { id, name, input, result: null };
  state.calls.set(id, call);
  openExchange(state).calls.push(call);
}

function answer(state: State, callId: string, result: ToolResult): void {
  state.open = null;
  const call = state.calls.get(callId);
  // The first result counts: a call has only one.
  if (call !== undefined) call.result ??= result;
}

function resultOf(event: { content?: ResultContent[] | undefined; is_error?: boolean | null | undefined }): ToolResult {
  return { content: event.content ?? [], isError: event.is_error === true };
}
