import { call, hold, say } from "@sandbox0/testkit";
import { expect } from "vitest";
import { conformanceServer, TOOLSET } from "./fixture/conformance-server.ts";
import { type StreamEvent, withoutPreviews } from "./fixture/live-stream.ts";
import { message, typesOf } from "./fixture/test-session.ts";
import { verifies } from "./fixture/verifies.ts";

const server = conformanceServer();

const idles = (count: number) => (received: readonly StreamEvent[]) =>
  received.filter((event) => event.type === "session.status_idle").length === count;
/** As the session lists them: once processed, in order. */
const processed = (received: readonly StreamEvent[]) =>
  withoutPreviews(received).filter(({ processed_at }) => processed_at !== null);

verifies(["stream.live-only", "stream.no-gap", "stream.same-as-list"], "no replay; with the list nothing is missed", async () => {
  const session = await server.start({}, say("Before."));
  const before = await session.rest();
  const gate = server.gate();
  await session.send(message(server.play([hold(gate), say("After.")])));
  await gate.reached;
  const stream = await session.stream();
  const listed = await session.events();
  gate.open();
  const received = processed(await stream.until(idles(1)));
  const events = await session.events();
  expect([...listed, ...received]).toEqual(events);
  expect(received.some((event) => before.some(({ id }) => id === event.id))).toBe(false);
});

verifies(["stream.headers-first", "http.accept"], "the headers come before any event, whatever is accepted", async () => {
  const session = await server.createSession();
  for (const accept of ["application/json", "text/event-stream", "*/*", "image/png"]) {
    const stop = new AbortController();
    const response = await server.request(`/v1/sessions/${session.id}/events/stream`, {
      headers: { accept },
      signal: stop.signal,
    });
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toMatch(/^text\/event-stream/);
    expect(response.headers.get("request-id")).toMatch(/^req_/);
    stop.abort();
  }
});

verifies(["stream.fan-out", "stream.each-once", "stream.frames"], "three clients see the same, in the same order", async () => {
  const session = await server.createSession({ agent: { make: { tools: [TOOLSET] } } });
  const streams = [await session.stream(), await session.stream({ deltas: ["agent.message"] }), await session.stream()];
  await session.send(message(server.play([say("I look."), call("bash", { command: "true" })], say("Done."))));
  await session.rest();
  await session.send(message(server.play(say("Again."))));
  const events = await session.rest();
  for (const stream of streams) expect(processed(await stream.until(idles(2)))).toEqual(events);
});

verifies("stream.delete-ends", "session.deleted is the last event, and the stream ends", async () => {
  const session = await server.createSession();
  const [stream, thread] = [await session.stream(), await session.stream({ threadId: await session.threadId() })];
  await server.client.beta.sessions.delete(session.id);
  for (const each of [stream, thread]) {
    await each.ended;
    expect(typesOf(each.received)).toEqual(["session.deleted"]);
  }
});

verifies("stream.terminated", "an archived session says so on its streams", async () => {
  const session = await server.createSession();
  const stream = await session.stream();
  await server.client.beta.sessions.archive(session.id);
  const received = await stream.until((all) => all.at(-1)?.type === "session.status_terminated");
  expect(processed(received)).toEqual(await session.events());
});

verifies(["stream.no-gap", "stream.each-once"], "streams that come and go during a turn lose nothing between them", async () => {
  const session = await server.createSession({ agent: { make: { tools: [TOOLSET] } } });
  const steps = Array.from({ length: 8 }, (_, index) => call("bash", { command: `echo ${index}` }));
  await session.send(message(server.play(...steps, say("Done."))));
  const seen = new Map<string, StreamEvent>();
  const done = () => [...seen.values()].some((event) => event.type === "session.status_idle");
  while (!done()) {
    const stream = await session.stream();
    const known = seen.size;
    for (const event of await session.events()) if (event.processed_at !== null) seen.set(event.id, event);
    if (!done() && seen.size === known) await stream.until((received) => received.length > 0);
    for (const event of processed(stream.received)) seen.set(event.id, event);
    stream.close();
  }
  const events = await session.events();
  expect(new Set(seen.keys())).toEqual(new Set(events.map(({ id }) => id)));
});
