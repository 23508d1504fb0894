import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { call, say, until } from "@sandbox0/testkit";
import { afterAll, expect } from "vitest";
import { API_KEY } from "./fixture/running-server.ts";
import { conformanceServer, TOOLSET } from "./fixture/conformance-server.ts";
import { refusedAsInvalid } from "./fixture/refused.ts";
import { type Event, last, message, only, saidBy, type TestSession, textOf } from "./fixture/test-session.ts";
import { verifies } from "./fixture/verifies.ts";

/** Hosts outside: this machine under other addresses, which the operator opens. */
const [ONE, TWO, BLOCKED] = ["127.0.0.2", "127.0.0.3", "127.0.0.4"];
const outside = createServer((request, response) => response.end(`${request.headers.host} hears you\n`));
outside.listen(0, "0.0.0.0");
await once(outside, "listening");
const { port } = outside.address() as AddressInfo;
afterAll(() => {
  outside.close();
  outside.closeAllConnections();
});

const server = conformanceServer({
  SANDBOX0_EGRESS_ALLOW_PRIVATE: "127.0.0.0/8",
  SANDBOX0_EGRESS_PORTS: String(port),
  SANDBOX0_EGRESS_BLOCKED_HOSTS: BLOCKED,
});

async function environment(networking: object): Promise<string> {
  const config = { type: "cloud", networking } as never;
  return (await server.client.beta.environments.create({ name: "e", config })).id;
}
const limited = (allowed_hosts: string[], more: object = {}) => environment({ type: "limited", allowed_hosts, ...more });

const SHELL = { tools: [TOOLSET] };

/** What curl in the session's sandbox shows of each host. */
async function curl(session: TestSession, ...hosts: string[]): Promise<string[]> {
  const commands = hosts.map((host) => call("bash", { command: `curl -sS --max-time 60 http://${host}:${port}/ 2>&1` }));
  await session.send(message(server.play(...commands, say("Done."))));
  return only(await session.rest(), "agent.tool_result")
    .slice(-hosts.length)
    .map(textOf);
}

verifies(["networking.limited", "networking.denial"], "exact hosts, and words for the others", async () => {
  const session = await server.createSession({
    agent: { make: SHELL },
    environment_id: await limited([ONE, "*.example.com"]),
  });
  const [one, two, apex] = await curl(session, ONE, TWO, "example.com");
  expect(one).toBe(`${ONE}:${port} hears you`);
  for (const [host, text] of [
    [TWO, two],
    ["example.com", apex],
  ]) {
    expect(text).toContain(`${host} is not among the allowed hosts of this session's environment (networking: limited)`);
    expect(text).toContain(`add "${host}" to config.networking.allowed_hosts`);
  }
});

verifies("networking.unrestricted", "all but the blocklist", async () => {
  const session = await server.createSession({
    agent: { make: SHELL },
    environment_id: await environment({ type: "unrestricted" }),
  });
  const [one, two, blocked] = await curl(session, ONE, TWO, BLOCKED);
  expect([one, two]).toEqual([`${ONE}:${port} hears you`, `${TWO}:${port} hears you`]);
  expect(blocked).toContain(`${BLOCKED} is on this server's blocklist`);
});

verifies(["networking.mcp-hosts", "networking.mcp-refused"], "hosts of MCP servers are opened by their flag", async () => {
  const mcp_servers = [{ type: "url" as const, name: "m", url: `http://${ONE}:${port}/mcp` }];
  const tools = [TOOLSET, { type: "mcp_toolset" as const, mcp_server_name: "m" }];
  const shut = await limited([]);
  const make = { tools, mcp_servers };
  await refusedAsInvalid(server.createSession({ agent: { make }, environment_id: shut }), /allow_mcp_servers/);
  const later = await server.createSession({ agent: { make: SHELL }, environment_id: shut });
  const update = server.client.beta.sessions.update(later.id, { agent: make } as never);
  await refusedAsInvalid(update, /allow_mcp_servers/);
  const open = await limited([], { allow_mcp_servers: true });
  const session = await server.createSession({ agent: { make }, environment_id: open });
  expect(await curl(session, ONE)).toEqual([`${ONE}:${port} hears you`]);
});

verifies("networking.change", "a change of the environment reaches a running sandbox, both ways", async () => {
  const environment_id = await limited([]);
  const session = await server.createSession({ agent: { make: SHELL }, environment_id });
  const change = (allowed_hosts: string[]) =>
    server.client.beta.environments.update(environment_id, {
      config: { type: "cloud", networking: { type: "limited", allowed_hosts } },
    });
  const eventually = (expected: RegExp) => until(async () => expected.test((await curl(session, ONE))[0] ?? ""));
  await eventually(/not among the allowed hosts/);
  await change([ONE]);
  await eventually(/hears you/);
  await change([]);
  await eventually(/not among the allowed hosts/);
});

verifies("networking.unreachable", "a credential that the environment shuts out is said once", async () => {
  const vault = await server.client.beta.vaults.create({ display_name: "v" });
  const networking = { type: "limited" as const, allowed_hosts: [ONE, "api.example.com"] };
  const auth = { type: "environment_variable" as const, secret_name: "KEY", secret_value: "canary-key", networking };
  const credential = await server.client.beta.vaults.credentials.create(vault.id, { auth });
  const session = await server.createSession({ environment_id: await limited([ONE]), vault_ids: [vault.id] });
  const errors = (events: readonly Event[]) => only([...events], "session.error").map(({ error }) => error);
  for (let turn = 0; turn < 2; turn++) {
    await session.send(message(server.play(say("Here."))));
    const events = await session.rest();
    expect(errors(events)).toEqual([
      {
        type: "credential_host_unreachable_error",
        credential_id: credential.id,
        vault_id: vault.id,
        message: expect.stringContaining("api.example.com"),
        retry_status: { type: "retrying" },
      },
    ]);
    expect(saidBy(events)).toHaveLength(turn + 1);
    expect(last(events, "session.status_idle").stop_reason).toEqual({ type: "end_turn" });
  }
});

verifies("networking.audit", "each request is on record, without what was in it", async () => {
  const session = await server.createSession({ agent: { make: SHELL }, environment_id: await limited([ONE]) });
  const secretive = (host: string) =>
    call("bash", { command: `curl -sS -H "x-secret: canary-header" -d canary-body http://${host}:${port}/canary-path` });
  await session.send(message(server.play(secretive(ONE), secretive(TWO), say("Done."))));
  await session.rest();
  const read = async () => {
    const response = await fetch(`${server.url}/sandbox0/v1/sessions/${session.id}/egress`, {
      headers: { "x-api-key": API_KEY },
    });
    return (await response.json()) as { data: { host: string; verdict: string; reason: string | null; bytes_in: number }[] };
  };
  await until(async () => (await read()).data.length >= 2);
  const { data } = await read();
  expect(data.map(({ host, verdict, reason }) => [host, verdict, reason])).toEqual([
    [TWO, "denied", "host_not_allowed"],
    [ONE, "allowed", null],
  ]);
  expect(data[1]?.bytes_in).toBeGreaterThan(0);
  expect(JSON.stringify(data)).not.toContain("canary");
});
