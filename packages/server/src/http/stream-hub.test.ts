import { type IncomingMessage, get } from "node:http";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { type StreamPreview, encodeFrame, parseStreamEvent } from "@sandbox0/protocol";
import { until } from "@sandbox0/testkit";
import { afterEach, expect, test } from "vitest";
import type { LivePreview } from "../log/bells.ts";
import type { FollowSink, LogFrame, Subscription } from "../log/follow.ts";
import { TEST_KEY, type TestServer, startTestServer } from "./http-server.fixture.ts";
import type { HttpOptions } from "./http-server.ts";

/** One followed session, played by hand. */
interface Stage {
  server: TestServer;
  sinks: FollowSink[];
  resumed: number;
  closed: number;
  path: string;
}
const servers: TestServer[] = [];

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

async function setStage(options: Partial<HttpOptions> = {}): Promise<Stage> {
  const stage: Omit<Stage, "server"> = { sinks: [], resumed: 0, closed: 0, path: "/v1/sessions/sesn_1/events/stream" };
  const follow = async (_workspace: string, _session: string, sink: FollowSink): Promise<Subscription> => {
    stage.sinks.push(sink);
    return {
      resume: () => {
        stage.resumed += 1;
      },
      close: () => {
        stage.closed += 1;
      },
    };
  };
  const server = await startTestServer({ ...options, wrapSessions: (sessions) => ({ ...sessions, follow }) });
  servers.push(server);
  return Object.assign(stage, { server });
}

let frames = 0;
function frameOf(event: { type: string; id?: string; [field: string]: unknown }): LogFrame {
  frames += 1;
  const whole = { id: `sevt_${frames}`, processed_at: "2026-11-25T00:00:00.000Z", ...event };
  const json = JSON.stringify(whole);
  return { seq: frames, id: whole.id, type: whole.type, json, frame: Buffer.from(encodeFrame(whole.type, json)) };
}
const running = () => frameOf({ type: "session.status_running" });
const message = (id: string, text: string) => frameOf({ type: "agent.message", id, content: [{ type: "text", text }] });

/** A stream's raw bytes, read by hand so that a test can stop reading. */
async function openRaw(
  stage: Stage,
  query = "",
  extra: Record<string, string> = {},
): Promise<{ response: IncomingMessage; received(): string; ended(): boolean; destroy(): void }> {
  const request = get(`${stage.server.url}${stage.path}${query}`, { headers: { "x-api-key": TEST_KEY, ...extra } });
  const response = await new Promise<IncomingMessage>((resolve, reject) =>
    request.once("response", resolve).once("error", reject),
  );
  let text = "";
  let ended = false;
  response.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  response.once("close", () => {
    ended = true;
  });
  response.on("error", () => undefined);
  return { response, received: () => text, ended: () => ended, destroy: () => request.destroy() };
}

test("headers come at once, then one event line and one data line a frame", async () => {
  const stage = await setStage();
  const stream = await openRaw(stage);
  expect(stream.response.statusCode).toBe(200);
  expect(stream.response.headers["content-type"]).toMatch(/^text\/event-stream/);
  expect(stream.response.headers["request-id"]).toMatch(/^req_/);
  expect(stream.response.headers["anthropic-workspace-id"]).toBe(stage.server.workspaceId);
  await until(() => stream.received() === ": connected\n\n");
  const [first, second] = [running(), frameOf({ type: "session.usage", usage: {} })];
  stage.sinks[0]?.events([first, second]);
  const expected = `: connected\n\nevent: session.status_running\ndata: ${first.json}\n\nevent: session.usage\ndata: ${second.json}\n\n`;
  await until(() => stream.received() === expected);
  stream.destroy();
  await until(() => stage.closed === 1 && stage.server.streams() === 0);
});

test("the official SDK reads events and previews, and ends with the session", async () => {
  const stage = await setStage();
  const events: unknown[] = [];
  const stream = await stage.server.client().beta.sessions.events.stream("sesn_1", { event_deltas: ["agent.message"] });
  const [sink] = stage.sinks;
  const previews: LivePreview[] = [
    { type: "text", eventId: "sevt_old", index: 0, offset: 3, text: "late" },
    { type: "start", eventType: "agent.thinking", eventId: "sevt_t" },
    { type: "start", eventType: "agent.message", eventId: "sevt_m" },
    { type: "text", eventId: "sevt_m", index: 0, offset: 0, text: "Hel" },
    { type: "text", eventId: "sevt_m", index: 0, offset: 3, text: "lo" },
  ];
  for (const preview of previews) sink?.preview(preview);
  sink?.events([message("sevt_m", "Hello"), frameOf({ type: "session.deleted" })]);
  sink?.end("deleted");
  for await (const event of stream) events.push(parseStreamEvent(event));
  expect(events.map((event) => (event as { type: string }).type)).toEqual([
    "event_start",
    "event_delta",
    "event_delta",
    "agent.message",
    "session.deleted",
  ]);
  const deltas = events.filter(
    (event): event is Extract<StreamPreview, { type: "event_delta" }> => (event as { type: string }).type === "event_delta",
  );
  expect(deltas.map((event) => event.delta.content.text).join("")).toBe("Hello");
});

test("without event_deltas there are no previews; other values are refused by name", async () => {
  const stage = await setStage();
  const stream = await openRaw(stage);
  stage.sinks[0]?.preview({ type: "start", eventType: "agent.message", eventId: "sevt_m" });
  const end = running();
  stage.sinks[0]?.events([end]);
  await until(() => stream.received().endsWith(`${end.json}\n\n`));
  expect(stream.received()).not.toContain("event_start");
  stream.destroy();
  const { status, body } = await stage.server.request("GET", `${stage.path}?event_deltas[]=agent.tool_use`);
  expect(status).toBe(400);
  expect(body.error?.message).toMatch(/^event_deltas\[0\]: /);
  const many = Array.from({ length: 101 }, () => "event_deltas[]=agent.message").join("&");
  expect((await stage.server.request("GET", `${stage.path}?${many}`)).status).toBe(400);
});

test("a reader that stops reading holds nothing up, and is resumed when it reads again", async () => {
  const stage = await setStage();
  const slow = await openRaw(stage, "?event_deltas[]=agent.message");
  slow.response.pause();
  const [sink] = stage.sinks;
  const big = message("sevt_big", "x".repeat(1_000_000));
  let sent = 0;
  await until(() => {
    sent += 1;
    return sink?.events([big]) === false;
  });
  // Previews are dropped meanwhile.
  sink?.preview({ type: "start", eventType: "agent.message", eventId: "sevt_p" });
  expect(stage.resumed).toBe(0);
  slow.response.resume();
  await until(() => stage.resumed === 1);
  await until(() => slow.received().length >= sent * big.frame.length);
  expect(slow.received().split("event: agent.message").length - 1).toBe(sent);
  expect(slow.received()).not.toContain("event_start");
  expect(slow.ended()).toBe(false);
  slow.destroy();
});

test("idle streams are pinged, by frames the SDK skips", async () => {
  const stage = await setStage({ pingIntervalMs: 20 });
  const stream = await openRaw(stage);
  await until(() => stream.received().split("event: ping").length > 3);
  stream.destroy();
  const seen: unknown[] = [];
  const events = await stage.server.client().beta.sessions.events.stream("sesn_1");
  const sink = await until(() => stage.sinks[1]);
  const raw = await openRaw(stage);
  await until(() => raw.received().includes("event: ping"));
  raw.destroy();
  sink.events([running()]);
  sink.end("shutdown");
  for await (const event of events) seen.push(event);
  expect(seen).toHaveLength(1);
});

test("a reader that has stalled for too long is closed", async () => {
  const stage = await setStage({ pingIntervalMs: 20, stallMsMax: 100 });
  const dead = await openRaw(stage);
  dead.response.pause();
  const big = message("sevt_big", "x".repeat(1_000_000));
  let resumed = -1;
  await until(() => {
    // As the log does: nothing more while the socket is full. The kernel takes a few megabytes before it is.
    if (resumed < stage.resumed && stage.sinks[0]?.events([big]) === false) resumed = stage.resumed;
    return stage.closed === 1 && stage.server.streams() === 0;
  });
});

test("HTTP/1.0, as some proxies speak it, gets the same frames without chunks", async () => {
  const stage = await setStage();
  const socket = connect(Number(new URL(stage.server.url).port), "127.0.0.1");
  socket.write(`GET ${stage.path} HTTP/1.0\r\nx-api-key: ${TEST_KEY}\r\n\r\n`);
  const sink = await until(() => stage.sinks[0]);
  const frame = running();
  sink.events([frame]);
  sink.end("shutdown");
  const answer = await text(socket);
  expect(answer.slice(answer.indexOf("\r\n\r\n") + 4)).toBe(
    `: connected\n\nevent: session.status_running\ndata: ${frame.json}\n\n`,
  );
});

test.each<[string, Record<string, string>, string]>([
  ["the official SDK 1.x", { "x-stainless-lang": "js", "anthropic-version": "2026-10-21" }, "session.usage"],
  ["no SDK", { "anthropic-version": "2023-06-01" }, "session.usage"],
  ["the official SDK 0.x", { "x-stainless-lang": "js", "anthropic-version": "2023-06-01" }, "message"],
  ["an older SDK of another language", { "x-stainless-lang": "python", "anthropic-version": "2023-06-01" }, "message"],
])("frames carry the name that %s lets through", async (_who, headers, name) => {
  const stage = await setStage();
  const stream = await openRaw(stage, "?event_deltas[]=agent.message", headers);
  const frame = frameOf({ type: "session.usage", usage: {} });
  stage.sinks[0]?.preview({ type: "start", eventType: "agent.message", eventId: "sevt_m" });
  stage.sinks[0]?.events([frame]);
  await until(() => stream.received().endsWith(`event: ${name}\ndata: ${frame.json}\n\n`));
  expect(stream.received()).toContain(
    name === "message" ? 'event: message\ndata: {"type":"event_start"' : "event: event_start\n",
  );
  stream.destroy();
});

test("a connection serves other requests after its stream", async () => {
  const stage = await setStage();
  const socket = connect(Number(new URL(stage.server.url).port), "127.0.0.1");
  const ask = (path: string): void => void socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\nx-api-key: ${TEST_KEY}\r\n\r\n`);
  let answers = "";
  socket.setEncoding("utf8").on("data", (chunk: string) => {
    answers += chunk;
  });
  ask(stage.path);
  const sink = await until(() => stage.sinks[0]);
  await until(() => answers.includes(": connected"));
  sink.end("deleted");
  await until(() => answers.endsWith("0\r\n\r\n"));
  ask("/healthz");
  await until(() => answers.endsWith('{"status":"ok"}'));
  socket.destroy();
});

test("more streams than there may be are refused with a typed overload", async () => {
  const stage = await setStage({ streamsMax: 2 });
  const open = [await openRaw(stage), await openRaw(stage)];
  const { status, body, headers } = await stage.server.request("GET", stage.path);
  expect([status, body.error?.type, headers.get("retry-after")]).toEqual([529, "overloaded_error", "1"]);
  for (const stream of open) stream.destroy();
  await until(() => stage.server.streams() === 0);
  const again = await openRaw(stage);
  expect(again.response.statusCode).toBe(200);
  again.destroy();
});

test("closing the server ends the streams and lets running requests finish", async () => {
  let release: (() => void) | undefined;
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  let asked = false;
  const server = await startTestServer({
    wrapSessions: (sessions) => ({
      ...sessions,
      follow: async () => ({ resume: () => undefined, close: () => undefined }),
      listEvents: async () => {
        asked = true;
        await held;
        return { data: [], next_page: null };
      },
    }),
  });
  const stream = await openRaw({ server, sinks: [], resumed: 0, closed: 0, path: "/v1/sessions/sesn_1/events/stream" });
  const running = server.request("GET", "/v1/sessions/sesn_1/events");
  await until(() => asked);
  const closing = server.close();
  await until(() => stream.ended());
  release?.();
  expect((await running).status).toBe(200);
  await closing;
});

test("a reader that takes nothing does not hold up the end of the server", async () => {
  const stage = await setStage();
  const dead = await openRaw(stage);
  dead.response.pause();
  const big = message("sevt_big", "x".repeat(1_000_000));
  for (let i = 0; i < 20; i++) stage.sinks[0]?.events([big]);
  await stage.server.close();
  servers.splice(0);
  expect(stage.server.streams()).toBe(0);
});
