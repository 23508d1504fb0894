import type { MessageContent, ResultContent } from "@sandbox0/protocol";
import { type Exchange, NO_RESULT, type TranscriptItem } from "../loop/transcript.ts";
import type { ToolResult } from "../port.ts";
import { readNative } from "./native.ts";
import type { DynamicToolCallResponse, ResponseItem, UserInput } from "./protocol.ts";
import type { WireNames } from "./wire-names.ts";

/** What the items are made for: native forms of another endpoint or model are foreign. */
export interface Target {
  baseUrl: string;
  model: string;
  names: WireNames;
}

type InputPart = Extract<ResponseItem, { type: "message" }>["content"][number];
export type OutputItem = Extract<ResponseItem, { type: "function_call_output" }>;

const NO_OUTPUT = "(no output)";

/** The transcript as a conversation of the Responses API. Every call has exactly one result, whatever the log says. */
export function toItems(items: readonly TranscriptItem[], target: Target): ResponseItem[] {
  return items.flatMap((item) => {
    if (item.kind === "input") return [message("user", item.content.flatMap(userParts))];
    if (item.kind === "system") return [message("developer", [text(item.text)])];
    return exchangeItems(item, target);
  });
}

function exchangeItems(exchange: Exchange, target: Target): ResponseItem[] {
  const response = nativeItems(exchange, target) ?? rebuiltItems(exchange, target);
  const wireIds = response.filter((item) => item.type === "function_call").map((item) => item.call_id);
  const outputs = exchange.calls.map((call, index) => toOutput(wireIds[index] ?? call.id, call.result ?? NO_RESULT));
  return [...response, ...outputs];
}

function nativeItems(exchange: Exchange, target: Target): ResponseItem[] | null {
  const native = readNative(
    exchange.native,
    exchange.calls.map((call) => call.id),
  );
  if (native === null || native.baseUrl !== target.baseUrl || native.model !== target.model) return null;
  const calls = native.items.filter((item) => item.type === "function_call");
  const ids = new Set(calls.map((call) => call.call_id).filter((id) => id !== ""));
  // Names and ids go back as the model made them, unless no provider would take them: one bad call must not end a session.
  const usable = calls.length === exchange.calls.length && ids.size === calls.length;
  return usable && calls.every((call) => TOOL_NAME.test(call.name)) ? native.items : null;
}

/** From the events alone: no reasoning, and event ids for call ids. */
function rebuiltItems(exchange: Exchange, { names }: Target): ResponseItem[] {
  const texts = exchange.content.map((block) => (block.type === "text" ? block.text : "[redacted]"));
  const content = texts.map((value) => ({ type: "output_text" as const, text: value }));
  const calls = exchange.calls.map(
    (call): ResponseItem => ({
      type: "function_call",
      name: usableName(names.toWire(call.name)),
      arguments: JSON.stringify(call.input),
      call_id: call.id,
    }),
  );
  return [...(content.length > 0 ? [{ type: "message" as const, role: "assistant", content }] : []), ...calls];
}

const TOOL_NAME = /^[a-zA-Z0-9_-]{1,64}$/;

function usableName(name: string): string {
  return name.replace(/[^a-zA-Z0-9_-]/g, "_").slice(0, 64) || "unknown";
}

function toOutput(callId: string, { content, isError }: ToolResult): OutputItem {
  const parts = content.flatMap(resultParts);
  // The API has no field for it.
  if (isError) parts.unshift(text("[tool error]"));
  return { type: "function_call_output", call_id: callId, output: parts.length > 0 ? parts : [text(NO_OUTPUT)] };
}

type ResultPart = { type: "input_text"; text: string } | { type: "input_image"; image_url: string };

function userParts(block: MessageContent): ResultPart[] {
  if (block.type === "text") return [text(block.text)];
  if (block.type === "redacted") return [text("[redacted]")];
  return mediaParts(block);
}

function resultParts(block: ResultContent): ResultPart[] {
  if (block.type === "text") return [text(block.text)];
  if (block.type === "search_result")
    return [text(`${block.title} (${block.source})\n${block.content.map((part) => part.text).join("\n")}`)];
  return mediaParts(block);
}

type Media = Extract<MessageContent, { type: "image" | "document" }>;

function mediaParts(block: Media): ResultPart[] {
  const { source } = block;
  if (source.type === "file") return [text(`[${block.type} ${source.file_id}: the file is not in the conversation]`)];
  if (block.type === "image") {
    if (source.type === "base64") return [{ type: "input_image", image_url: `data:${source.media_type};base64,${source.data}` }];
    if (source.type === "text") return [text(source.data)];
    return [text(`[image at ${source.url}: the codex harness cannot give images by address to the model]`)];
  }
  const title = block.title ? ` ${JSON.stringify(block.title)}` : "";
  const about = block.context ? [text(block.context)] : [];
  if (source.type === "url")
    return [...about, text(`[document${title} at ${source.url}: the codex harness cannot give documents to the model]`)];
  if (source.type === "text") return [...about, documentText(block.title, source.data)];
  if (/^text\/|json|xml|yaml/.test(source.media_type))
    return [...about, documentText(block.title, Buffer.from(source.data, "base64").toString("utf8"))];
  return [
    ...about,
    text(`[document${title} of type ${source.media_type}: the codex harness gives text documents to the model only]`),
  ];
}

function documentText(title: string | null | undefined, data: string): ResultPart {
  return text(`<document title=${JSON.stringify(title ?? "document")}>\n${data}\n</document>`);
}

function message(role: "user" | "developer", content: InputPart[]): ResponseItem {
  return { type: "message", role, content };
}

function text(value: string): { type: "input_text"; text: string } {
  return { type: "input_text", text: value };
}

// --- the same, while the program goes on by itself -------------------------------------------------------------------

/** The result of a call that the program waits for. */
export function toToolAnswer({ output }: OutputItem): DynamicToolCallResponse {
  const parts = typeof output === "string" ? [text(output)] : output;
  return {
    success: true,
    contentItems: parts.map((part) => {
      if (part.type === "input_text") return { type: "inputText", text: part.text };
      if (part.type === "input_image" && "image_url" in part) return { type: "inputImage", imageUrl: part.image_url };
      throw new TypeError(`a tool result has no ${part.type}`);
    }),
  };
}

/** A user's message for a turn that is under way; `null`: it cannot be given to one. */
export function toUserInput(item: ResponseItem): UserInput[] | null {
  if (item.type !== "message" || item.role !== "user") return null;
  return item.content.map((part): UserInput => {
    if (part.type === "input_text") return { type: "text", text: part.text, text_elements: [] };
    if (part.type === "input_image" && "image_url" in part) return { type: "image", url: part.image_url };
    throw new TypeError(`a user's message has no ${part.type}`);
  });
}
