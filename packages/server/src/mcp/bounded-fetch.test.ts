import { expect, test } from "vitest";
import { boundReplies } from "./bounded-fetch.ts";
import { MCP_REPLY_BYTES_MAX } from "./limits.ts";

async function read(type: string, chunks: Iterable<string>): Promise<{ parts: string[]; error: unknown; told: number }> {
  let told = 0;
  const encoder = new TextEncoder();
  const body = ReadableStream.from([...chunks].map((chunk) => encoder.encode(chunk)));
  const fetch = boundReplies(
    async () => new Response(body, { headers: { "content-type": type } }),
    () => {
      told += 1;
    },
  );
  const parts: string[] = [];
  try {
    for await (const part of (await fetch("http://x")).body ?? []) parts.push(Buffer.from(part).toString());
    return { parts, error: null, told };
  } catch (error) {
    return { parts, error, told };
  }
}
const SSE = "text/event-stream; charset=utf-8";
const MIB = "x".repeat(1024 * 1024);
const many = (count: number, chunk: string) => Array.from({ length: count }, () => chunk);

test("a body as it is, up to the limit", async () => {
  expect(await read("application/json", ['{"a":', "1}"])).toMatchObject({ parts: ['{"a":', "1}"], error: null });
  const over = await read("application/json", many(MCP_REPLY_BYTES_MAX / MIB.length + 1, MIB));
  expect(over).toMatchObject({ error: expect.objectContaining({ name: "McpFailure" }), told: 1 });
});

test("a stream is bounded by its events, and may go on for ever", async () => {
  for (const newline of ["\n", "\r\n", "\r"]) {
    const event = `data: ${MIB}${newline}${newline}`;
    expect(await read(SSE, many(10, event))).toMatchObject({ error: null, told: 0 });
    const lines = many(10, `data: ${MIB}${newline}`);
    expect((await read(SSE, lines)).told).toBe(1);
  }
});

test("lines go on whole, whatever pieces they come in", async () => {
  const { parts } = await read(SSE, ["da", "ta: 1", "\r", "\ndata", ": 2\n\nevent: x\nda", "ta: 3"]);
  expect(parts).toEqual(["data: 1\r", "\n", "data: 2\n\nevent: x\n", "data: 3"]);
  expect(parts.join("")).toBe("data: 1\r\ndata: 2\n\nevent: x\ndata: 3");
});

test("an event in very many pieces is one line for whoever reads it", async () => {
  const { parts } = await read(SSE, [...many(100_000, "y"), "\n\n"]);
  expect(parts.map((part) => part.length)).toEqual([100_002]);
});
