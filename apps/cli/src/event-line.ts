import type Anthropic from "@anthropic-ai/sdk";
import type { Paint, Style } from "./paint.ts";
import { shorten } from "./print.ts";
import { safeLine, safeText } from "./terminal-text.ts";

type Sessions = typeof Anthropic.Beta.Sessions.prototype;
/** Whatever a stream brings: events, and previews of them. */
export type StreamEvent = Awaited<ReturnType<Sessions["events"]["stream"]>> extends AsyncIterable<infer Event> ? Event : never;
export type SessionEvent = Exclude<StreamEvent, { type: "event_start" | "event_delta" }>;

const DETAIL_CHARS_MAX = 110;
const TIME_WIDTH = 12;
const TYPE_WIDTH = 27;
const INDENT = " ".repeat(TIME_WIDTH + TYPE_WIDTH + 3);

const plain: Paint = (_, text) => text;

export interface LineOptions {
  paint?: Paint;
  /** The whole text of messages, on as many lines as it has. */
  full?: boolean;
}

/**
 * One line for a person: time, type and what matters of it. The whole event is what `--json` prints. Safe for a terminal,
 * whatever an agent wrote.
 */
export function formatEvent(event: SessionEvent, { paint = plain, full = false }: LineOptions = {}): string {
  const time = "processed_at" in event && event.processed_at ? event.processed_at.slice(11, 23) : "queued";
  const text = describe(event);
  const isLong = full && (event.type === "agent.message" || event.type === "user.message");
  const shown = isLong ? indentText(safeText(text)) : safeLine(shorten(text, DETAIL_CHARS_MAX));
  return `${formatHead(time, event.type, paint, isError(event))}${shown}`.trimEnd();
}

/** The columns before the text. */
export function formatHead(time: string, type: string, paint: Paint, failed = false): string {
  const style = failed ? "red" : styleOf(type);
  const name = safeLine(type);
  // The padding is not coloured: it goes where nothing follows.
  return `${paint("dim", safeLine(time).padEnd(TIME_WIDTH))}  ${paint(style, name)}${" ".repeat(Math.max(0, TYPE_WIDTH - name.length))} `;
}

/** Further lines stand under the first one. */
export const indentText = (text: string): string => text.replaceAll("\n", `\n${INDENT}`);

function styleOf(type: string): Style {
  if (type === "agent.message") return "green";
  if (type.startsWith("user.")) return "cyan";
  if (type.includes("tool")) return "yellow";
  if (type.startsWith("session.error") || type === "session.status_terminated") return "red";
  return "dim";
}

const isError = (event: SessionEvent): boolean => "is_error" in event && event.is_error === true;

function describe(event: SessionEvent): string {
  switch (event.type) {
    case "user.message":
    case "agent.message":
    case "system.message":
      return textOf(event.content);
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
      return `${event.is_error ? "error: " : ""}${textOf(event.content ?? [])}`;
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

/** The text of content blocks, one after the other; what is no text by its type. */
export function textOf(blocks: readonly { type: string }[]): string {
  return blocks.map((block) => ("text" in block && typeof block.text === "string" ? block.text : `[${block.type}]`)).join("\n");
}
