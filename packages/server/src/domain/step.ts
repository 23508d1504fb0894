import type { AgentContent, ModelUsage } from "@sandbox0/protocol";
import { createId } from "@sandbox0/protocol";
import type { NewEvent } from "./head.ts";
import { errorResult, newEvent } from "./lifecycle-events.ts";
import { type AgentTool, evaluate, type Judgement, type McpTarget, rule } from "./permissions.ts";

/** Model requests in one turn: a model that asks for tools for ever is stopped (contract §8.3 tool_use_limit_reached_error). */
export const STEPS_PER_TURN_MAX = 250;
/** Tool calls in one model response. */
export const CALLS_PER_STEP_MAX = 128;

/** What the model reads of a call that was judged too dangerous. */
const DENIED_BY_JUDGE =
  "The permission policy judged this tool call high-risk; it was not run. Do not try to reach the same effect another way; go on without it or tell the user.";

/** One finished model response, as the harness reports it. */
export interface StepReport {
  thinkingId?: string;
  message?: { id: string; content: readonly AgentContent[] };
  calls: readonly { id: string; name: string; input: Record<string, unknown>; inputError?: string }[];
  usage: ModelUsage;
}

export interface NewToolCall {
  id: string;
  kind: "builtin" | "mcp" | "custom";
  /** For an MCP server's tool, as the server calls it. */
  name: string;
  mcpServer?: string;
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

type RequestedCall = StepReport["calls"][number];

/** The calls that a judge is asked about: under `auto`, and nothing else keeps them from running. */
export function callsToJudge(tools: readonly AgentTool[], step: StepReport): RequestedCall[] {
  return step.calls.filter((call, index) => {
    const ruling = rule(tools, call.name);
    return "policy" in ruling && ruling.policy === "auto" && refusalOf(call, index) === null;
  });
}

/**
 * The events of one model response in their order (semantics §5.2): thinking, message, tool uses, the span's end, then
 * the results of the calls that never run.
 * @param judgements of the calls under `auto`, by id
 */
export function planStep(
  tools: readonly AgentTool[],
  spanId: string,
  step: StepReport,
  judgements: ReadonlyMap<string, Judgement> = new Map(),
): StepPlan {
  const events: NewEvent[] = [];
  if (step.thinkingId) events.push(newEvent("agent.thinking", {}, step.thinkingId));
  if (step.message) events.push(newEvent("agent.message", { content: step.message.content }, step.message.id));
  const results: NewEvent[] = [];
  const calls: NewToolCall[] = [];
  const fates: CallFate[] = [];
  step.calls.forEach((requested, index) => {
    const met = meet(tools, requested, refusalOf(requested, index), judgements.get(requested.id));
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

/** Why a call is not run whatever its policy says. */
function refusalOf(requested: RequestedCall, index: number): string | null {
  if (requested.inputError !== undefined) return requested.inputError;
  return index >= CALLS_PER_STEP_MAX ? `At most ${CALLS_PER_STEP_MAX} tool calls may be made at once.` : null;
}

function meet(
  tools: readonly AgentTool[],
  requested: RequestedCall,
  refusal: string | null,
  judgement: Judgement | undefined,
): { event: NewEvent; call: NewToolCall; refusal: string | null } {
  const ruling = rule(tools, requested.name);
  const { id, name, input } = requested;
  const settled = { started: false, finished: true };
  if (ruling.kind === "custom") {
    const event = newEvent("agent.custom_tool_use", { name, input }, id);
    const call = { id, name, input, resultId: createId("event"), kind: "custom", permission: "allow" } as const;
    return { event, call: { ...call, started: false, finished: refusal !== null }, refusal };
  }
  if (ruling.kind === "unknown") {
    // No policy was applied: there is no evaluation (contract §7.4).
    const use = toolUse(requested, ruling.mcp ?? null, { evaluated_permission: "deny" });
    return { event: use.event, call: { ...use.call, permission: "deny", ...settled }, refusal: notEnabled(name, ruling.mcp) };
  }
  const { permission, evaluation } = evaluate(ruling.policy, judgement);
  const target = ruling.kind === "mcp" ? ruling.target : null;
  const use = toolUse(requested, target, { evaluated_permission: permission, evaluation });
  const why = refusal ?? (permission === "deny" ? DENIED_BY_JUDGE : null);
  if (why !== null) return { event: use.event, call: { ...use.call, permission, ...settled }, refusal: why };
  return {
    event: use.event,
    call: { ...use.call, permission, started: permission === "allow", finished: false },
    refusal: null,
  };
}

/** The event of a call that the server runs, or would run, and the start of its row. */
function toolUse({ id, name, input }: RequestedCall, target: McpTarget | null, judged: Record<string, unknown>) {
  const base = { id, input, resultId: createId("event") };
  if (target === null) {
    const event = newEvent("agent.tool_use", { name, input, ...judged }, id);
    return { event, call: { ...base, kind: "builtin", name } as const };
  }
  const { server, tool } = target;
  const event = newEvent("agent.mcp_tool_use", { mcp_server_name: server, name: tool, input, ...judged }, id);
  return { event, call: { ...base, kind: "mcp", name: tool, mcpServer: server } as const };
}

function notEnabled(name: string, target: McpTarget | undefined): string {
  if (target && !target.connected)
    return `The MCP server "${target.server}" is not connected in this turn; its tool "${target.tool}" was not run.`;
  return `The tool "${name}" is not enabled for this agent; it was not run.`;
}
