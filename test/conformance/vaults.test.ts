import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import type { CredentialCreateParams } from "@anthropic-ai/sdk/resources/beta/vaults/credentials";
import { call, createScriptedProvider, say, until } from "@sandbox0/testkit";
import { afterAll, beforeEach, expect } from "vitest";
import { conformanceServer, TOOLSET } from "./fixture/conformance-server.ts";
import { refused, refusedAsInvalid, refusedAsUnknown } from "./fixture/refused.ts";
import { last, message, only, saidBy, stopReasons, textOf } from "./fixture/test-session.ts";
import { verifies } from "./fixture/verifies.ts";

/** What came to a host outside, and the port that the operator opens for it. */
interface Outside {
  headers: Record<string, unknown>;
  body: string;
}
const came: Outside[] = [];
const outside = createServer((request, response) => {
  void text(request).then((body) => {
    came.push({ headers: request.headers, body });
    response.end("received\n");
  });
});
// Not 127.0.0.1: to a sandbox that is itself.
const OUTSIDE = "127.0.0.2";
outside.listen(0, OUTSIDE);
await once(outside, "listening");
const { port } = outside.address() as AddressInfo;
const other = await createScriptedProvider({ script: () => say("From the vault's provider.") });
afterAll(async () => {
  outside.close();
  outside.closeAllConnections();
  await other.close();
});
beforeEach(() => {
  came.length = 0;
});

const server = conformanceServer({
  SANDBOX0_EGRESS_ALLOW_PRIVATE: "127.0.0.0/8",
  SANDBOX0_EGRESS_PORTS: `80,443,${port}`,
});
const vaults = () => server.client.beta.vaults;
const credentials = () => server.client.beta.vaults.credentials;
type Auth = CredentialCreateParams["auth"];
const bearer = (mcp_server_url: string, token = "canary-token"): Auth => ({ type: "static_bearer", mcp_server_url, token });
const variable = (fields: object = {}): Auth => ({
  type: "environment_variable",
  secret_name: "API_KEY",
  secret_value: "canary-value",
  networking: { type: "unrestricted" },
  ...fields,
});
async function vaultWith(...auths: Auth[]) {
  const { id } = await vaults().create({ display_name: "v" });
  const made = [];
  for (const auth of auths) made.push(await credentials().create(id, { auth }));
  return { id, credentials: made };
}

verifies(["vaults.lifecycle", "http.id-prefixes"], "a vault from its creation to its end", async () => {
  const vault = await vaults().create({ display_name: "Team", metadata: { a: "1", b: "2" } });
  expect(vault).toEqual({
    id: expect.stringMatching(/^vlt_01\w+$/),
    type: "vault",
    display_name: "Team",
    metadata: { a: "1", b: "2" },
    created_at: expect.stringMatching(/Z$/),
    updated_at: vault.created_at,
    archived_at: null,
  });
  expect(await vaults().update(vault.id, { display_name: null, metadata: { a: null, c: "3" } })).toMatchObject({
    display_name: "Team",
    metadata: { b: "2", c: "3" },
  });
  const later = await vaults().create({ display_name: "later" });
  expect((await vaults().list({ limit: 2 })).data.map(({ id }) => id)).toEqual([later.id, vault.id]);
  await vaults().archive(later.id);
  expect((await vaults().list({ limit: 1 })).data[0]?.id).toBe(vault.id);
  expect((await vaults().list({ limit: 1, include_archived: true })).data[0]?.id).toBe(later.id);
  expect(await vaults().delete(vault.id)).toEqual({ id: vault.id, type: "vault_deleted" });
  for (const gone of [
    () => vaults().retrieve(vault.id),
    () => vaults().update(vault.id, {}),
    () => vaults().archive(vault.id),
    () => vaults().delete(vault.id),
    () => credentials().list(vault.id),
  ])
    await refusedAsUnknown(gone());
});

verifies(["vaults.archive", "vaults.write-only"], "archive", async () => {
  const { id, credentials: made } = await vaultWith(bearer("https://a.example.com"), variable());
  const archived = await vaults().archive(id);
  expect(archived.archived_at).toMatch(/Z$/);
  expect(await vaults().archive(id)).toEqual(archived);
  const kept = await credentials().list(id, { include_archived: true });
  expect(kept.data.map(({ archived_at }) => archived_at)).toEqual([archived.archived_at, archived.archived_at]);
  expect((await credentials().list(id)).data).toEqual([]);
  await refusedAsInvalid(credentials().create(id, { auth: bearer("https://b.example.com") }), /archived/);
  expect(JSON.stringify([made, kept.data])).not.toContain("canary");
});

verifies(["vaults.duplicate", "vaults.credentials-max"], "one credential a purpose, twenty a vault", async () => {
  const { id, credentials: made } = await vaultWith(bearer("https://A.example.com:443/mcp/"), variable());
  const {
    status,
    type,
    message: said,
    headers,
  } = await refused(credentials().create(id, { auth: bearer("https://a.example.com/mcp") }));
  expect({ status, type, said, retry: headers.get("x-should-retry") }).toEqual({
    status: 409,
    type: "conflict_error",
    said: "A credential already exists for this MCP server URL.",
    retry: "false",
  });
  expect((await refused(credentials().create(id, { auth: variable() }))).status).toBe(409);
  await credentials().archive(made[0]?.id ?? "", { vault_id: id });
  await credentials().create(id, { auth: bearer("https://a.example.com/mcp") });
  for (let i = 2; i < 20; i++) await credentials().create(id, { auth: bearer(`https://s${i}.example.com`) });
  await refusedAsInvalid(credentials().create(id, { auth: bearer("https://one-more.example.com") }), /20/);
});

verifies(["vaults.immutable", "vaults.expiry", "vaults.null-keeps"], "what an update may change", async () => {
  const expires_at = new Date(Date.now() + 3_600_000).toISOString();
  const { id, credentials: made } = await vaultWith({
    type: "mcp_oauth",
    mcp_server_url: "https://o.example.com",
    access_token: "a",
    expires_at,
    refresh: {
      client_id: "c",
      refresh_token: "r",
      token_endpoint: "https://o.example.com/token",
      token_endpoint_auth: { type: "client_secret_post", client_secret: "s" },
      scope: "read",
    },
  });
  const [credential] = made;
  const update = (auth: object) =>
    credentials().update(credential?.id ?? "", { vault_id: id, auth: { type: "mcp_oauth", ...auth } as never });
  for (const [auth, about] of [
    [{ mcp_server_url: "https://x.example.com" }, /mcp_server_url/],
    [{ refresh: { token_endpoint: "https://x.example.com" } }, /token_endpoint/],
    [{ refresh: { client_id: "x" } }, /client_id/],
    [{ type: "static_bearer", token: "t" }, /auth.type/],
    [{ expires_at: "2020-01-01T00:00:00Z" }, /expires_at/],
  ] as const)
    await refusedAsInvalid(update(auth), about);
  expect((await update({ access_token: "new", expires_at: null, refresh: null })).auth).toEqual(credential?.auth);
  expect((await update({ refresh: { scope: "" } })).auth).toMatchObject({ expires_at, refresh: { scope: null, client_id: "c" } });
});

verifies(["vaults.injection", "vaults.hosts"], "where a secret may go", async () => {
  const { id } = await vaultWith();
  const create = (fields: object) => credentials().create(id, { auth: variable(fields) });
  const made = await create({});
  expect(made.auth).toMatchObject({ injection_location: { header: true, body: true } });
  expect((await create({ secret_name: "B", injection_location: { body: true } })).auth).toMatchObject({
    injection_location: { header: false, body: true },
  });
  for (const injection_location of [{}, { header: false, body: false }])
    await refusedAsInvalid(create({ secret_name: "C", injection_location }), /injection_location/);
  for (const injection_location of [null, { header: null }])
    await refusedAsInvalid(create({ secret_name: "C", injection_location }), /omit the field instead/);
  const update = (injection_location: object) =>
    credentials().update(made.id, { vault_id: id, auth: { type: "environment_variable", injection_location } });
  expect((await update({ header: false })).auth).toMatchObject({ injection_location: { header: false, body: true } });
  await refusedAsInvalid(update({ body: false }), /injection_location/);
  const hosts = (...allowed_hosts: string[]) => create({ secret_name: "H", networking: { type: "limited", allowed_hosts } });
  for (const bad of ["https://a.com", "a.com:443", "a.com/x", "::1", "[2001:db8::1]", "*", "a.*.com"])
    await refusedAsInvalid(hosts(bad), /allowed_hosts\[0\]/);
  await refusedAsInvalid(hosts(...Array.from({ length: 17 }, (_, i) => `h${i}.com`)), /allowed_hosts/);
  expect((await hosts("a.com", "192.0.2.1", "*.b.com")).auth).toMatchObject({ secret_name: "H" });
});

verifies("vaults.validate", "a live probe", async () => {
  const { id, credentials: made } = await vaultWith({
    type: "mcp_oauth",
    mcp_server_url: `http://${OUTSIDE}:${port}/mcp`,
    access_token: "canary-access",
  });
  expect(await credentials().mcpOAuthValidate(made[0]?.id ?? "", { vault_id: id })).toMatchObject({
    type: "vault_credential_validation",
    credential_id: made[0]?.id,
    vault_id: id,
    status: "valid",
    has_refresh_token: false,
    mcp_probe: null,
    refresh: null,
  });
  expect(came[0]?.headers.authorization).toBe("Bearer canary-access");
});

verifies(["vaults.session-create", "vaults.session-goes-on"], "sessions name their vaults", async () => {
  const [one, two] = [await vaultWith(bearer("https://a.example.com")), await vaultWith()];
  const session = await server.createSession({ vault_ids: [two.id, one.id] });
  expect(session.created.vault_ids).toEqual([two.id, one.id]);
  expect((await session.retrieve()).vault_ids).toEqual([two.id, one.id]);
  await vaults().archive(one.id);
  await session.send(message(server.play(say("Still here."))));
  const events = await session.rest();
  expect([saidBy(events), stopReasons(events)]).toEqual([["Still here."], ["end_turn"]]);
  await refusedAsInvalid(
    server.createSession({ vault_ids: [two.id, one.id] }),
    new RegExp(`vault_ids\\[1\\].*${one.id}.*archived`),
  );
  await refusedAsInvalid(server.createSession({ vault_ids: ["vlt_x"] }), /vlt_x/);
});

const curl = (...args: string[]) =>
  call("bash", { command: `curl -sS --max-time 60 ${args.join(" ")} http://${OUTSIDE}:${port}/` });
const SHELL = { tools: [TOOLSET] };

verifies(["vaults.placeholder", "vaults.first-wins"], "the sandbox has a placeholder, the host outside the secret", async () => {
  const first = await vaultWith(variable({ injection_location: { header: true } }));
  const second = await vaultWith(
    variable({ secret_value: "canary-of-the-second" }),
    variable({
      secret_name: "ELSEWHERE",
      secret_value: "canary-elsewhere",
      networking: { type: "limited", allowed_hosts: ["elsewhere.example.com"] },
    }),
  );
  const session = await server.createSession({ agent: { make: SHELL }, vault_ids: [first.id, second.id] });
  const steps = [
    call("bash", { command: "echo value=$API_KEY" }),
    curl('-H "x-key: $API_KEY"', '-H "x-elsewhere: $ELSEWHERE"', '-d "body=$API_KEY"'),
  ];
  await session.send(message(server.play(...steps, say("Sent."))));
  const events = await session.rest();
  const shown = textOf(only(events, "agent.tool_result")[0] ?? {}).match(/value=(\S+)/)?.[1] ?? "";
  expect(shown).not.toBe("");
  expect(textOf(last(events, "agent.tool_result"))).toContain("received");
  expect(came[0]?.headers["x-key"]).toBe("canary-value");
  expect(came[0]?.headers["x-elsewhere"]).not.toContain("canary");
  expect(came[0]?.body).toBe(`body=${shown}`);
  expect(JSON.stringify(events)).not.toContain("canary");
  expect(JSON.stringify(server.requests("<play").map(({ body }) => body))).not.toContain("canary");
});

verifies("vaults.rotation", "a new secret and an archive reach a running sandbox", async () => {
  const { id, credentials: made } = await vaultWith(variable());
  const credential = made[0]?.id ?? "";
  const session = await server.createSession({ agent: { make: SHELL }, vault_ids: [id] });
  const send = async (): Promise<void> => {
    await session.send(message(server.play(curl('-H "x-key: $API_KEY"'), say("Sent."))));
    await session.rest();
  };
  const key = (): string => String(came.at(-1)?.headers["x-key"]);
  /** The change has a few seconds: asked again and again until the host gets what is expected. */
  const eventually = (expected: RegExp) =>
    until(async () => {
      await send();
      return expected.test(key());
    });
  await eventually(/^canary-value$/);
  await credentials().update(credential, {
    vault_id: id,
    auth: { type: "environment_variable", secret_value: "canary-rotated" },
  });
  await eventually(/^canary-rotated$/);
  await credentials().archive(credential, { vault_id: id });
  await eventually(/^(?!canary)/);
});

verifies("vaults.llm", "a session of an LLM vault is served by the vault's provider, with its key and no other", async () => {
  const create = (metadata: Record<string, string>) =>
    vaults().create({ display_name: "llm", metadata: { "sandbox0.managed_agents.role": "llm", ...metadata } });
  const base = { "sandbox0.managed_agents.llm_base_url": other.url };
  const vault = await create(base);
  const key = await credentials().create(vault.id, { auth: { type: "static_bearer", token: "canary-provider-key" } as Auth });
  expect(key.auth).toEqual({ type: "static_bearer", mcp_server_url: "" });
  await refusedAsInvalid(
    credentials().create((await vaultWith()).id, { auth: { type: "static_bearer", token: "t" } as Auth }),
    /mcp_server_url/,
  );
  const ask = async (vaultId: string): Promise<string[]> => {
    const session = await server.createSession({ vault_ids: [vaultId] });
    await session.send(message("hello"));
    return saidBy(await session.rest());
  };
  expect(await ask(vault.id)).toEqual(["From the vault's provider."]);
  expect(other.requests.at(-1)?.headers["x-api-key"]).toBe("canary-provider-key");
  const keyless = await create(base);
  expect(await ask(keyless.id)).toEqual(["From the vault's provider."]);
  expect(JSON.stringify(other.requests.at(-1)?.headers)).not.toContain("scripted");
  const wrong = await create({ ...base, "sandbox0.managed_agents.engine": "no-such-harness" });
  await refusedAsInvalid(server.createSession({ vault_ids: [wrong.id] }), /no-such-harness/);
});
