import type { BetaManagedAgentsUserMessageEventParams } from "@anthropic-ai/sdk/resources/beta/sessions/events";
import { call, say } from "@sandbox0/testkit";
import { expect } from "vitest";
import { conformanceServer, MODEL, TOOLSET } from "./fixture/conformance-server.ts";
import { refused, refusedAsInvalid } from "./fixture/refused.ts";
import { message, only, saidBy, textOf } from "./fixture/test-session.ts";
import { verifies } from "./fixture/verifies.ts";

const server = conformanceServer();

type Content = BetaManagedAgentsUserMessageEventParams["content"];
const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const PDF = Buffer.from("%PDF-1.4\n%%EOF\n").toString("base64");

/** Sends the blocks as one message; gives what the model was asked with. */
async function modelSees(model: string, content: Content): Promise<Record<string, unknown>[]> {
  const marker = server.play(say("I see."));
  const session = await server.createSession({ agent: { make: { model } } });
  const [stored] = await session.send({ type: "user.message", content: [{ type: "text", text: marker }, ...content] });
  const events = await session.rest();
  expect(saidBy(events)).toEqual(["I see."]);
  expect(only(events, "user.message")[0]).toMatchObject({
    id: stored?.id,
    content: [{ type: "text", text: marker }, ...content],
  });
  const body = server.requests(marker)[0]?.body as { messages: { content: Record<string, unknown>[] }[] };
  return body.messages?.[0]?.content.slice(1) ?? [body];
}

verifies("turn.inputs", "Anthropic: images and documents, as they were sent", async () => {
  const content: Content = [
    { type: "image", source: { type: "base64", media_type: "image/png", data: PIXEL } },
    { type: "image", source: { type: "url", url: "https://example.com/cat.png" } },
    {
      type: "document",
      source: { type: "base64", media_type: "application/pdf", data: PDF },
      title: "A PDF",
      context: "From the archive.",
    },
    { type: "document", source: { type: "url", url: "https://example.com/paper.pdf" } },
    { type: "document", source: { type: "text", media_type: "text/plain", data: "Plain words." }, title: "Notes" },
  ];
  const sent = (await modelSees(MODEL, content)).map(({ cache_control: _, ...block }) => block);
  expect(sent).toEqual(content);
});

verifies("turn.inputs", "OpenAI: the same content reaches the model", async () => {
  const content: Content = [
    { type: "image", source: { type: "base64", media_type: "image/png", data: PIXEL } },
    { type: "image", source: { type: "url", url: "https://example.com/cat.png" } },
    { type: "document", source: { type: "base64", media_type: "application/pdf", data: PDF }, title: "A PDF" },
    { type: "document", source: { type: "text", media_type: "text/plain", data: "Plain words." }, title: "Notes" },
  ];
  const sent = JSON.stringify(await modelSees("gpt-next", content));
  for (const part of [PIXEL, "https://example.com/cat.png", PDF, "Plain words."]) expect(sent).toContain(part);
});

verifies(["turn.inputs", "turn.history"], "OpenAI's models: tools and several turns over the Responses API", async () => {
  const session = await server.createSession({ agent: { make: { model: "gpt-next", tools: [TOOLSET], system: "Be brief." } } });
  const first = server.play([say("I look."), call("bash", { command: "echo from-the-box" })], say("Seen."));
  await session.send(message(first));
  await session.rest();
  const second = server.play(say("Still here."));
  await session.send(message(second));
  expect(saidBy(await session.rest())).toEqual(["I look.", "Seen.", "Still here."]);
  const [request] = server.requests(second);
  expect(request).toMatchObject({ api: "responses", model: "gpt-next" });
  expect(request?.messages.flatMap(({ results }) => results)[0]?.text).toContain("from-the-box");
});

verifies("events.all-or-nothing", "content that is none, and files while there are none", async () => {
  const session = await server.createSession();
  const send = (block: object) => session.send({ type: "user.message", content: [block] } as never);
  for (const block of [
    { type: "image", source: { type: "base64", media_type: "image/png", data: "not base64!" } },
    { type: "image", source: { type: "url", url: "no url" } },
    { type: "image", source: { type: "url", url: "javascript:alert(1)" } },
    { type: "text", text: "" },
    { type: "image", source: { type: "base64", data: PIXEL } },
    { type: "image" },
    { type: "image", source: { type: "base64", media_type: "image/bmp", data: PIXEL } },
    { type: "image", source: { type: "base64", media_type: "image/png", data: "" } },
    { type: "document", source: { type: "base64", media_type: "text/csv", data: PIXEL } },
    { type: "document", source: { type: "text", media_type: "text/html", data: "x" } },
    { type: "search_result", source: "x", title: "x", content: [], citations: { enabled: true } },
    { type: "tool_result", content: [] },
  ]) {
    await refusedAsInvalid(send(block), "events[0].content[0]");
  }
  await refusedAsInvalid(send({ type: "text", text: " \n" }), "events[0].content");
  for (const type of ["image", "document"]) {
    const refusal = await refused(send({ type, source: { type: "file", file_id: "file_01unknown" } }));
    expect(refusal.status).toBeOneOf([400, 404, 501]);
    expect(refusal.message).toMatch(/file/i);
  }
  expect(await session.events()).toEqual([]);
});

verifies("events.send-echo", "a long message, in any script, comes back as it was", async () => {
  const marker = server.play(say("Read."));
  const text = `${marker} ${'ünïcödé 漢字 🙂 \u2028 \\ " \n\t'.repeat(20_000)}`;
  const session = await server.createSession();
  await session.send(message(text));
  const events = await session.rest();
  expect(textOf(only(events, "user.message")[0] ?? {})).toBe(text);
  expect(server.requests(marker)[0]?.messages[0]?.text).toBe(text);
});
