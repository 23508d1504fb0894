import type { EventOf, SessionEvent, StopReason } from "@sandbox0/protocol";

/** A session's events as a conversation: each call with its answer, no bookkeeping. Pure; fast enough for each change. */

export type ToolUse = EventOf<"agent.tool_use"> | EventOf<"agent.mcp_tool_use"> | EventOf<"agent.custom_tool_use">;
export type ToolResult =
  | EventOf<"agent.tool_result">
  | EventOf<"agent.mcp_tool_result">
  | EventOf<"user.tool_result">
  | EventOf<"user.custom_tool_result">;
export type Confirmation = EventOf<"user.tool_confirmation">;

export interface ToolItem {
  kind: "tool";
  id: string;
  use: ToolUse;
  confirmation: Confirmation | null;
  result: ToolResult | null;
}
export type Item =
  | ToolItem
  | { kind: "user"; id: string; event: EventOf<"user.message">; queued: boolean }
  | { kind: "agent"; id: string; event: EventOf<"agent.message"> }
  | { kind: "thinking"; id: string }
  | { kind: "error"; id: string; event: EventOf<"session.error"> }
  | { kind: "turn_end"; id: string; at: string; reason: StopReason; durationMs: number | null }
  | { kind: "notice"; id: string; event: SessionEvent };

/** Events that a conversation has no line for. */
const BOOKKEEPING: ReadonlySet<string> = new Set([
  "session.status_running",
  "session.usage",
  "session.thread_created",
  "session.thread_status_running",
  "session.thread_status_idle",
  "session.thread_status_rescheduled",
  "session.thread_status_terminated",
  "span.model_request_start",
  "span.model_request_end",
  "span.outcome_evaluation_start",
  "span.outcome_evaluation_ongoing",
]);

export function isToolUse(event: SessionEvent): event is ToolUse {
  return event.type === "agent.tool_use" || event.type === "agent.mcp_tool_use" || event.type === "agent.custom_tool_use";
}

/** The call that an event answers. */
export function answeredCall(event: SessionEvent): string | null {
  switch (event.type) {
    case "agent.tool_result":
    case "user.tool_result":
    case "user.tool_confirmation":
      return event.tool_use_id;
    case "agent.mcp_tool_result":
      return event.mcp_tool_use_id;
    case "user.custom_tool_result":
      return event.custom_tool_use_id;
    default:
      return null;
  }
}

export function foldConversation(events: readonly SessionEvent[], pending: readonly SessionEvent[]): Item[] {
  const items: Item[] = [];
  const calls = new Map<string, number>();
  let runningSince: string | null = null;
  for (const event of [...events, ...pending]) {
    if (event.type === "session.status_running") runningSince = event.processed_at;
    if (attach(items, calls, event) || BOOKKEEPING.has(event.type)) continue;
    if (isToolUse(event)) {
      calls.set(event.id, items.length);
      items.push({ kind: "tool", id: event.id, use: event, confirmation: null, result: null });
      continue;
    }
    const item = plainItem(event, runningSince);
    if (item === null || (item.kind === "thinking" && items.at(-1)?.kind === "thinking")) continue;
    items.push(item);
  }
  return items;
}

/** Puts an answer to its call. An answer whose call lies before what is loaded has no line of its own. */
function attach(items: Item[], calls: ReadonlyMap<string, number>, event: SessionEvent): boolean {
  const id = answeredCall(event);
  if (id === null) return false;
  const at = calls.get(id);
  const item = at === undefined ? undefined : items[at];
  if (at === undefined || item?.kind !== "tool") return true;
  items[at] =
    event.type === "user.tool_confirmation" ? { ...item, confirmation: event } : { ...item, result: event as ToolResult };
  return true;
}

function plainItem(event: SessionEvent, runningSince: string | null): Item | null {
  const { id } = event;
  switch (event.type) {
    case "user.message":
      return { kind: "user", id, event, queued: typeof event.processed_at !== "string" };
    case "agent.message":
      return { kind: "agent", id, event };
    case "agent.thinking":
      return { kind: "thinking", id };
    case "session.error":
      return { kind: "error", id, event };
    case "session.status_idle": {
      const durationMs = runningSince === null ? null : Date.parse(event.processed_at) - Date.parse(runningSince);
      return { kind: "turn_end", id, at: event.processed_at, reason: event.stop_reason, durationMs };
    }
    default:
      return { kind: "notice", id, event };
  }
}

/** A call that only a person, or their program, can answer. */
export interface OpenCall {
  use: ToolUse;
  kind: "approval" | "custom" | "result";
}

/** What the session waits for: the calls of its last stop that nobody has answered. */
export function openCalls(events: readonly SessionEvent[], pending: readonly SessionEvent[]): OpenCall[] {
  const stop = events.findLast((event) => event.type === "session.status_idle" || event.type === "session.status_running");
  if (stop?.type !== "session.status_idle" || stop.stop_reason.type !== "requires_action") return [];
  const waiting = new Set(stop.stop_reason.event_ids);
  for (const event of [...events, ...pending]) {
    const id = answeredCall(event);
    if (id !== null) waiting.delete(id);
  }
  return events
    .filter(isToolUse)
    .filter((use) => waiting.has(use.id))
    .map((use) => ({ use, kind: kindOf(use) }));
}

export function kindOf(use: ToolUse): OpenCall["kind"] {
  if (use.type === "agent.custom_tool_use") return "custom";
  return use.evaluated_permission === "ask" ? "approval" : "result";
}

/** Queued messages stand below what is written now. */
export const isLogged = (item: Item): boolean => item.kind !== "user" || !item.queued;

/**
 * Whether nothing that is shown tells what a session that runs is doing: no message as it is written, no call without a result
 * at the end. So it is for who opens a page in the middle of a message: its beginning was said before.
 */
export function worksUnseen(items: readonly Item[], previews: number): boolean {
  const last = items.findLast(isLogged);
  return previews === 0 && !(last?.kind === "tool" && last.result === null);
}

/** Whether the log says that the session is at work. `null`: what is loaded does not say. */
export function isRunning(events: readonly SessionEvent[]): boolean | null {
  const last = events.findLast((event) => event.type.startsWith("session.status_"));
  if (last === undefined) return null;
  return last.type === "session.status_running" || last.type === "session.status_rescheduled";
}
