import type { SessionEvent } from "@sandbox0/protocol";

const CHARS_MAX = 200;

/** What an event is about, as one line of a list. */
export function describeEvent(event: SessionEvent): string {
  return textOf(event).slice(0, CHARS_MAX).replace(/\s+/g, " ");
}

function textOf(event: SessionEvent): string {
  switch (event.type) {
    case "user.message":
    case "agent.message":
    case "system.message":
      return firstText(event.content);
    case "agent.tool_use":
    case "agent.custom_tool_use":
      return `${event.name} ${inputText(event.input)}`;
    case "agent.mcp_tool_use":
      return `${event.mcp_server_name} · ${event.name} ${inputText(event.input)}`;
    case "agent.tool_result":
    case "agent.mcp_tool_result":
    case "user.tool_result":
    case "user.custom_tool_result":
      return `${event.is_error ? "error: " : ""}${firstText(event.content ?? [])}`;
    case "user.tool_confirmation":
      return event.deny_message ? `${event.result}: ${event.deny_message}` : event.result;
    case "session.error":
      return `${event.error.type}: ${event.error.message}`;
    case "session.status_idle":
    case "session.thread_status_idle":
      return event.stop_reason.type;
    case "span.model_request_end":
      return `${event.model_usage.input_tokens} tokens in, ${event.model_usage.output_tokens} out${event.is_error ? ", failed" : ""}`;
    default:
      return "";
  }
}

function firstText(content: readonly { type: string; text?: unknown }[]): string {
  const block = content.find((each) => typeof each.text === "string");
  return typeof block?.text === "string" ? block.text.slice(0, CHARS_MAX) : content.map((each) => each.type).join(", ");
}

function inputText(input: Record<string, unknown>): string {
  const first = Object.values(input)[0];
  return typeof first === "string" ? first.slice(0, CHARS_MAX) : "";
}
