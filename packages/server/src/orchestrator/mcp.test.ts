import { mcpToolName } from "@sandbox0/harness";
import {
  createScriptedMcpServer,
  type ScriptedMcpServer,
  type ScriptedMcpServerOptions,
  textResult,
  until,
} from "@sandbox0/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { INTERRUPTED_TEXT } from "../domain/lifecycle-events.ts";
import { CRASHED_TEXT } from "../domain/turn.ts";
import { createMcpConnector, type McpConnector } from "../mcp/connector.ts";
import type { Judge } from "./judge.ts";
import { readEventsAfter } from "../store/events.ts";
import { createStage, interrupt, type PlayedTurn, type Stage, type StageNode, say, step } from "./stage.fixture.ts";

let stage: Stage;
beforeAll(async () => {
  stage = await createStage();
});
afterAll(async () => {
  await stage.close();
});
const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (let cleanup = cleanups.pop(); cleanup; cleanup = cleanups.pop()) await cleanup();
});

async function server(options: ScriptedMcpServerOptions = {}): Promise<ScriptedMcpServer> {
  const made = await createScriptedMcpServer({ tools: [{ name: "echo" }], ...options });
  cleanups.push(() => made.close());
  return made;
}
function node(times?: Parameters<typeof createMcpConnector>[1], judge?: Judge): StageNode & { mcp: McpConnector } {
  const credentials = { credentialForMcp: async () => null, refreshMcp: async () => ({ status: "gone" }) as const };
  const mcp = createMcpConnector({ credentials, fetch, version: "0", onTrouble: rethrow }, times);
  const made = stage.node({ mcp, ...(judge ? { judge } : {}) });
  cleanups.push(
    () => mcp.stop(),
    () => made.close(),
  );
  return { ...made, mcp };
}
function rethrow(error: unknown): never {
  throw error;
}
const toolset = (policy: string, configs: object[] = []) => ({
  type: "mcp_toolset",
  mcp_server_name: "srv",
  default_config: { enabled: true, permission_policy: { type: policy } },
  configs,
});
const session = ({ url }: { url: string }, tools: object = toolset("always_allow")) =>
  stage.newSession({ mcp_servers: [{ type: "url", name: "srv", url }], tools: [tools] });
const ECHO = mcpToolName("srv", "echo");

async function log(sessionId: string): Promise<Record<string, unknown>[]> {
  const rows = await readEventsAfter(stage.db, sessionId, 0, { rows: 10_000, bytes: 1e9 });
  return rows.map((row) => ({ id: row.id, ...(JSON.parse(row.body) as object) }));
}
const only = async (sessionId: string, type: string) => (await log(sessionId)).filter((event) => event.type === type);
const atRest = (sessionId: string) => until(async () => (await stage.status(sessionId)) === "idle");

/** The model asks for these tools; what may run is run. */
async function ask({ effects }: PlayedTurn, ...names: string[]) {
  const { spanId } = await effects.startStep();
  const fates = await effects.finishStep(spanId, step(effects, "", ...names));
  const run = fates.filter(({ action }) => action === "run").map(({ id }) => effects.executeTool(id));
  return { fates, results: Promise.all(run) };
}
async function finish({ effects, end }: PlayedTurn): Promise<void> {
  const { spanId } = await effects.startStep();
  await effects.finishStep(spanId, step(effects, "done"));
  end({ type: "idle", stopReason: "end_turn" });
}

test("a turn with a tool of an MCP server: events, results, and the connection let go of", async () => {
  const srv = await server();
  const here = node({ idleMs: 10 });
  const sessionId = await session(srv);
  await stage.send(sessionId, say("hi"));
  const turn = await here.nextTurn();
  expect(turn.turn.agent.tools.map(({ name }) => name)).toEqual([ECHO]);
  const { results } = await ask(turn, ECHO);
  expect(await results).toEqual([{ content: [{ type: "text", text: "{}" }], isError: false }]);
  await finish(turn);
  await atRest(sessionId);
  const [use] = await only(sessionId, "agent.mcp_tool_use");
  expect(use).toMatchObject({
    mcp_server_name: "srv",
    name: "echo",
    input: {},
    evaluated_permission: "allow",
    evaluation: { type: "always_allow" },
  });
  expect(await only(sessionId, "agent.mcp_tool_result")).toMatchObject([{ mcp_tool_use_id: use?.id, is_error: false }]);
  expect(await stage.types(sessionId)).not.toContain("session.error");
  await until(() => here.mcp.size() === 0 && srv.sessions === 0);
});

describe("permissions", () => {
  test("always_ask: waits for the client, and runs or is refused as it says", async () => {
    const srv = await server();
    const here = node();
    const sessionId = await session(srv, toolset("always_ask"));
    await stage.send(sessionId, say("hi"));
    const first = await here.nextTurn();
    const { fates } = await ask(first, ECHO, ECHO);
    expect(fates.map(({ action }) => action)).toEqual(["wait", "wait"]);
    first.end({ type: "idle", stopReason: "requires_action" });
    await atRest(sessionId);
    const ids = fates.map(({ id }) => id);
    expect(srv.calls).toEqual([]);
    await stage.send(
      sessionId,
      { type: "user.tool_confirmation", tool_use_id: ids[0] ?? "", result: "allow" },
      { type: "user.tool_confirmation", tool_use_id: ids[1] ?? "", result: "deny", deny_message: "not that one" },
    );
    const second = await here.nextTurn();
    expect(second.turn.runnable).toEqual([ids[0]]);
    await second.effects.executeTool(ids[0] ?? "");
    await finish(second);
    await atRest(sessionId);
    expect(srv.calls).toHaveLength(1);
    const results = await only(sessionId, "agent.mcp_tool_result");
    expect(results.map((result) => [result.mcp_tool_use_id, result.is_error])).toEqual([
      [ids[1], true],
      [ids[0], false],
    ]);
    expect(JSON.stringify(results[0])).toContain("not that one");
  });

  test("a disabled tool, one that is not there and one of no server are denied, and the model is told", async () => {
    const srv = await server({ tools: [{ name: "echo" }, { name: "off" }] });
    const here = node();
    const off = { name: "off", enabled: false, permission_policy: { type: "always_allow" } };
    const sessionId = await session(srv, toolset("always_allow", [off]));
    await stage.send(sessionId, say("hi"));
    const turn = await here.nextTurn();
    expect(turn.turn.agent.tools.map(({ name }) => name)).toEqual([ECHO]);
    const { fates } = await ask(turn, mcpToolName("srv", "off"), "mcp__srv__absent", "mcp__other__echo");
    expect(fates.map(({ action }) => action)).toEqual(["answered", "answered", "answered"]);
    await finish(turn);
    await atRest(sessionId);
    expect(srv.calls).toEqual([]);
    const uses = await only(sessionId, "agent.mcp_tool_use");
    expect(uses.map(({ name, evaluated_permission, evaluation }) => [name, evaluated_permission, evaluation])).toEqual([
      ["off", "deny", undefined],
      ["absent", "deny", undefined],
    ]);
    expect(await only(sessionId, "agent.mcp_tool_result")).toHaveLength(2);
    expect(await only(sessionId, "agent.tool_use")).toMatchObject([{ name: "mcp__other__echo", evaluated_permission: "deny" }]);
  });

  test("auto: the judge is asked about these calls too", async () => {
    const srv = await server();
    const judged: unknown[] = [];
    const here = node(undefined, {
      async judge(_session, calls) {
        judged.push(...calls.map(({ name }) => name));
        return [{ type: "allow" }, { type: "deny", reason_code: "high_risk" }];
      },
    });
    const sessionId = await session(srv, toolset("auto"));
    await stage.send(sessionId, say("hi"));
    const turn = await here.nextTurn();
    const { fates, results } = await ask(turn, ECHO, ECHO);
    expect(judged).toEqual([ECHO, ECHO]);
    expect(fates.map(({ action }) => action)).toEqual(["run", "answered"]);
    await results;
    await finish(turn);
    await atRest(sessionId);
    expect(srv.calls).toHaveLength(1);
    expect((await only(sessionId, "agent.mcp_tool_use")).map(({ evaluation }) => evaluation)).toEqual([
      { type: "auto", evaluated_permission: { type: "allow" } },
      { type: "auto", evaluated_permission: { type: "deny", reason_code: "high_risk" } },
    ]);
  });

  test("an answer that comes when the server is gone: the call has an error, the session goes on", async () => {
    const srv = await server();
    const here = node();
    const sessionId = await session(srv, toolset("always_ask"));
    await stage.send(sessionId, say("hi"));
    const first = await here.nextTurn();
    const { fates } = await ask(first, ECHO);
    first.end({ type: "idle", stopReason: "requires_action" });
    await atRest(sessionId);
    await here.mcp.close(sessionId);
    srv.misbehave(() => ({ type: "status", status: 503 }));
    await stage.send(sessionId, { type: "user.tool_confirmation", tool_use_id: fates[0]?.id ?? "", result: "allow" });
    const second = await here.nextTurn();
    const result = await second.effects.executeTool(fates[0]?.id ?? "");
    expect(result).toMatchObject({ isError: true, content: [{ text: expect.stringContaining("not connected") }] });
    await finish(second);
    await atRest(sessionId);
    expect(await only(sessionId, "session.error")).toHaveLength(1);
  });
});

describe("a server that fails", () => {
  test("is said once a turn, tried again in the next, and the turn goes on without its tools", async () => {
    const srv = await server();
    srv.misbehave(() => ({ type: "status", status: 500 }));
    const here = node();
    const sessionId = await session(srv);
    await stage.send(sessionId, say("hi"));
    const first = await here.nextTurn();
    expect(first.turn.agent.tools).toEqual([]);
    await finish(first);
    await atRest(sessionId);
    expect(await only(sessionId, "session.error")).toMatchObject([
      { error: { type: "mcp_connection_failed_error", mcp_server_name: "srv", retry_status: { type: "retrying" } } },
    ]);
    srv.misbehave(null);
    await stage.send(sessionId, say("again"));
    const second = await here.nextTurn();
    expect(second.turn.agent.tools).toHaveLength(1);
    await finish(second);
    await atRest(sessionId);
    expect(await only(sessionId, "session.error")).toHaveLength(1);
  });

  test("for want of a credential, in the middle of a turn too", async () => {
    const srv = await server();
    const here = node();
    const sessionId = await session(srv);
    await stage.send(sessionId, say("hi"));
    const turn = await here.nextTurn();
    srv.setTokens(["none"]);
    for (let i = 0; i < 2; i++) expect(await (await ask(turn, ECHO)).results).toMatchObject([{ isError: true }]);
    await finish(turn);
    await atRest(sessionId);
    expect(await only(sessionId, "session.error")).toMatchObject([
      { error: { type: "mcp_authentication_failed_error", mcp_server_name: "srv" } },
    ]);
  });

  test("with more tools than can be enabled: which setting helps", async () => {
    const srv = await server({ tools: Array.from({ length: 300 }, (_, index) => ({ name: `t${index}` })) });
    const here = node();
    const sessionId = await session(srv);
    await stage.send(sessionId, say("hi"));
    await finish(await here.nextTurn());
    await atRest(sessionId);
    expect(JSON.stringify(await only(sessionId, "session.error"))).toMatch(/300 of its tools are enabled/);
  });

  test("an interrupt does not wait for one that hangs", async () => {
    const srv = await server();
    srv.misbehave(() => ({ type: "hang" }));
    const here = node({ connectMs: 3_600_000 });
    const sessionId = await session(srv);
    await stage.send(sessionId, say("hi"));
    await until(() => srv.requests.length > 0);
    await stage.send(sessionId, interrupt);
    await atRest(sessionId);
    expect(await stage.types(sessionId)).not.toContain("session.error");
    expect(here.turnsStarted()).toBe(0);
    expect(here.bugs).toEqual([]);
  });
});

/** A tool that ends when it is cancelled, and says that it was. */
function endless() {
  const state = { cancelled: false };
  const run = (_input: unknown, { signal }: { signal: AbortSignal }) =>
    new Promise<ReturnType<typeof textResult>>((resolve) => {
      signal.addEventListener("abort", () => {
        state.cancelled = true;
        resolve(textResult("too late"));
      });
    });
  return { state, tool: { name: "echo", run } };
}

test("an interrupt cancels a call; it is closed as interrupted", async () => {
  const { state, tool } = endless();
  const srv = await server({ tools: [tool] });
  const here = node();
  const sessionId = await session(srv);
  await stage.send(sessionId, say("hi"));
  const turn = await here.nextTurn();
  const { results } = await ask(turn, ECHO);
  const ended = results.catch((error: unknown) => error);
  await until(() => srv.calls.length === 1);
  await stage.send(sessionId, interrupt);
  turn.fail(await ended);
  await atRest(sessionId);
  await until(() => state.cancelled);
  expect(JSON.stringify(await only(sessionId, "agent.mcp_tool_result"))).toContain(INTERRUPTED_TEXT);
  expect(await stage.types(sessionId)).not.toContain("session.error");
});

test("a call that a crash cut is closed with an error and never repeated", async () => {
  const { tool } = endless();
  const srv = await server({ tools: [tool] });
  const here = node();
  const sessionId = await session(srv);
  await stage.send(sessionId, say("hi"));
  const turn = await here.nextTurn();
  const { results } = await ask(turn, ECHO);
  const ended = results.catch((error: unknown) => error);
  await until(() => srv.calls.length === 1);
  here.db.down = true;
  stage.alive.delete(here.id);
  const there = node();
  const next = await there.nextTurn();
  expect(next.turn.runnable).toEqual([]);
  await finish(next);
  await atRest(sessionId);
  expect(JSON.stringify(await only(sessionId, "agent.mcp_tool_result"))).toContain(CRASHED_TEXT);
  expect(srv.calls).toHaveLength(1);
  here.db.down = false;
  turn.fail(await ended);
});

test("a list that changes in the middle of a turn is what the next request offers", async () => {
  const srv = await server();
  const here = node();
  const sessionId = await session(srv);
  await stage.send(sessionId, say("hi"));
  const turn = await here.nextTurn();
  await until(() => srv.requests.some(({ httpMethod }) => httpMethod === "GET"));
  await srv.setTools([{ name: "other" }]);
  const names = () => turn.turn.agent.tools.map(({ name }) => name);
  await until(async () => {
    await (await ask(turn, "none")).results;
    return names().join() === mcpToolName("srv", "other");
  });
  const { fates } = await ask(turn, ECHO);
  expect(fates).toMatchObject([{ action: "answered" }]);
  await finish(turn);
  await atRest(sessionId);
});

test("a connection serves the next turn; a node that loses the session closes it", async () => {
  const srv = await server();
  const here = node();
  const sessionId = await session(srv);
  for (const text of ["one", "two"]) {
    await stage.send(sessionId, say(text));
    await finish(await here.nextTurn());
    await atRest(sessionId);
  }
  expect(srv.requests.filter(({ rpcMethod }) => rpcMethod === "initialize")).toHaveLength(1);
  await stage.send(sessionId, say("three"));
  const turn = await here.nextTurn();
  await stage.db.query("update session_heads set lease_generation = lease_generation + 1 where session_id = $1", [sessionId]);
  turn.fail(await turn.effects.startStep().catch((error: unknown) => error));
  const first = srv.requests.find((request) => request.sessionId !== null)?.sessionId;
  await until(() => srv.requests.some((request) => request.httpMethod === "DELETE" && request.sessionId === first));
  // The lease is free again, and this node is the one that finds it: with a connection of its own.
  await finish(await here.nextTurn());
  await atRest(sessionId);
  expect(srv.requests.filter(({ rpcMethod }) => rpcMethod === "initialize")).toHaveLength(2);
});
