import { isDeepStrictEqual } from "node:util";
import type { CallToolResult, ContentBlock } from "@modelcontextprotocol/client";
import type { ResultContent } from "@sandbox0/protocol";
import { MCP_IMAGE_BYTES_MAX } from "./limits.ts";

/** As the harness port has it. */
export interface McpToolResult {
  content: ResultContent[];
  isError: boolean;
}

type Redact = (text: string) => string;

/** What an MCP tool gave, as content blocks that every provider takes: one that is refused would fail the session for good. */
export function toToolResult(result: CallToolResult, redact: Redact): McpToolResult {
  const isError = result.isError === true;
  const content = result.content.flatMap((block) => toBlocks(block, isError, redact));
  if (result.structuredContent !== undefined && !isSaid(result.structuredContent, result.content))
    content.push(text(redact(JSON.stringify(result.structuredContent))));
  return { content: content.length > 0 ? content : [text("(no output)")], isError };
}

/** Servers are asked to give the structured result as text too; the model need not read it twice. */
function isSaid(value: unknown, blocks: readonly ContentBlock[]): boolean {
  return blocks.some((block) => {
    if (block.type !== "text") return false;
    try {
      return isDeepStrictEqual(JSON.parse(block.text), value);
    } catch (error) {
      if (error instanceof SyntaxError) return false;
      throw error;
    }
  });
}

function toBlocks(block: ContentBlock, isError: boolean, redact: Redact): ResultContent[] {
  switch (block.type) {
    case "text":
      return block.text === "" ? [] : [text(redact(block.text))];
    case "image":
      return [imageOrNote(Buffer.from(block.data, "base64"), `image of type ${block.mimeType}`)];
    case "audio":
      return [text(`[audio of type ${oneLine(block.mimeType)}: the model cannot hear it]`)];
    case "resource_link":
      return [text(redact(`[resource ${block.name}: ${block.uri}]${block.description ? ` ${block.description}` : ""}`))];
    case "resource":
      return [resource(block.resource, isError, redact)];
  }
}

type Resource = Extract<ContentBlock, { type: "resource" }>["resource"];

function resource(given: Resource, isError: boolean, redact: Redact): ResultContent {
  const title = redact(given.uri);
  if ("text" in given) return document(redact(given.text), title, isError);
  const bytes = Buffer.from(given.blob, "base64");
  const type = (given.mimeType ?? "application/octet-stream").toLowerCase();
  if (imageTypeOf(bytes)) return imageOrNote(bytes, `resource ${title}`);
  if (bytes.subarray(0, 5).toString("latin1") === "%PDF-" && !isError) {
    const source = { type: "base64", media_type: "application/pdf", data: bytes.toString("base64") } as const;
    return { type: "document", title, source };
  }
  if (/^text\/|json|xml|yaml|javascript/.test(type)) return document(redact(bytes.toString("utf8")), title, isError);
  return text(`[resource ${title} of type ${oneLine(type)}, ${bytes.length} bytes: the model cannot read it]`);
}

/** Providers take no empty document, and nothing but text in an error. */
function document(data: string, title: string, isError: boolean): ResultContent {
  if (data === "") return text(`[resource ${title}: empty]`);
  if (isError) return text(`[resource ${title}]\n${data}`);
  return { type: "document", title, source: { type: "text", media_type: "text/plain", data } };
}

function imageOrNote(bytes: Buffer, what: string): ResultContent {
  const type = imageTypeOf(bytes);
  if (type && bytes.length <= MCP_IMAGE_BYTES_MAX)
    return { type: "image", source: { type: "base64", media_type: type, data: bytes.toString("base64") } };
  const why = type ? `larger than ${MCP_IMAGE_BYTES_MAX} bytes` : "not a PNG, JPEG, GIF or WebP";
  return text(`[${oneLine(what)}, ${bytes.length} bytes: ${why}, not shown]`);
}

/** What the bytes say: providers refuse a type that does not fit them. */
function imageTypeOf(bytes: Buffer): string | null {
  const starts = (hex: string, at = 0) => bytes.subarray(at, at + hex.length / 2).toString("hex") === hex;
  if (starts("89504e470d0a1a0a")) return "image/png";
  if (starts("ffd8ff")) return "image/jpeg";
  if (starts("474946383761") || starts("474946383961")) return "image/gif";
  if (starts("52494646") && starts("57454250", 8)) return "image/webp";
  return null;
}

function oneLine(value: string): string {
  return value.replace(/\s+/g, " ").slice(0, 200);
}

function text(value: string): ResultContent {
  return { type: "text", text: value };
}
