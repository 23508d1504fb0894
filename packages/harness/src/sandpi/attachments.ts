import type { DocumentBlock, ImageBlock, ResultContent } from "@sandbox0/protocol";
import type { ProviderConfig } from "../port.ts";

/**
 * pi-ai's messages hold text and base64 images. What else a user can send rides through its conversion as a text
 * block with a mark, and `placeAttachments` puts the provider's own block there, in the payload hook.
 */
export interface Attachment {
  /** Unguessable, so that no text of a user can be taken for one. */
  mark: string;
  block: ImageBlock | DocumentBlock | Extract<ResultContent, { type: "search_result" }>;
}

type Api = ProviderConfig["api"];
type Json = Record<string, unknown>;

/** Replaces every mark in `payload`, in place. Does nothing when there are no attachments. */
export function placeAttachments(payload: unknown, api: Api, attachments: readonly Attachment[]): void {
  if (attachments.length === 0) return;
  const byMark = new Map(attachments.map((attachment) => [attachment.mark, attachment]));
  const { messages, input } = payload as { messages?: Json[]; input?: Json[] };
  if (api === "anthropic-messages") for (const message of messages ?? []) placeInBlocks(message, "content", byMark, api);
  if (api === "openai-responses")
    for (const item of input ?? []) placeInBlocks(item, "output" in item ? "output" : "content", byMark, api);
  if (api === "openai-completions") placeInChat(messages ?? [], byMark);
}

function placeInBlocks(holder: Json, key: string, byMark: ReadonlyMap<string, Attachment>, api: Api): void {
  const value = holder[key];
  if (typeof value === "string") {
    // pi-ai joins the text blocks of a tool result; a mark is always a whole line of it.
    const blocks = splitAtMarks(value, byMark, api);
    if (blocks !== null) holder[key] = blocks;
  } else if (Array.isArray(value)) {
    holder[key] = (value as Json[]).flatMap((block) => {
      if (block.type === "tool_result") placeInBlocks(block, "content", byMark, api);
      const blocks = typeof block.text === "string" ? splitAtMarks(block.text, byMark, api) : null;
      const last = blocks?.at(-1);
      if (last !== undefined && block.cache_control !== undefined) last.cache_control = block.cache_control;
      return blocks ?? [block];
    });
  }
}

/** `null` when there is no mark in the text. */
function splitAtMarks(text: string, byMark: ReadonlyMap<string, Attachment>, api: Api): Json[] | null {
  const blocks: Json[] = [];
  let lines: string[] = [];
  const flush = (): void => {
    if (lines.join("").trim() !== "")
      blocks.push({ type: api === "openai-responses" ? "input_text" : "text", text: lines.join("\n") });
    lines = [];
  };
  for (const line of text.split("\n")) {
    const attachment = byMark.get(line);
    if (attachment === undefined) {
      lines.push(line);
      continue;
    }
    flush();
    blocks.push(api === "anthropic-messages" ? anthropicBlock(attachment.block) : openaiBlock(attachment.block, api));
  }
  if (blocks.length === 0) return null;
  flush();
  return blocks;
}

/** Chat Completions: the `tool` role holds text only, so its attachments follow in a user message. */
function placeInChat(messages: Json[], byMark: ReadonlyMap<string, Attachment>): void {
  let held: Json[] = [];
  for (let index = 0; index < messages.length; index++) {
    const message = messages[index] as Json;
    if (message.role !== "tool") {
      if (held.length > 0)
        messages.splice(index++, 0, {
          role: "user",
          content: [{ type: "text", text: "Attached to the tool results above:" }, ...held],
        });
      held = [];
      placeInBlocks(message, "content", byMark, "openai-completions");
      continue;
    }
    const blocks = splitAtMarks(String(message.content), byMark, "openai-completions");
    if (blocks === null) continue;
    held.push(...blocks.filter((block) => block.type !== "text"));
    message.content = blocks.map((block) => (block.type === "text" ? block.text : "(attached below)")).join("\n");
  }
  if (held.length > 0)
    messages.push({ role: "user", content: [{ type: "text", text: "Attached to the tool results above:" }, ...held] });
}

function anthropicBlock(block: Attachment["block"]): Json {
  if (block.type !== "document") return { ...block };
  const extra = { ...(block.title ? { title: block.title } : {}), ...(block.context ? { context: block.context } : {}) };
  return { type: "document", source: block.source, ...extra };
}

function openaiBlock(block: Attachment["block"], api: Api): Json {
  if (block.type === "search_result") throw new TypeError("search results are text for OpenAI's APIs");
  const { source } = block;
  const url =
    source.type === "url" ? source.url : source.type === "base64" ? `data:${source.media_type};base64,${source.data}` : "";
  if (block.type === "image") {
    return api === "openai-responses"
      ? { type: "input_image", detail: "auto", image_url: url }
      : { type: "image_url", image_url: { url } };
  }
  const filename = fileName(block);
  if (api === "openai-completions") return { type: "file", file: { filename, file_data: url } };
  return source.type === "url" ? { type: "input_file", file_url: url } : { type: "input_file", filename, file_data: url };
}

function fileName(block: DocumentBlock): string {
  const title = block.title?.trim() || "document";
  return title.toLowerCase().endsWith(".pdf") ? title : `${title}.pdf`;
}
