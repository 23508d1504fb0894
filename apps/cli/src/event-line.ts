import type Anthropic from "@anthropic-ai/sdk";
import { shorten } from "./print.ts";

type Sessions = typeof Anthropic.Beta.Sessions.prototype;
export type SessionEvent = Awaited<ReturnType<Sessions["events"]["stream"]>> extends AsyncIterable<infer Event> ? Event : never;

const DETAIL_CHARS_MAX = 110;
const TYPE_WIDTH = 27;

/** One line for a person: time, type and what matters of it. The whole event is what `--json` prints. */
export function formatEvent(event: SessionEvent): string {
  const time = "processed_at" in event && event.processed_at ? event.processed_at.slice(11, 23) : "queued      ";
  return `${time}  ${event.type.padEnd(TYPE_WIDTH)} ${shorten(describe(event), DETAIL_CHARS_MAX)}`.trimEnd();
}

function describe(event: SessionEvent): string {
  switch (event.type) {
    case "user.message":
    case "agent.message":
    case "system.message":
      return describeContent(event.content);
    case "agent.tool_use":
    case "agent.custom_tool_use":
    case "agent.mcp_tool_use": {
      const asks = "evaluated_permission" in event && event.evaluated_permission === "ask" ? "(asks) " : "";
      return `${asks}${event.name} ${JSON.stringify(event.input)}`;
    }
    case "agent.tool_result":
    case "agent.mcp_tool_result":
    case "user.tool_result":
    case "user.custom_tool_result":
      return `${event.is_error ? "error: " : ""}${describeContent(event.content ?? [])}`;
    case "user.tool_confirmation":
      return `${event.result}${event.deny_message ? `: ${event.deny_message}` : ""}`;
    case "session.status_idle":
      return event.stop_reason.type;
    case "session.error":
      return `${event.error.type} (${event.error.retry_status.type}): ${event.error.message}`;
    case "span.model_request_end": {
      const { input_tokens, output_tokens, cache_read_input_tokens } = event.model_usage;
      return `${event.is_error ? "failed, " : ""}${input_tokens + cache_read_input_tokens} tokens in, ${output_tokens} out`;
    }
    default:
      return "";
  }
}

function describeContent(blocks: readonly { type: string }[]): string {
  return blocks.map((block) => ("text" in block && typeof block.text === "string" ? block.text : `[${block.type}]`)).join(" ");
}
