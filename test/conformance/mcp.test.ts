import type Anthropic from "@anthropic-ai/sdk";
import {
  call,
  createScriptedMcpServer,
  hold,
  say,
  type ScriptedMcpServer,
  type ScriptedMcpServerOptions,
  textResult,
  until,
} from "@sandbox0/testkit";
import { afterEach, expect } from "vitest";
import { conformanceServer, TOOLSET } from "./fixture/conformance-server.ts";
import {
  allow,
  countOf,
  deny,
  interrupt,
  last,
  message,
  only,
  saidBy,
  stopReasons,
  textOf,
  typesOf,
  waitingIds,
} from "./fixture/test-session.ts";
import { verifies } from "./fixture/verifies.ts";

const server = conformanceServer({ SANDBOX0_EGRESS_ALLOW_PRIVATE: "127.0.0.0/8" });
const servers: ScriptedMcpServer[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((each) => each.close()));
});
async function mcpServer(options: ScriptedMcpServerOptions = {}): Promise<ScriptedMcpServer> {
  const made = await createScriptedMcpServer({ tools: [{ name: "echo" }], ...options });
  servers.push(made);
  return made;
}

const ALLOW = { permission_policy: { type: "always_allow" as const } };
const SECRET = "canary-mcp-secret-0815";
const ECHO = "mcp__docs__echo";
type Toolset = NonNullable<Anthropic.Beta.AgentCreateParams["tools"]>[number];

function agentFor({ url }: { url: string }, toolset: object = { default_config: ALLOW }, ...tools: Toolset[]) {
  return {
    mcp_servers: [{ type: "url" as const, name: "docs", url }],
    tools: [{ type: "mcp_toolset" as const, mcp_server_name: "docs", ...toolset }, ...tools],
  };
}
const vaults = () => server.client.beta.vaults;
async function vaultWith(...auths: Anthropic.Beta.Vaults.CredentialCreateParams["auth"][]) {
  const vault = await vaults().create({ display_name: "v" });
  const credentials = [];
  for (const auth of auths) credentials.push(await vaults().credentials.create(vault.id, { auth }));
  return { id: vault.id, credentials };
}
const bearer = (url: string, token: string) => ({ type: "static_bearer" as const, mcp_server_url: url, token });

verifies(["mcp.call", "mcp.replay"], "events with the names of server and tool; the model knows its own later", async () => {
  const srv = await mcpServer();
  const session = await server.createSession({ agent: { make: agentFor(srv) } });
  await session.send(message(server.play(call(ECHO, { text: "hello" }), say("Heard."))));
  const events = await session.rest();
  const use = last(events, "agent.mcp_tool_use");
  expect(use).toMatchObject({
    mcp_server_name: "docs",
    name: "echo",
    input: { text: "hello" },
    evaluated_permission: "allow",
    evaluation: { type: "always_allow" },
  });
  const result = last(events, "agent.mcp_tool_result");
  expect(result).toMatchObject({ mcp_tool_use_id: use.id, is_error: false });
  expect(textOf(result)).toBe('{"text":"hello"}');
  expect(typesOf(events)).toEqual([
    "user.message",
    "session.status_running",
    "session.thread_status_running",
    "span.model_request_start",
    "agent.mcp_tool_use",
    "span.model_request_end",
    "agent.mcp_tool_result",
    "span.model_request_start",
    "agent.message",
    "span.model_request_end",
    "session.thread_status_idle",
    "session.usage",
    "session.status_idle",
  ]);
  const marker = server.play(say("Still there."));
  await session.send(message(marker));
  await session.rest();
  const messages = server.requests(marker)[0]?.messages ?? [];
  expect(messages.flatMap(({ calls }) => calls).map(({ name, argumentsText }) => [name, JSON.parse(argumentsText)])).toEqual([
    [ECHO, { text: "hello" }],
  ]);
  expect(messages.flatMap(({ results }) => results).map(({ text }) => text)).toEqual(['{"text":"hello"}']);
});

verifies("mcp.ask-default", "one allowed, one denied", async () => {
  const srv = await mcpServer();
  const session = await server.start(agentFor(srv, {}), [call(ECHO, { n: 1 }), call(ECHO, { n: 2 })], say("Done."));
  const asked = await session.rest();
  const [first = "", second = ""] = waitingIds(asked);
  expect(only(asked, "agent.mcp_tool_use")).toMatchObject([
    { id: first, evaluated_permission: "ask", evaluation: { type: "always_ask" } },
    { id: second, evaluated_permission: "ask" },
  ]);
  expect(srv.calls).toEqual([]);
  await session.send(deny(second, "Not twice."));
  await session.send(allow(first));
  const events = await session.rest();
  expect(srv.calls).toEqual([{ name: "echo", input: { n: 1 } }]);
  const results = only(events, "agent.mcp_tool_result");
  expect(results.find(({ mcp_tool_use_id }) => mcp_tool_use_id === first)?.is_error).toBe(false);
  expect(textOf(results.find(({ mcp_tool_use_id }) => mcp_tool_use_id === second) ?? {})).toContain("Not twice.");
  expect(stopReasons(events).at(-1)).toBe("end_turn");
});

verifies("mcp.configs", "only what is enabled is offered; the rest is denied", async () => {
  const srv = await mcpServer({ tools: [{ name: "echo" }, { name: "hidden" }, { name: "asked" }] });
  const configs = [
    { name: "echo", ...ALLOW },
    { name: "asked", enabled: true },
    { name: "hidden", enabled: false },
  ];
  const marker = server.play([call("mcp__docs__hidden", {}), call(ECHO, {})], say("Done."));
  const session = await server.createSession({
    agent: {
      make: agentFor(srv, { default_config: { enabled: false }, configs: configs.map((each) => ({ enabled: true, ...each })) }),
    },
  });
  await session.send(message(marker));
  const events = await session.rest();
  expect(server.requests(marker)[0]?.toolNames).toEqual([ECHO, "mcp__docs__asked"]);
  const [hidden, echoed] = only(events, "agent.mcp_tool_use");
  expect(hidden).toMatchObject({ name: "hidden", evaluated_permission: "deny" });
  expect(hidden).not.toHaveProperty("evaluation");
  expect(echoed).toMatchObject({ name: "echo", evaluated_permission: "allow" });
  expect(srv.calls).toEqual([{ name: "echo", input: {} }]);
});

verifies("mcp.bearer", "by the normalised URL, from the first vault that has it", async () => {
  const srv = await mcpServer({ tokens: [SECRET] });
  const elsewhere = await vaultWith(bearer(`${srv.url}/other`, "wrong-path"));
  const first = await vaultWith(bearer(srv.url.replace("http://", "HTTP://").concat("/"), SECRET));
  const second = await vaultWith(bearer(srv.url, "wrong-vault"));
  const session = await server.createSession({
    agent: { make: agentFor(srv) },
    vault_ids: [elsewhere.id, first.id, second.id],
  });
  await session.send(message(server.play(call(ECHO, {}), say("Done."))));
  const events = await session.rest();
  expect(countOf(events, "session.error")).toBe(0);
  expect(srv.calls).toHaveLength(1);
  expect(new Set(srv.requests.map(({ authorization }) => authorization))).toEqual(new Set([`Bearer ${SECRET}`]));
  expect(JSON.stringify(events)).not.toContain(SECRET);
});

const oauth = (srv: ScriptedMcpServer) => ({
  type: "mcp_oauth" as const,
  mcp_server_url: srv.url,
  access_token: SECRET,
  refresh: {
    client_id: "client",
    refresh_token: "refresh",
    token_endpoint: srv.tokenEndpoint,
    token_endpoint_auth: { type: "none" as const },
  },
});

verifies("mcp.refresh", "in the middle of two turns at once: refreshed once, each call made once", async () => {
  const srv = await mcpServer({ tokens: [SECRET] });
  const vault = await vaultWith(oauth(srv));
  const gate = server.gate();
  const sessions = await Promise.all(
    [1, 2].map(async () => {
      const session = await server.createSession({ agent: { make: agentFor(srv) }, vault_ids: [vault.id] });
      await session.send(message(server.play([hold(gate), call(ECHO, {})], say("Done."))));
      return session;
    }),
  );
  await until(() => srv.sessions === 2);
  srv.setTokens(["none-yet"]);
  gate.open();
  for (const session of sessions) {
    const events = await session.rest();
    expect(last(events, "agent.mcp_tool_result").is_error).toBe(false);
    expect(countOf(events, "session.error")).toBe(0);
  }
  expect(srv.refreshes).toBe(1);
  expect(srv.calls).toHaveLength(2);
});

verifies("mcp.rotation", "a new secret is used, an archived one is not", async () => {
  const srv = await mcpServer({ tokens: [SECRET] });
  const vault = await vaultWith(bearer(srv.url, SECRET));
  const session = await server.createSession({ agent: { make: agentFor(srv) }, vault_ids: [vault.id] });
  const turn = async () => {
    await session.send(message(server.play(call(ECHO, {}), say("Done."))));
    return session.rest();
  };
  await turn();
  const credential = vault.credentials[0]?.id ?? "";
  srv.setTokens(["rotated-secret"]);
  await vaults().credentials.update(credential, {
    vault_id: vault.id,
    auth: { type: "static_bearer", token: "rotated-secret" },
  });
  expect(last(await turn(), "agent.mcp_tool_result").is_error).toBe(false);
  await vaults().credentials.archive(credential, { vault_id: vault.id });
  await until(async () => countOf(await turn(), "session.error") > 0);
  expect(last(await session.events(), "session.error").error).toMatchObject({ type: "mcp_authentication_failed_error" });
});

verifies(["mcp.auth-failure", "errors.mcp"], "said once a turn; connected as soon as it can be", async () => {
  const srv = await mcpServer({ tokens: [SECRET] });
  const vault = await vaultWith();
  const session = await server.createSession({ agent: { make: agentFor(srv) }, vault_ids: [vault.id] });
  await session.send(message(server.play(say("Without it."))));
  const events = await session.rest();
  expect(only(events, "session.error").map(({ error }) => error)).toMatchObject([
    { type: "mcp_authentication_failed_error", mcp_server_name: "docs", retry_status: { type: "retrying" } },
  ]);
  expect(saidBy(events)).toEqual(["Without it."]);
  expect(stopReasons(events)).toEqual(["end_turn"]);
  await vaults().credentials.create(vault.id, { auth: bearer(srv.url, SECRET) });
  await session.send(message(server.play(call(ECHO, {}), say("With it."))));
  expect(last(await session.rest(), "agent.mcp_tool_result").is_error).toBe(false);
});

verifies("mcp.misbehaviour", "each ends in words of our own", async () => {
  const ways = [
    { type: "html" as const },
    { type: "broken_json" as const },
    { type: "huge" as const, bytes: 10 * 1024 * 1024, as: "json" as const },
    { type: "huge" as const, bytes: 10 * 1024 * 1024, as: "event" as const },
    { type: "redirect" as const, to: "http://169.254.169.254/latest/meta-data" },
    { type: "redirect" as const, to: server.url },
    { type: "echo_headers" as const },
    { type: "status" as const, status: 403, body: SECRET },
    { type: "hang" as const },
  ];
  await Promise.all(
    ways.map(async (way) => {
      const srv = await mcpServer({ tokens: [SECRET] });
      srv.misbehave(() => way);
      const vault = await vaultWith(bearer(srv.url, SECRET));
      const session = await server.createSession({ agent: { make: agentFor(srv) }, vault_ids: [vault.id] });
      await session.send(message(server.play(say("Alive."))));
      const events = await session.rest();
      expect(countOf(events, "session.error"), way.type).toBe(1);
      expect(last(events, "session.error").error.type).toMatch(/^mcp_/);
      expect(saidBy(events)).toEqual(["Alive."]);
      expect(JSON.stringify(events)).not.toContain(SECRET);
    }),
  );
});

verifies("mcp.results", "images for the model's eyes, resources, structured data", async () => {
  // Two by two pixels, as far as its header goes.
  const png = Buffer.from("89504e470d0a1a0a0000000d494844520000000200000002", "hex").toString("base64");
  const srv = await mcpServer({
    tools: [
      {
        name: "show",
        run: () => ({
          content: [
            { type: "text", text: "Look:" },
            { type: "image", data: png, mimeType: "image/png" },
            { type: "resource", resource: { uri: "file:///notes.md", text: "# Notes" } },
          ],
          structuredContent: { answer: 42 },
        }),
      },
      { name: "fail", run: () => textResult("It does not work.", true) },
    ],
  });
  const session = await server.start(agentFor(srv), [call("mcp__docs__show", {}), call("mcp__docs__fail", {})], say("Seen."));
  const events = await session.rest();
  const results = only(events, "agent.mcp_tool_result");
  expect(results.find(({ is_error }) => is_error === false)?.content).toEqual([
    { type: "text", text: "Look:" },
    { type: "image", source: { type: "base64", media_type: "image/png", data: png } },
    { type: "document", title: "file:///notes.md", source: { type: "text", media_type: "text/plain", data: "# Notes" } },
    { type: "text", text: '{"answer":42}' },
  ]);
  expect(textOf(results.find(({ is_error }) => is_error === true) ?? {})).toBe("It does not work.");
  expect(saidBy(events)).toEqual(["Seen."]);
});

verifies("mcp.spill", "the whole is where the preview says", async () => {
  const long = `first line\n${"x".repeat(150_000)}\nlast line`;
  const srv = await mcpServer({ tools: [{ name: "long", run: () => textResult(long) }] });
  const session = await server.createSession({ agent: { make: agentFor(srv, { default_config: ALLOW }, TOOLSET) } });
  await session.send(message(server.play(call("mcp__docs__long", {}), say("Cut."))));
  const preview = textOf(last(await session.rest(), "agent.mcp_tool_result"));
  expect(preview.length).toBeLessThan(100_000);
  expect(preview).toMatch(/^first line/);
  expect(preview).toMatch(/last line$/);
  const path = /saved to (\S+\.txt)/.exec(preview)?.[1] ?? "";
  await session.send(message(server.play(call("bash", { command: `wc -c < ${path}; tail -n 1 ${path}` }), say("Read."))));
  expect(textOf(last(await session.rest(), "agent.tool_result")).trim()).toBe(`${long.length}\nlast line`);
});

verifies("mcp.interrupt", "the server is told; the call has its error result", async () => {
  let cancelled = false;
  const srv = await mcpServer({
    tools: [
      {
        name: "echo",
        run: (_input, { signal }) =>
          new Promise((resolve) => {
            signal.addEventListener("abort", () => {
              cancelled = true;
              resolve(textResult("too late"));
            });
          }),
      },
    ],
  });
  const session = await server.start(agentFor(srv), call(ECHO, {}));
  await until(() => srv.calls.length === 1);
  await session.send(interrupt);
  const events = await session.rest();
  await until(() => cancelled);
  expect(textOf(last(events, "agent.mcp_tool_result"))).toMatch(/interrupted before completion/);
  expect(stopReasons(events)).toEqual(["end_turn"]);
});
