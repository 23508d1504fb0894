import { call, createScriptedMcpServer, say, type ScriptedMcpServer, until } from "@sandbox0/testkit";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { startCollector } from "./fixture/collector.ts";
import { API_KEY, conformanceServer, MODEL, TOOLSET } from "./fixture/conformance-server.ts";
import { last, message, openSession, saidBy, type TestSession } from "./fixture/test-session.ts";

/** In every secret and in every text that the client, the model or a tool writes; no span has it. */
const CANARY = "canary";
const TRACE = { id: "4bf92f3577b34da6a3ce929d0e0e4736", spanId: "00f067aa0ba902b7" };
/** Kinds of OTLP's spans. */
const [INTERNAL, CLIENT] = [1, 3];

const collector = await startCollector();
const missing = "missing" in collector ? collector.missing : null;
// The report does not name what it skips.
if (missing !== null) console.warn(`No collector, no test of it: ${missing}`);
const server = conformanceServer({
  OTEL_EXPORTER_OTLP_ENDPOINT: "url" in collector ? collector.url : "",
  ANTHROPIC_API_KEY: `${CANARY}-provider-key`,
  SANDBOX0_EGRESS_ALLOW_PRIVATE: "127.0.0.0/8",
});
const mcpServers: ScriptedMcpServer[] = [];
afterEach(async () => {
  await Promise.all(mcpServers.splice(0).map((each) => each.close()));
});
afterAll(async () => {
  if ("close" in collector) await collector.close();
});

type Value = { stringValue?: string; intValue?: string; doubleValue?: number; boolValue?: boolean };
interface Attributed {
  attributes: { key: string; value: Value }[];
}
interface WrittenSpan extends Attributed {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  kind: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
}
interface Export {
  resourceSpans: { resource: Attributed; scopeSpans: { scope: { name: string }; spans: WrittenSpan[] }[] }[];
}

async function written(): Promise<string> {
  return "written" in collector ? collector.written() : "";
}

function attributesOf({ attributes }: Attributed): Record<string, string | number | boolean | undefined> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, plain(value)]));
}
function plain({ stringValue, intValue, doubleValue, boolValue }: Value): string | number | boolean | undefined {
  return stringValue ?? (intValue === undefined ? (doubleValue ?? boolValue) : Number(intValue));
}

/** The exports of a session that has `turns`, once the collector has written them all; a span that came twice is there once. */
async function tracedTurns(sessionId: string, turns: number) {
  const resources = await until(async () => {
    // The last line may be half written.
    const exports = (await written()).split("\n").slice(0, -1);
    const all = exports.map((line) => JSON.parse(line) as Export).flatMap(({ resourceSpans }) => resourceSpans);
    const its = all.filter((each) => spansOf([each]).some((span) => attributesOf(span)["gen_ai.conversation.id"] === sessionId));
    return ofKind(spansOf(its), "turn").length >= turns ? its : undefined;
  });
  return { resources, spans: spansOf(resources) };
}
function spansOf(resources: Export["resourceSpans"]): WrittenSpan[] {
  const spans = resources.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans));
  return [...new Map(spans.map((span) => [span.spanId, span])).values()];
}
function ofKind(spans: readonly WrittenSpan[], kind: string): WrittenSpan[] {
  return spans.filter((span) => attributesOf(span)["sandbox0.kind"] === kind);
}

/** A session whose agent runs a command, then calls a tool of an MCP server with a vault's token, then answers. */
async function workingSession(headers: Record<string, string> = {}): Promise<TestSession> {
  const token = `${CANARY}-mcp-token`;
  const mcp = await createScriptedMcpServer({ tools: [{ name: "echo" }], tokens: [token] });
  mcpServers.push(mcp);
  const { beta } = server.client;
  const vault = await beta.vaults.create({ display_name: "v" });
  const auth = { type: "static_bearer" as const, mcp_server_url: mcp.url, token };
  await beta.vaults.credentials.create(vault.id, { auth });
  const agent = await server.createAgent({
    name: "traced agent",
    system: `Say ${CANARY}-system.`,
    mcp_servers: [{ type: "url", name: "docs", url: mcp.url }],
    tools: [
      TOOLSET,
      { type: "mcp_toolset", mcp_server_name: "docs", default_config: { permission_policy: { type: "always_allow" } } },
    ],
  });
  const params = { agent: agent.id, environment_id: server.environmentId, vault_ids: [vault.id] };
  const created = await beta.sessions.create(params, { headers });
  const steps = [
    call("bash", { command: `printf '%s-output' ${CANARY}` }),
    call("mcp__docs__echo", { text: `${CANARY}-input` }),
    say(`A ${CANARY}-reply.`),
  ];
  const session = openSession(server.client, created, () => undefined);
  await session.send(message(`${server.play(...steps)} ${CANARY}-prompt`));
  return session;
}

describe.skipIf(missing !== null)("OpenTelemetry's collector", () => {
  test("gets a session as one trace under the client's span: a turn, its steps, and in each what it did", async () => {
    const { id } = await workingSession({ traceparent: `00-${TRACE.id}-${TRACE.spanId}-01` });
    const { resources, spans } = await tracedTurns(id, 1);
    expect(new Set(spans.map(({ traceId }) => traceId))).toEqual(new Set([TRACE.id]));
    for (const { resource, scopeSpans } of resources) {
      expect(attributesOf(resource)).toMatchObject({ "service.name": "sandbox0", "service.version": expect.any(String) });
      expect(scopeSpans.map(({ scope }) => scope.name)).toEqual(["sandbox0"]);
    }
    const steps = ofKind(spans, "step");
    const [turn, tool, mcpCall] = ["turn", "tool_call", "mcp_call"].flatMap((kind) => ofKind(spans, kind));
    expect(turn).toMatchObject({ name: "invoke_agent traced agent", parentSpanId: TRACE.spanId, kind: INTERNAL });
    expect(steps.map(({ parentSpanId }) => parentSpanId)).toEqual([turn, turn, turn].map((span) => span?.spanId));
    expect(ofKind(spans, "model_request").map(({ parentSpanId }) => parentSpanId)).toEqual(steps.map(({ spanId }) => spanId));
    expect(tool).toMatchObject({ name: "bash", parentSpanId: steps[0]?.spanId, kind: INTERNAL });
    expect(mcpCall).toMatchObject({ name: "echo", parentSpanId: steps[1]?.spanId, kind: CLIENT });
    expect(outOfTheirParents(spans)).toEqual([]);
  });

  test("reads the GenAI attributes of turns, model requests and calls, and no secret and no text of the conversation", async () => {
    const session = await workingSession();
    const { spans } = await tracedTurns(session.id, 1);
    const events = await session.events();
    expect(saidBy(events)).toEqual([`A ${CANARY}-reply.`]);
    const [turn, tool, mcpCall] = ["turn", "tool_call", "mcp_call"].flatMap((kind) => ofKind(spans, kind).map(attributesOf));
    expect(turn).toMatchObject({
      "gen_ai.operation.name": "invoke_agent",
      "gen_ai.agent.name": "traced agent",
      "gen_ai.conversation.id": session.id,
      "sandbox0.stop_reason": "end_turn",
    });
    const call = { "gen_ai.operation.name": "execute_tool", "sandbox0.result.bytes": expect.any(Number) };
    const [bashId, echoId] = [last(events, "agent.tool_use").id, last(events, "agent.mcp_tool_use").id];
    expect(tool).toMatchObject({ ...call, "gen_ai.tool.name": "bash", "gen_ai.tool.call.id": bashId });
    expect(mcpCall).toMatchObject({ ...call, "gen_ai.tool.name": "echo", "gen_ai.tool.call.id": echoId });
    const requests = ofKind(spans, "model_request");
    expect(requests).toHaveLength(3);
    for (const request of requests) {
      expect(request).toMatchObject({ name: `chat ${MODEL}`, kind: CLIENT });
      const attributes = attributesOf(request);
      expect(attributes).toMatchObject({ "gen_ai.operation.name": "chat", "gen_ai.request.model": MODEL });
      expect(attributes["gen_ai.provider.name"]).toBe("anthropic");
      expect(attributes["gen_ai.usage.input_tokens"]).toBeGreaterThan(0);
      expect(attributes["gen_ai.usage.output_tokens"]).toBeGreaterThan(0);
      expect(attributes["sandbox0.first_token_ms"]).toBeGreaterThan(0);
    }
    const text = await written();
    expect([CANARY, API_KEY].filter((secret) => text.includes(secret))).toEqual([]);
  });

  test("gets another trace for another session, and a later turn in the trace of the first", async () => {
    const sessions = await Promise.all([1, 2].map(() => server.start({}, say("One."))));
    for (const session of sessions) {
      await session.rest();
      await session.send(message(server.play(say("Two."))));
    }
    const traces = await Promise.all(sessions.map(async ({ id }) => (await tracedTurns(id, 2)).spans));
    const ids = traces.map((spans) => [...new Set(spans.map(({ traceId }) => traceId))]);
    expect(ids.map((each) => each.length)).toEqual([1, 1]);
    expect(ids[0]).not.toEqual(ids[1]);
    for (const turn of traces.flatMap((spans) => ofKind(spans, "turn"))) expect(turn.parentSpanId ?? "").toBe("");
  });
});

/** Spans of the session that begin before or end after the one that they are in. */
function outOfTheirParents(spans: readonly WrittenSpan[]): string[] {
  const byId = new Map(spans.map((span) => [span.spanId, span]));
  const isOut = (span: WrittenSpan): boolean => {
    const parent = byId.get(span.parentSpanId ?? "");
    if (parent === undefined) return span.parentSpanId !== TRACE.spanId;
    const [start, end] = [BigInt(span.startTimeUnixNano), BigInt(span.endTimeUnixNano)];
    return start < BigInt(parent.startTimeUnixNano) || end > BigInt(parent.endTimeUnixNano) || start > end;
  };
  return spans.filter(isOut).map(({ name, spanId, parentSpanId }) => `${name} ${spanId} in ${parentSpanId}`);
}
