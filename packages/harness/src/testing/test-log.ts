import { createId, type EventOf, type ModelUsage, type SessionEvent } from "@sandbox0/protocol";
import type { HistoryEntry, ToolResult } from "../port.ts";

type CallEvent = EventOf<"agent.tool_use"> | EventOf<"agent.mcp_tool_use"> | EventOf<"agent.custom_tool_use">;

export const NO_USAGE: ModelUsage = {
  input_tokens: 0,
  output_tokens: 0,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: 0,
};

type NewEvent = { [T in SessionEvent["type"]]: Omit<EventOf<T>, "id" | "processed_at"> & { id?: string } }[SessionEvent["type"]];

/** The log of one session in memory, with the questions the rules of a turn ask of it. */
export interface TestLog {
  readonly entries: HistoryEntry[];
  /** @returns the event's id */
  append(event: NewEvent, native?: unknown): string;
  events<T extends SessionEvent["type"]>(type: T): EventOf<T>[];
  calls(): CallEvent[];
  isAnswered(callId: string): boolean;
  writeResult(callId: string, result: ToolResult): ToolResult;
  /** What the server does when a turn was ended from outside: nothing stays open. */
  closeOpen(): void;
}

const INTERRUPTED: ToolResult = {
  content: [{ type: "text", text: "Tool execution was interrupted before completion. Please retry." }],
  isError: true,
};

export function createTestLog(): TestLog {
  const entries: HistoryEntry[] = [];
  const append = (event: NewEvent, native?: unknown): string => {
    const id = event.id ?? createId("event");
    const stored = { ...event, id, processed_at: new Date().toISOString() } as SessionEvent;
    entries.push({ event: stored, ...(native === undefined ? {} : { native }) });
    return id;
  };
  const events = <T extends SessionEvent["type"]>(type: T): EventOf<T>[] =>
    entries.map(({ event }) => event).filter((event): event is EventOf<T> => event.type === type);
  const calls = (): CallEvent[] => entries.map(({ event }) => event).filter(isCall);
  const isAnswered = (callId: string): boolean => entries.some(({ event }) => answeredBy(event) === callId);
  const writeResult = (callId: string, result: ToolResult): ToolResult => {
    const given = { content: result.content, is_error: result.isError };
    const isMcp = events("agent.mcp_tool_use").some(({ id }) => id === callId);
    if (isMcp) append({ type: "agent.mcp_tool_result", mcp_tool_use_id: callId, ...given });
    else append({ type: "agent.tool_result", tool_use_id: callId, ...given });
    return result;
  };
  return {
    entries,
    append,
    events,
    calls,
    isAnswered,
    writeResult,
    closeOpen() {
      for (const call of calls()) if (!isAnswered(call.id)) writeResult(call.id, INTERRUPTED);
      const ended = new Set(events("span.model_request_end").map((end) => end.model_request_start_id));
      for (const { id } of events("span.model_request_start")) {
        if (ended.has(id)) continue;
        append({ type: "span.model_request_end", model_request_start_id: id, is_error: true, model_usage: NO_USAGE });
      }
    },
  };
}

function isCall(event: SessionEvent): event is CallEvent {
  return event.type === "agent.tool_use" || event.type === "agent.mcp_tool_use" || event.type === "agent.custom_tool_use";
}

function answeredBy(event: SessionEvent): string | undefined {
  if (event.type === "agent.tool_result") return event.tool_use_id;
  if (event.type === "agent.mcp_tool_result") return event.mcp_tool_use_id;
  return event.type === "user.custom_tool_result" ? event.custom_tool_use_id : undefined;
}
