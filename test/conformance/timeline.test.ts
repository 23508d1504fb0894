import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { timelineSchema, type TimelineSpan } from "@sandbox0/protocol";
import { call, say, until } from "@sandbox0/testkit";
import { afterAll, expect, test } from "vitest";
import { conformanceServer, TOOLSET } from "./fixture/conformance-server.ts";
import { message } from "./fixture/test-session.ts";

/** What a collector was sent, each body as it came. */
interface Receiver {
  url: string;
  bodies: Buffer[];
  /** Answers of the next requests; 200 when there are none. */
  answers: number[];
  server: Server;
}

/** Before the server of the tests, which is told where it is. */
const receiver = await startReceiver();
const server = conformanceServer({ OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url });

afterAll(() => receiver.server.close());

async function startReceiver(): Promise<Receiver> {
  const received: Omit<Receiver, "url"> = { bodies: [], answers: [], server: createServer() };
  received.server.on("request", (request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const status = received.answers.shift() ?? 200;
      if (status === 200) received.bodies.push(Buffer.concat(chunks));
      response.writeHead(status, { "content-type": "application/x-protobuf" }).end();
    });
  });
  await new Promise<void>((resolve) => received.server.listen(0, "127.0.0.1", resolve));
  return { ...received, url: `http://127.0.0.1:${(received.server.address() as AddressInfo).port}` };
}

async function timelineOf(sessionId: string, query = "") {
  const response = await server.request(`/sandbox0/v1/sessions/${sessionId}/timeline${query}`);
  expect(response.status).toBe(200);
  return timelineSchema.parse(await response.json());
}

const kinds = (spans: readonly TimelineSpan[]) => spans.map(({ kind }) => kind);
const of = (spans: readonly TimelineSpan[], kind: TimelineSpan["kind"]) => spans.filter((span) => span.kind === kind);

test("a turn with a command: who waited for what, with tokens, and the sandbox's start", async () => {
  const session = await server.start({ tools: [TOOLSET] }, call("bash", { command: "echo hello" }), say("Done."));
  await session.rest();
  const { data, trace_id, next_page } = await until(async () => {
    const timeline = await timelineOf(session.id);
    return kinds(timeline.data).includes("sandbox_claim") ? timeline : undefined;
  });
  expect(trace_id).toMatch(/^[0-9a-f]{32}$/);
  expect(next_page).toBeNull();
  expect(kinds(data).toSorted()).toEqual(
    ["turn", "step", "model_request", "tool_call", "sandbox_claim", "step", "model_request"].toSorted(),
  );
  const [turn] = of(data, "turn");
  const [first, second] = of(data, "step");
  expect(of(data, "step").every(({ parent_id }) => parent_id === turn?.id)).toBe(true);
  expect(of(data, "model_request").map(({ parent_id }) => parent_id)).toEqual([first?.id, second?.id]);
  const [tool] = of(data, "tool_call");
  expect(tool).toMatchObject({ parent_id: first?.id, name: "bash", status: "ok" });
  expect(tool?.attributes).toMatchObject({ "gen_ai.tool.name": "bash", "gen_ai.tool.call.id": tool?.event_id });
  expect(Number(tool?.attributes["sandbox0.result.bytes"])).toBeGreaterThan(0);
  for (const { attributes } of of(data, "model_request")) {
    expect(Number(attributes["gen_ai.usage.input_tokens"])).toBeGreaterThan(0);
    expect(Number(attributes["sandbox0.first_token_ms"])).toBeGreaterThan(0);
  }
  expect(of(data, "sandbox_claim")[0]).toMatchObject({ parent_id: turn?.id, status: "ok" });
  expect(turn?.attributes).toMatchObject({ "sandbox0.stop_reason": "end_turn" });
  expect(data.every((span) => span.ended_at !== null && span.started_at <= span.ended_at)).toBe(true);
});

test("pages join to the same spans, and end between turns", async () => {
  const session = await server.createSession();
  for (const _ of [1, 2, 3]) {
    await session.send(message(server.play(say("One more."))));
    await session.rest();
  }
  const whole = await timelineOf(session.id);
  expect(kinds(whole.data)).toEqual(Array.from({ length: 3 }, () => ["turn", "step", "model_request"]).flat());
  const pages: TimelineSpan[][] = [];
  let page: string | null = null;
  do {
    const part = await timelineOf(session.id, `?limit=5${page === null ? "" : `&page=${page}`}`);
    pages.push(part.data);
    page = part.next_page;
  } while (page !== null);
  expect(pages.length).toBeGreaterThan(1);
  expect(pages.flat()).toEqual(whole.data);
});

test("the trace of the client that creates the session is joined; a session of another workspace is not there", async () => {
  const [traceId, spanId] = ["0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"];
  const agent = await server.createAgent();
  const created = await server.client.beta.sessions.create(
    { agent: agent.id, environment_id: server.environmentId },
    { headers: { traceparent: `00-${traceId}-${spanId}-01` } },
  );
  await server.client.beta.sessions.events.send(created.id, { events: [message(server.play(say("Hi.")))] });
  const traces = await until(async () => {
    const response = await server.request(`/sandbox0/v1/sessions/${created.id}/traces`);
    const body = (await response.json()) as { resourceSpans: { scopeSpans: { spans: OtlpSpan[] }[] }[] };
    const spans = body.resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans));
    return spans.length === 3 ? spans : undefined;
  });
  expect((await timelineOf(created.id)).trace_id).toBe(traceId);
  expect(new Set(traces.map((span) => span.traceId))).toEqual(new Set([traceId]));
  const turn = traces.find(({ name }) => name.startsWith("invoke_agent "));
  expect(turn?.parentSpanId).toBe(spanId);
  expect(turn?.attributes).toContainEqual({ key: "gen_ai.conversation.id", value: { stringValue: created.id } });
  const unknown = await server.request("/sandbox0/v1/sessions/sesn_unknown/timeline");
  expect(unknown.status).toBe(404);
});

interface OtlpSpan {
  traceId: string;
  parentSpanId?: string;
  name: string;
  attributes: { key: string; value: object }[];
}

test("finished turns reach the collector as OTLP, also when it refuses them at first", async () => {
  receiver.answers.push(500);
  const session = await server.start({ name: "exported agent" }, say("Done."));
  await session.rest();
  // Protobuf keeps texts as they are.
  const arrived = () => receiver.bodies.some((body) => body.includes("invoke_agent exported agent") && body.includes(session.id));
  await until(async () => arrived() || undefined, { timeoutMs: 60_000 });
});
