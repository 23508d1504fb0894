import type { CallToolResult } from "@modelcontextprotocol/client";
import { sessionEventSchema } from "@sandbox0/protocol";
import { expect, test } from "vitest";
import { MCP_BLOCKS_MAX, MCP_IMAGE_BYTES_MAX, MCP_MEDIA_MAX } from "./limits.ts";
import { toToolResult } from "./result-content.ts";

const same = (text: string) => text;
const png = (width: number, height: number) => {
  const size = Buffer.alloc(8);
  size.writeUInt32BE(width);
  size.writeUInt32BE(height, 4);
  return Buffer.concat([Buffer.from("89504e470d0a1a0a0000000d", "hex"), Buffer.from("IHDR"), size, Buffer.from("rest")]);
};
const PNG = png(2, 3);
const PDF = Buffer.from("%PDF-1.7 rest");
const base64 = (bytes: Buffer | string) => Buffer.from(bytes).toString("base64");

function blocks(content: CallToolResult["content"], rest: Partial<CallToolResult> = {}) {
  const result = toToolResult({ content, ...rest }, same);
  const event = { id: "sevt_1", type: "agent.mcp_tool_result", processed_at: "2026-11-25T00:00:00Z", mcp_tool_use_id: "sevt_0" };
  sessionEventSchema.parse({ ...event, content: result.content, is_error: result.isError });
  return result.content;
}

test("text, and what a model cannot take as text about it", () => {
  expect(
    blocks([
      { type: "text", text: "hello" },
      { type: "text", text: "" },
      { type: "text", text: " \n" },
      { type: "audio", mimeType: "audio/wav", data: "AAAA" },
      { type: "resource_link", name: "readme", uri: "file:///readme", description: "Read it." },
      { type: "resource", resource: { uri: "file:///x.bin", mimeType: "application/zip", blob: base64("zip") } },
      { type: "resource", resource: { uri: "file:///empty", text: "" } },
    ]).map((block) => (block.type === "text" ? block.text : block)),
  ).toEqual([
    "hello",
    "[audio of type audio/wav: the model cannot hear it]",
    "[resource readme: file:///readme] Read it.",
    "[resource file:///x.bin of type application/zip, 3 bytes: the model cannot read it]",
    "[resource file:///empty: empty]",
  ]);
  expect(blocks([])).toEqual([{ type: "text", text: "(no output)" }]);
});

test("images by what their bytes say; what a provider would refuse is not sent to it", () => {
  const image = (data: string, mimeType = "image/png") => ({ type: "image" as const, data, mimeType });
  const large = Buffer.alloc(MCP_IMAGE_BYTES_MAX + 1);
  PNG.copy(large);
  const [good, mislabelled, svg, garbage, tooLarge, tooTall, damaged] = blocks([
    image(base64(PNG)),
    image(base64(PNG), "image/jpeg"),
    image(base64("<svg/>"), "image/svg+xml"),
    image("!!! not base64 !!!"),
    image(base64(large)),
    image(base64(png(100, 20_000))),
    image(base64(PNG.subarray(0, 16))),
  ]);
  expect(good).toEqual({ type: "image", source: { type: "base64", media_type: "image/png", data: base64(PNG) } });
  expect(mislabelled).toEqual(good);
  expect([svg, garbage].map((block) => block?.type)).toEqual(["text", "text"]);
  expect(tooTall).toMatchObject({ text: expect.stringContaining("100 × 20000 pixels") });
  expect(damaged).toMatchObject({ text: expect.stringContaining("damaged") });
  expect(svg).toMatchObject({ text: expect.stringContaining("image/svg+xml") });
  expect(tooLarge).toMatchObject({ text: expect.stringContaining("larger than") });
});

test("embedded resources are documents", () => {
  expect(
    blocks([
      { type: "resource", resource: { uri: "file:///a.md", text: "# A" } },
      { type: "resource", resource: { uri: "file:///b.json", mimeType: "application/json", blob: base64("{}") } },
      { type: "resource", resource: { uri: "file:///c.pdf", mimeType: "application/pdf", blob: base64(PDF) } },
      { type: "resource", resource: { uri: "file:///d.png", blob: base64(PNG) } },
    ]),
  ).toEqual([
    { type: "document", title: "file:///a.md", source: { type: "text", media_type: "text/plain", data: "# A" } },
    { type: "document", title: "file:///b.json", source: { type: "text", media_type: "text/plain", data: "{}" } },
    { type: "document", title: "file:///c.pdf", source: { type: "base64", media_type: "application/pdf", data: base64(PDF) } },
    { type: "image", source: { type: "base64", media_type: "image/png", data: base64(PNG) } },
  ]);
});

test("an error has text only", () => {
  const content = [{ type: "resource" as const, resource: { uri: "file:///a.md", text: "why" } }];
  expect(toToolResult({ content, isError: true }, same)).toEqual({
    content: [{ type: "text", text: "[resource file:///a.md]\nwhy" }],
    isError: true,
  });
});

test("structured content is said once", () => {
  const structuredContent = { a: [1, { b: 2 }] };
  expect(blocks([], { structuredContent })).toEqual([{ type: "text", text: '{"a":[1,{"b":2}]}' }]);
  expect(blocks([{ type: "text", text: "see the data" }], { structuredContent })).toHaveLength(2);
  expect(blocks([{ type: "text", text: JSON.stringify(structuredContent, null, 2) }], { structuredContent })).toHaveLength(1);
});

test("what is too much for one request is put together, or told of", () => {
  const image = { type: "image" as const, data: base64(PNG), mimeType: "image/png" };
  const shown = blocks(Array.from({ length: MCP_MEDIA_MAX + 2 }, () => image));
  expect(shown.filter(({ type }) => type === "image")).toHaveLength(MCP_MEDIA_MAX);
  expect(shown.filter(({ type }) => type === "text")).toHaveLength(2);
  const lines = Array.from({ length: MCP_BLOCKS_MAX + 1 }, (_, index) => ({ type: "text" as const, text: `line ${index}` }));
  const [together, last, ...rest] = blocks([...lines, image]);
  expect(together).toMatchObject({ text: expect.stringMatching(/^line 0\n\nline 1\n.*line 128$/s) });
  expect(last?.type).toBe("image");
  expect(rest).toEqual([]);
});

test("what is redacted is redacted in every kind of text", () => {
  const redact = (text: string) => text.replaceAll("SECRET", "[redacted]");
  const content: CallToolResult["content"] = [
    { type: "text", text: "SECRET" },
    { type: "resource", resource: { uri: "x:SECRET", text: "SECRET" } },
    { type: "resource", resource: { uri: "x:", mimeType: "text/plain", blob: base64("SECRET") } },
    { type: "resource_link", name: "SECRET", uri: "x:SECRET", description: "SECRET" },
  ];
  expect(JSON.stringify(toToolResult({ content, structuredContent: { s: "SECRET" } }, redact))).not.toContain("SECRET");
});
