import { isDeepStrictEqual } from "node:util";
import type { CallToolResult, ContentBlock } from "@modelcontextprotocol/client";
import type { ResultContent } from "@sandbox0/protocol";
import { type ImageHeader, readImageHeader } from "./image-header.ts";
import { MCP_BLOCKS_MAX, MCP_IMAGE_BYTES_MAX, MCP_IMAGE_SIDE_MAX, MCP_MEDIA_MAX } from "./limits.ts";

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
  return { content: content.length > 0 ? bounded(content) : [text("(no output)")], isError };
}

/** What is too much of it for one request is said. */
function bounded(content: ResultContent[]): ResultContent[] {
  let media = 0;
  const fewer = content.map((block) => {
    if (block.type === "text" || (block.type === "document" && block.source.type === "text")) return block;
    media += 1;
    return media <= MCP_MEDIA_MAX ? block : text(`[${block.type}: only the first ${MCP_MEDIA_MAX} of a result are shown]`);
  });
  if (fewer.length <= MCP_BLOCKS_MAX) return fewer;
  const texts = fewer.flatMap((block) => textOf(block) ?? []);
  return [text(texts.join("\n\n")), ...fewer.filter((block) => textOf(block) === null)];
}

/** The text of a block; `null`: it is a picture or a PDF. */
export function textOf(block: ResultContent): string | null {
  if (block.type === "text") return block.text;
  return block.type === "document" && block.source.type === "text" ? block.source.data : null;
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
      // Providers refuse a text of nothing but blanks.
      return block.text.trim() === "" ? [] : [text(redact(block.text))];
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
  if (readImageHeader(bytes)) return imageOrNote(bytes, `resource ${title}`);
  if (bytes.subarray(0, 5).toString("latin1") === "%PDF-" && !isError) {
    const source = { type: "base64", media_type: "application/pdf", data: bytes.toString("base64") } as const;
    return { type: "document", title, source };
  }
  if (/^text\/|json|xml|yaml|javascript/.test(type)) return document(redact(bytes.toString("utf8")), title, isError);
  return text(`[resource ${title} of type ${oneLine(type)}, ${bytes.length} bytes: the model cannot read it]`);
}

/** Providers take no empty document, and nothing but text in an error. */
function document(data: string, title: string, isError: boolean): ResultContent {
  if (data.trim() === "") return text(`[resource ${title}: empty]`);
  if (isError) return text(`[resource ${title}]\n${data}`);
  return { type: "document", title, source: { type: "text", media_type: "text/plain", data } };
}

function imageOrNote(bytes: Buffer, what: string): ResultContent {
  const header = readImageHeader(bytes);
  const problem = header ? imageProblem(bytes, header) : "not a PNG, JPEG, GIF or WebP";
  if (header && problem === null)
    return { type: "image", source: { type: "base64", media_type: header.mediaType, data: bytes.toString("base64") } };
  return text(`[${oneLine(what)}, ${bytes.length} bytes: ${problem}, not shown]`);
}

function imageProblem(bytes: Buffer, { width, height }: ImageHeader): string | null {
  if (bytes.length > MCP_IMAGE_BYTES_MAX) return `larger than ${MCP_IMAGE_BYTES_MAX} bytes`;
  if (width === 0 || height === 0) return "damaged";
  const fits = width <= MCP_IMAGE_SIDE_MAX && height <= MCP_IMAGE_SIDE_MAX;
  return fits ? null : `${width} × ${height} pixels, and models take up to ${MCP_IMAGE_SIDE_MAX} a side`;
}

function oneLine(value: string): string {
  return value.replace(/\s+/g, " ").slice(0, 200);
}

function text(value: string): ResultContent {
  return { type: "text", text: value };
}
