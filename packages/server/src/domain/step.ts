import type { AgentContent, ModelUsage } from "@sandbox0/protocol";
import { createId } from "@sandbox0/protocol";
import type { NewEvent } from "./head.ts";
import { errorResult, newEvent } from "./lifecycle-events.ts";
import { type AgentTool, rule } from "./permissions.ts";

/** Model requests in one turn: a model that asks for tools for ever is stopped (contract §8.3 tool_use_limit_reached_error). */
export const STEPS_PER_TURN_MAX = 250;
/** Tool calls in one model response. */
export const CALLS_PER_STEP_MAX = 128;

/** One finished model response, as the harness reports it. */
export interface StepReport {
  thinkingId?: string;
  message?: { id: string; content: readonly AgentContent[] };
  calls: readonly { id: string; name: string; input: Record<string, unknown>; inputError?: string }[];
  usage: ModelUsage;
}

export interface NewToolCall {
  id: string;
  kind: "builtin" | "custom";
  name: string;
  input: Record<string, unknown>;
  permission: "allow" | "ask" | "deny";
  resultId: string;
  /** It runs as soon as this is on the log. */
  started: boolean;
  /** Answered in the same transaction. */
  finished: boolean;
}

export type CallFate = { id: string; action: "run" | "wait" } | { id: string; action: "answered"; text: string };

export interface StepPlan {
  events: NewEvent[];
  /** Index in `events` of the `span.model_request_end` that the harness's own record rides on. */
  spanEndIndex: number;
  calls: NewToolCall[];
  fates: CallFate[];
}

/**
 * The events of one model response in their order (semantics §5.2): thinking, message, tool uses, the span's end, then
 * the results of the calls that never run.
 */
export function planStep(tools: readonly AgentTool[], spanId: string, step: StepReport): StepPlan {
  const events: NewEvent[] = [];
  if (step.thinkingId) events.push(newEvent("agent.thinking", {}, step.thinkingId));
  if (step.message) events.push(newEvent("agent.message", { content: step.message.content }, step.message.id));
  const results: NewEvent[] = [];
  const calls: NewToolCall[] = [];
  const fates: CallFate[] = [];
  step.calls.forEach((requested, index) => {
    const met = meet(tools, requested, index);
    events.push(met.event);
    calls.push(met.call);
    if (met.refusal === null) {
      fates.push({ id: requested.id, action: met.call.started ? "run" : "wait" });
    } else {
      results.push(errorResult(met.call, met.refusal));
      fates.push({ id: requested.id, action: "answered", text: met.refusal });
    }
  });
  const spanEndIndex = events.length;
  events.push(newEvent("span.model_request_end", { model_request_start_id: spanId, is_error: false, model_usage: step.usage }));
  events.push(...results);
  return { events, spanEndIndex, calls, fates };
}

function meet(
  tools: readonly AgentTool[],
  requested: StepReport["calls"][number],
  index: number,
): { event: NewEvent; call: NewToolCall; refusal: string | null } {
  const ruling = rule(tools, requested.name);
  const { id, name, input } = requested;
  const base = { id, name, input, resultId: createId("event") };
  const refusal =
    requested.inputError ??
    (index >= CALLS_PER_STEP_MAX ? `At most ${CALLS_PER_STEP_MAX} tool calls may be made at once.` : null);
  const settled = { started: false, finished: true };
  if (ruling.kind === "custom") {
    const event = newEvent("agent.custom_tool_use", { name, input }, id);
    return { event, call: { ...base, kind: "custom", permission: "allow", started: false, finished: refusal !== null }, refusal };
  }
  if (ruling.kind === "unknown") {
    const event = newEvent("agent.tool_use", { name, input, evaluated_permission: "deny" }, id);
    const text = `The tool "${name}" is not enabled for this agent; it was not run.`;
    return { event, call: { ...base, kind: "builtin", permission: "deny", ...settled }, refusal: text };
  }
  const { permission, evaluation } = ruling;
  const event = newEvent("agent.tool_use", { name, input, evaluated_permission: permission, evaluation }, id);
  if (refusal !== null) return { event, call: { ...base, kind: "builtin", permission, ...settled }, refusal };
  return {
    event,
    call: { ...base, kind: "builtin", permission, started: permission === "allow", finished: false },
    refusal: null,
  };
}
