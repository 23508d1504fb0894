import type { Money, RefusalDetails, SessionError, StopReason } from "@sandbox0/protocol";
import { createId } from "@sandbox0/protocol";
import { listCost, tokenCostUsd } from "./list-cost.ts";
import type { Head, InboxRow, NewEvent, ToolCall, UsageTotals } from "./head.ts";

/** Literal text of the official service (semantics §24). */
export const INTERRUPTED_TEXT = "Tool execution was interrupted before completion. Please retry.";

/** The primary thread of a session, as its status events name it. */
export interface ThreadName {
  threadId: string;
  agentName: string;
}

export function newEvent(type: string, fields: Record<string, unknown>, id = createId("event")): NewEvent {
  return { id, type, fields };
}

function threadFields(thread: ThreadName): Record<string, unknown> {
  return { session_thread_id: thread.threadId, agent_name: thread.agentName };
}

export function runningEvents(thread: ThreadName): NewEvent[] {
  return [newEvent("session.status_running", {}), newEvent("session.thread_status_running", threadFields(thread))];
}

export function rescheduledEvents(thread: ThreadName): NewEvent[] {
  return [newEvent("session.status_rescheduled", {}), newEvent("session.thread_status_rescheduled", threadFields(thread))];
}

export function terminatedEvents(thread: ThreadName): NewEvent[] {
  return [newEvent("session.thread_status_terminated", threadFields(thread)), newEvent("session.status_terminated", {})];
}

export function errorEvent(error: SessionError): NewEvent {
  return newEvent("session.error", { error });
}

/**
 * The official shape of accumulated usage (contract §6). Running time is paid for by the session, not by its threads
 * (semantics §15).
 */
export function usageFields(totals: UsageTotals, { runtime } = { runtime: true }): Record<string, unknown> {
  const cost = listCost(totals, { runtime });
  return {
    input_tokens: totals.inputTokens,
    output_tokens: totals.outputTokens,
    cache_read_input_tokens: totals.cacheReadTokens,
    cache_creation: { ephemeral_5m_input_tokens: totals.cacheWriteTokens, ephemeral_1h_input_tokens: 0 },
    active_seconds: totals.activeMs / 1000,
    // Fetches are free, and are not counted (semantics §15).
    server_tool_use: { web_search_requests: totals.webSearches, web_fetch_requests: 0 },
    ...(cost === null ? {} : { list_cost: cost }),
  };
}

/** What `usageFields` wrote; `null`: nothing yet. */
export function totalsOf(usage: Record<string, unknown> | null): UsageTotals {
  const { cache_creation, server_tool_use, list_cost, ...counts } = (usage ?? {}) as Record<string, unknown>;
  const number = (value: unknown): number => (typeof value === "number" ? value : 0);
  const totals = {
    inputTokens: number(counts.input_tokens),
    outputTokens: number(counts.output_tokens),
    cacheReadTokens: number(counts.cache_read_input_tokens),
    cacheWriteTokens: number((cache_creation as Record<string, unknown> | undefined)?.ephemeral_5m_input_tokens),
    activeMs: number(counts.active_seconds) * 1000,
    webSearches: number((server_tool_use as Record<string, unknown> | undefined)?.web_search_requests),
  };
  return { ...totals, tokenCostUsd: tokenCostUsd((list_cost ?? null) as Money | null, totals) };
}

/** Running time included up to `now`. */
export function totalsAt(head: Head, now: Date): UsageTotals {
  const running = head.runningSince ? Math.max(0, now.getTime() - head.runningSince.getTime()) : 0;
  return { ...head.usage, activeMs: head.usage.activeMs + running };
}

/** The end of a turn: thread idle, usage, session idle; usage comes right before the session's idle (semantics §5.2). */
export function idleEvents(
  thread: ThreadName,
  totals: UsageTotals,
  stopReason: StopReason,
  details: RefusalDetails | null = null,
): NewEvent[] {
  const idle = { stop_reason: stopReason, stop_details: details };
  return [
    newEvent("session.thread_status_idle", { ...threadFields(thread), ...idle }),
    newEvent("session.usage", { usage: usageFields(totals) }),
    newEvent("session.status_idle", idle),
  ];
}

/** An input of the client as it goes onto the log. */
export function promoted(row: InboxRow): NewEvent {
  return { id: row.id, type: row.type, fields: row.fields };
}

/** The one result of a call, under the id that was set aside for it. */
export function resultEvent(
  call: Pick<ToolCall, "id" | "kind" | "resultId">,
  content: readonly unknown[],
  isError: boolean,
): NewEvent {
  const mcp = call.kind === "mcp";
  const fields = { [mcp ? "mcp_tool_use_id" : "tool_use_id"]: call.id, content, is_error: isError };
  return { id: call.resultId, type: mcp ? "agent.mcp_tool_result" : "agent.tool_result", fields };
}

export function errorResult(call: Pick<ToolCall, "id" | "kind" | "resultId">, text: string): NewEvent {
  return resultEvent(call, [{ type: "text", text }], true);
}

export function deniedText(denyMessage: string | null): string {
  const reason = denyMessage ? ` Reason: ${denyMessage}` : "";
  return `The user rejected this tool call; it was not run.${reason}`;
}
