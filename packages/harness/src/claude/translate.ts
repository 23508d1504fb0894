import type { MessageContent, ResultContent } from "@sandbox0/protocol";
import { type Exchange, NO_RESULT, type TranscriptItem } from "../loop/transcript.ts";
import { readNative } from "./native.ts";

/** A message as the Messages API has it. */
export interface Message {
  role: "user" | "assistant";
  content: Block[];
}
export type Block = { type: string } & Record<string, unknown>;

const NO_OUTPUT: Block = { type: "text", text: "(no output)" };

/** The transcript as a conversation of the Messages API: roles alternate, and every call has its one result. */
export function toConversation(items: readonly TranscriptItem[], model: string): Message[] {
  const messages: Message[] = [];
  const push = (role: Message["role"], content: Block[]): void => {
    const last = messages.at(-1);
    if (last?.role === role && role === "user") last.content.push(...content);
    else if (content.length > 0) messages.push({ role, content });
  };
  for (const item of items) {
    if (item.kind === "input") push("user", item.content.flatMap(userBlocks));
    else if (item.kind === "system") push("user", [text(`<system_message>\n${item.text}\n</system_message>`)]);
    else pushExchange(item, model, push);
  }
  return messages;
}

function pushExchange(exchange: Exchange, model: string, push: (role: Message["role"], content: Block[]) => void): void {
  const callIds = exchange.calls.map(({ id }) => id);
  const native = readNative(exchange.native, model, callIds);
  const content = native === null ? rebuilt(exchange) : sayable(native.content);
  push("assistant", content);
  const ids = content.flatMap((block) => (block.type === "tool_use" ? [String(block.id)] : []));
  push(
    "user",
    exchange.calls.map(({ id, result }, index) => {
      const { content: blocks, isError } = result ?? NO_RESULT;
      const given = blocks.flatMap((block) => resultBlocks(block, isError));
      return {
        type: "tool_result",
        tool_use_id: ids[index] ?? id,
        content: given.length > 0 ? given : [NO_OUTPUT],
        ...(isError ? { is_error: true } : {}),
      };
    }),
  );
}

/** A response as the provider takes it back: it wants no blank text and no two calls with one id. */
export function sayable(content: readonly Block[]): Block[] {
  return content
    .filter((block) => block.type !== "text" || String(block.text).trim() !== "")
    .map((block) => (block.type === "tool_use" ? { ...block, name: usableName(String(block.name)) } : block));
}

/** From the events alone: no thinking, and event ids for call ids. */
function rebuilt(exchange: Exchange): Block[] {
  const texts = exchange.content.map((block) => text(block.type === "text" ? block.text : "[redacted]"));
  const calls = exchange.calls.map(({ id, name, input }) => ({ type: "tool_use", id, name: usableName(name), input }));
  return [...texts, ...calls];
}

function usableName(name: string): string {
  return name.replace(/[^a-zA-Z0-9_-]/g, "_").slice(0, 64) || "unknown";
}

function userBlocks(block: MessageContent): Block[] {
  if (block.type === "text") return block.text.trim() === "" ? [] : [text(block.text)];
  if (block.type === "redacted") return [text("[redacted]")];
  return mediaBlocks(block);
}

function resultBlocks(block: ResultContent, isError: boolean): Block[] {
  if (block.type === "text") return block.text.trim() === "" ? [] : [text(block.text)];
  if (block.type === "search_result" && !isError) return [{ ...block }];
  if (block.type === "search_result")
    return [text(`${block.title} (${block.source})\n${block.content.map((part) => part.text).join("\n")}`)];
  // The provider takes only text and images in an error result.
  if (isError && block.type !== "image") return [text(`[${block.type} attached to an error result, not shown]`)];
  return mediaBlocks(block);
}

type Media = Extract<MessageContent, { type: "image" | "document" }>;

function mediaBlocks(block: Media): Block[] {
  const { source } = block;
  if (source.type === "file") return [text(`[${block.type} ${source.file_id}: the file is not in the conversation]`)];
  if (block.type === "image") return [{ type: "image", source: { ...source } }];
  const extra = { ...(block.title ? { title: block.title } : {}), ...(block.context ? { context: block.context } : {}) };
  if (source.type !== "base64" || source.media_type === "application/pdf")
    return [{ type: "document", source: { ...source }, ...extra }];
  if (!/^text\/|json|xml|yaml/.test(source.media_type))
    return [text(`[document of type ${source.media_type}: the model can read PDF and text only]`)];
  const data = Buffer.from(source.data, "base64").toString("utf8");
  return [{ type: "document", source: { type: "text", media_type: "text/plain", data }, ...extra }];
}

const text = (value: string): Block => ({ type: "text", text: value });

/** The same text for the same value, however its keys are ordered: a database may order them anew. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
