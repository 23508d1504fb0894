import { cut, hold, say, think } from "@sandbox0/testkit";
import { expect } from "vitest";
import { conformanceServer } from "./fixture/conformance-server.ts";
import type { StreamEvent } from "./fixture/live-stream.ts";
import { refusedAsInvalid } from "./fixture/refused.ts";
import { interrupt, last, message, saidBy, textOf, typesOf } from "./fixture/test-session.ts";
import { verifies } from "./fixture/verifies.ts";

const server = conformanceServer();

const LONG = Array.from({ length: 40 }, (_, index) => `Sentence ${index} of the answer. `).join("");
const BOTH = ["agent.message", "agent.thinking"] as ("agent.message" | "agent.thinking")[];
const idle = (received: readonly StreamEvent[]) => received.some((event) => event.type === "session.status_idle");
const previewsOf = (received: readonly StreamEvent[]) =>
  received.filter((event) => event.type === "event_start" || event.type === "event_delta");
const deltaText = (received: readonly StreamEvent[]) =>
  received.map((event) => (event.type === "event_delta" ? event.delta.content.text : "")).join("");
const hasDeltas = (received: readonly StreamEvent[]) => received.some((event) => event.type === "event_delta");

verifies(
  ["previews.order", "previews.prefix", "previews.accumulate"],
  "start, deltas, then the message under the same id",
  async () => {
    const session = await server.createSession();
    const stream = await session.stream({ deltas: ["agent.message"] });
    const gate = server.gate();
    await session.send(message(server.play([say(LONG.slice(0, 600)), hold(gate), say(LONG.slice(600))])));
    await stream.until(hasDeltas);
    gate.open();
    const received = await stream.until(idle);
    const final = last(received, "agent.message");
    const [start] = previewsOf(received);
    expect(start).toEqual({ type: "event_start", event: { type: "agent.message", id: final.id } });
    expect(deltaText(received).length).toBeGreaterThan(0);
    expect(LONG.startsWith(deltaText(received))).toBe(true);
    expect(textOf(final)).toBe(LONG);
    const types = typesOf(received);
    expect(types.indexOf("span.model_request_start")).toBeLessThan(types.indexOf("event_start"));
    expect(types.lastIndexOf("event_delta")).toBeLessThan(types.indexOf("agent.message"));
  },
);

verifies("previews.opt-in", "a stream that did not ask, and the list, have none", async () => {
  const session = await server.createSession();
  const [plain, asking] = [await session.stream(), await session.stream({ deltas: BOTH })];
  await session.send(message(server.play([think("Hm."), say(LONG)])));
  expect(previewsOf(await asking.until(idle)).length).toBeGreaterThan(0);
  expect(previewsOf(await plain.until(idle))).toEqual([]);
  expect(typesOf(await session.events()).filter((type) => type.startsWith("event_"))).toEqual([]);

  const thinkingOnly = await session.stream({ deltas: ["agent.thinking"] });
  await session.send(message(server.play([think("Hm."), say(LONG)])));
  expect(previewsOf(await thinkingOnly.until(idle))).toHaveLength(1);
});

verifies("previews.thinking", "agent.thinking: a start, no deltas, then the event", async () => {
  const session = await server.createSession();
  const stream = await session.stream({ deltas: ["agent.thinking"] });
  await session.send(message(server.play([think("A long thought. ".repeat(50)), say("So.")])));
  const received = await stream.until(idle);
  expect(previewsOf(received)).toEqual([
    { type: "event_start", event: { type: "agent.thinking", id: last(received, "agent.thinking").id } },
  ]);
});

verifies("previews.late-joiner", "opened in the middle of a message: no deltas of it, but of the next", async () => {
  const gate = server.gate();
  const session = await server.createSession();
  const early = await session.stream({ deltas: ["agent.message"] });
  await session.send(message(server.play([say(LONG), hold(gate), say(LONG)])));
  await early.until(hasDeltas);
  const late = await session.stream({ deltas: ["agent.message"] });
  gate.open();
  await early.until(idle);
  const received = await late.until(idle);
  expect(previewsOf(received)).toEqual([]);
  expect(textOf(last(received, "agent.message"))).toBe(LONG + LONG);
  await session.send(message(server.play(say(LONG))));
  expect(
    previewsOf(await late.until((all) => typesOf(all).filter((type) => type === "session.status_idle").length === 2)).length,
  ).toBeGreaterThan(0);
});

verifies(["previews.cut", "turn.spans"], "interrupted: the span's end closes the preview, no message comes", async () => {
  const gate = server.gate();
  const session = await server.createSession();
  const stream = await session.stream({ deltas: ["agent.message"] });
  await session.send(message(server.play([say(LONG), hold(gate), say(LONG)])));
  await stream.until(hasDeltas);
  await session.send(interrupt);
  const received = await stream.until(idle);
  expect(typesOf(received)).not.toContain("agent.message");
  expect(last(received, "span.model_request_end").is_error).toBe(true);
});

verifies(["previews.cut", "errors.no-partial"], "a stream that breaks off: the retry's message has its own preview", async () => {
  const session = await server.createSession();
  const stream = await session.stream({ deltas: ["agent.message"] });
  let tries = 0;
  const marker = server.play(() => (++tries === 1 ? [say(LONG), cut()] : say("The whole answer.")));
  await session.send(message(marker));
  const received = await stream.until(idle);
  const starts = received.flatMap((event) => (event.type === "event_start" ? [event.event.id] : []));
  expect(new Set(starts).size).toBe(starts.length);
  expect(starts.at(-1)).toBe(last(received, "agent.message").id);
  expect(saidBy(await session.events())).toEqual(["The whole answer."]);
});

verifies("previews.bad-value", "another value, or more than 100: a 400 that names event_deltas", async () => {
  const session = await server.createSession();
  await refusedAsInvalid(session.stream({ deltas: ["agent.tool_use" as "agent.message"] }), /event_deltas/);
  await refusedAsInvalid(session.stream({ deltas: Array(101).fill("agent.message") }), /event_deltas/);
  await (await session.stream({ deltas: Array(100).fill("agent.message") })).close();
});

verifies(["previews.thread-stream", "threads.stream-path"], "on the primary thread's own stream", async () => {
  const session = await server.createSession();
  const stream = await session.stream({ deltas: ["agent.message"], threadId: await session.threadId() });
  await session.send(message(server.play(say(LONG))));
  const received = await stream.until(idle);
  expect(previewsOf(received).length).toBeGreaterThan(0);
  expect(received.filter((event) => !event.type.startsWith("event_"))).toEqual(await session.events());
});
