import type { AssistantMessage, ImageContent, Message, TextContent, ToolCall } from "@earendil-works/pi-ai";
import type { AgentContent, MessageContent, ModelUsage, ResultContent } from "@sandbox0/protocol";
import type { ProviderConfig, RequestedCall, Step, StepTiming } from "../port.ts";
import type { Attachment } from "./attachments.ts";
import { type NativeStep, readNative } from "./native.ts";
import { type Exchange, NO_RESULT, type TranscriptItem } from "../loop/transcript.ts";

/** What the messages are made for. */
export interface Target {
  api: ProviderConfig["api"];
  /** As in the request: native forms of another endpoint are foreign. */
  baseUrl: string;
  /** pi-ai's name for the vendor. */
  vendor: string;
  model: string;
  /** The provider takes system text in the middle of a conversation. */
  systemInPlace: boolean;
}

export interface ProviderInput {
  messages: Message[];
  attachments: Attachment[];
}

/** pi-ai wants usage and times on messages of the past and looks at neither. */
const PAST = {
  usage: {
    input: 0,
    output: 0,
    cacheRead: 0,
    cacheWrite: 0,
    totalTokens: 0,
    cost: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0, total: 0 },
  },
  timestamp: 0,
};
const NO_OUTPUT = "(no output)";

/** The transcript as provider messages. Every call has exactly one result right behind it, whatever the log says. */
export function toMessages(items: readonly TranscriptItem[], target: Target): ProviderInput {
  const messages: Message[] = [];
  const attachments: Attachment[] = [];
  const pushUser = (content: UserBlock[]): void => {
    const last = messages.at(-1);
    // Neighbours become one message: strict providers want the roles to alternate.
    if (last?.role === "user") (last.content as UserBlock[]).push(...content);
    else if (content.length > 0) messages.push({ role: "user", content, timestamp: 0 });
  };
  for (const item of items) {
    if (item.kind === "input") {
      pushUser(item.content.flatMap((block) => userBlocks(block, target, attachments)));
    } else if (item.kind === "system") {
      if (target.systemInPlace) messages.push({ role: "system", content: item.text, timestamp: 0 });
      else pushUser([text(`<system_message>\n${item.text}\n</system_message>`)]);
    } else {
      messages.push(...exchangeMessages(item, target, attachments));
    }
  }
  return { messages, attachments };
}

type UserBlock = TextContent | ImageContent;

function exchangeMessages(exchange: Exchange, target: Target, attachments: Attachment[]): Message[] {
  const callIds = exchange.calls.map((call) => call.id);
  const native = readNative(exchange.native, callIds);
  const assistant = withUsableCalls(native === null ? rebuiltMessage(exchange, target) : nativeMessage(native, target), callIds);
  const providerIds = assistant.content.filter((block) => block.type === "toolCall").map((block) => block.id);
  const results = exchange.calls.map((call, index): Message => {
    const { content, isError } = call.result ?? NO_RESULT;
    const blocks = content.flatMap((block) => resultBlocks(block, isError, target, attachments));
    // OpenAI's APIs have no field for it.
    if (isError && target.api !== "anthropic-messages") blocks.unshift(text("[tool error]"));
    return {
      role: "toolResult",
      toolCallId: providerIds[index] ?? call.id,
      toolName: call.name,
      content: blocks.length > 0 ? blocks : [text(NO_OUTPUT)],
      isError,
      timestamp: 0,
    };
  });
  return [assistant, ...results];
}

/** Names and ids go back as models made them, unless no provider would take them: one bad call must not end a session. */
function withUsableCalls(message: AssistantMessage, callIds: readonly string[]): AssistantMessage {
  const calls = message.content.filter((block) => block.type === "toolCall");
  const ids = new Set(calls.map((call) => call.id).filter((id) => id !== ""));
  const usable = ids.size === calls.length && calls.every((call) => TOOL_NAME.test(call.name));
  if (usable) return message;
  const repaired = new Map(
    calls.map((call, index) => [
      call,
      { ...call, name: usableName(call.name), id: ids.size === calls.length ? call.id : (callIds[index] ?? call.id) },
    ]),
  );
  return {
    ...message,
    content: message.content.map((block) => (block.type === "toolCall" ? (repaired.get(block) ?? block) : block)),
  };
}

const TOOL_NAME = /^[a-zA-Z0-9_-]{1,64}$/;

function usableName(name: string): string {
  return name.replace(/[^a-zA-Z0-9_-]/g, "_").slice(0, 64) || "unknown";
}

function nativeMessage(native: NativeStep, target: Target): AssistantMessage {
  return {
    ...PAST,
    role: "assistant",
    content: native.content,
    api: native.api,
    // pi-ai keeps thinking and call ids only for the same vendor, API and model.
    provider: native.baseUrl === target.baseUrl ? target.vendor : "elsewhere",
    model: native.model,
    stopReason: native.callIds.length > 0 ? "toolUse" : "stop",
    ...(native.effort === undefined ? {} : { providerThinkingLevel: native.effort }),
  };
}

/** From the events alone: no thinking, and event ids for call ids. */
function rebuiltMessage(exchange: Exchange, target: Target): AssistantMessage {
  const texts = exchange.content.map((block) => text(block.type === "text" ? block.text : "[redacted]"));
  const calls = exchange.calls.map(
    (call) => ({ type: "toolCall", id: call.id, name: call.name, arguments: call.input }) as ToolCall,
  );
  return {
    ...PAST,
    role: "assistant",
    content: [...texts, ...calls],
    api: target.api,
    provider: target.vendor,
    model: target.model,
    stopReason: calls.length > 0 ? "toolUse" : "stop",
  };
}

function userBlocks(block: MessageContent, target: Target, attachments: Attachment[]): UserBlock[] {
  if (block.type === "text") return [text(block.text)];
  if (block.type === "redacted") return [text("[redacted]")];
  return mediaBlocks(block, target, attachments);
}

function resultBlocks(block: ResultContent, isError: boolean, target: Target, attachments: Attachment[]): UserBlock[] {
  if (block.type === "text") return [text(block.text)];
  if (block.type === "search_result") {
    if (target.api === "anthropic-messages" && !isError) return [attach(block, attachments)];
    return [text(`${block.title} (${block.source})\n${block.content.map((part) => part.text).join("\n")}`)];
  }
  // Anthropic takes only text in an error result; pi-ai moves images of it, but knows no marks.
  if (isError && !isInlineImage(block)) return [text(`[${block.type} attached to an error result, not shown]`)];
  return mediaBlocks(block, target, attachments);
}

type Media = Extract<MessageContent, { type: "image" | "document" }>;

function isInlineImage(block: Media): boolean {
  return block.type === "image" && block.source.type === "base64";
}

function mediaBlocks(block: Media, target: Target, attachments: Attachment[]): UserBlock[] {
  const { source } = block;
  if (source.type === "file") return [text(`[${block.type} ${source.file_id}: the file is not in the conversation]`)];
  if (block.type === "image") {
    if (source.type === "base64") return [{ type: "image", data: source.data, mimeType: source.media_type }];
    return [attach(block, attachments)];
  }
  if (source.type === "base64" && source.media_type !== "application/pdf") {
    if (!/^text\/|json|xml|yaml/.test(source.media_type))
      return [text(`[document of type ${source.media_type}: the model can read PDF and text only]`)];
    const data = Buffer.from(source.data, "base64").toString("utf8");
    return mediaBlocks(
      { ...block, type: "document", source: { type: "text", media_type: "text/plain", data } },
      target,
      attachments,
    );
  }
  if (target.api === "anthropic-messages") return [attach(block, attachments)];
  const about = block.context ? [text(block.context)] : [];
  if (source.type === "text")
    return [...about, text(`<document title=${JSON.stringify(block.title ?? "document")}>\n${source.data}\n</document>`)];
  if (source.type === "url" && target.api === "openai-completions")
    return [...about, text(`[document at ${source.url}: this provider cannot fetch documents]`)];
  return [...about, attach(block, attachments)];
}

function attach(block: Attachment["block"], attachments: Attachment[]): TextContent {
  const mark = `[attachment ${crypto.randomUUID()}]`;
  attachments.push({ mark, block });
  return text(mark);
}

function text(value: string): TextContent {
  return { type: "text", text: value };
}

// --- provider response → step ----------------------------------------------------------------------------------------

export interface StepIds {
  /** Given when the response was previewed under it. */
  messageId?: string;
  thinkingId?: string;
  newEventId: () => string;
}

/**
 * One finished response as the log takes it. `texts` are the text blocks of the message in order, as they were
 * previewed. Nothing else of the response is dropped: thinking lives on in `native`.
 */
export function toStep(
  response: AssistantMessage,
  texts: readonly string[],
  ids: StepIds,
  timing: StepTiming,
  options: { baseUrl: string; fast: boolean },
): Step {
  const toolCalls = response.content.filter((block) => block.type === "toolCall");
  const calls = toolCalls.map((call): RequestedCall => {
    const error =
      call.argumentsError === undefined ? {} : { inputError: `The arguments are not a JSON object: ${call.argumentsError}` };
    return { id: ids.newEventId(), name: call.name, input: call.arguments as Record<string, unknown>, ...error };
  });
  const content: AgentContent[] = texts.map((value) => ({ type: "text", text: value }));
  const thought = response.content.some((block) => block.type === "thinking");
  const native: NativeStep = {
    v: 1,
    api: response.api,
    baseUrl: options.baseUrl,
    model: response.model,
    content: response.content,
    callIds: calls.map((call) => call.id),
    ...(response.providerThinkingLevel === undefined ? {} : { effort: response.providerThinkingLevel }),
  };
  return {
    ...(thought ? { thinkingId: ids.thinkingId ?? ids.newEventId() } : {}),
    ...(content.length > 0 ? { message: { id: ids.messageId ?? ids.newEventId(), content } } : {}),
    calls,
    usage: toUsage(response, options.fast),
    native,
    timing,
  };
}

export function toUsage(response: AssistantMessage, fast: boolean): ModelUsage {
  const { input, output, cacheRead, cacheWrite } = response.usage;
  return {
    input_tokens: input,
    output_tokens: output,
    cache_creation_input_tokens: cacheWrite,
    cache_read_input_tokens: cacheRead,
    speed: fast ? "fast" : "standard",
  };
}
