import { randomBytes } from "node:crypto";
import { call, fail, say } from "@sandbox0/testkit";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { refused } from "../conformance/fixture/refused.ts";
import { attackFixture, requestsIn } from "./stage/attack-fixture.ts";
import { createCanaries } from "./stage/canaries.ts";
import type { HostileSession } from "./stage/hostile-session.ts";
import type { ReachedHttp } from "./stage/records.ts";
import { GOOD } from "./stage/zones.ts";

const canaries = createCanaries();
const MASTER_KEY = randomBytes(32);
canaries.watch("the master key", MASTER_KEY);
const SECRET = {
  provider: canaries.make("Provider"),
  apiKey: canaries.make("ApiKey"),
  bearer: canaries.make("Bearer"),
  brokenBearer: canaries.make("BrokenBearer"),
  access: canaries.make("Access"),
  refresh: canaries.make("Refresh"),
  client: canaries.make("ClientSecret"),
  variable: canaries.make("Variable"),
  anywhere: canaries.make("Anywhere"),
  llm: canaries.make("Llm"),
};
const HOSTS = ["example.com", "other.example", "mcp.example.com", "oauth.example.com", "auth.example.com", "llm.example.com"];
const OTEL_PORT = 8080;
const HOUR_MS = 3_600_000;

const fixture = attackFixture(Object.fromEntries(HOSTS.map((host) => [host, { addresses: [GOOD.v4] }])), {
  stage: { providerKey: SECRET.provider, apiKey: SECRET.apiKey },
  environment: {
    SANDBOX0_MASTER_KEY: MASTER_KEY.toString("hex"),
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${OTEL_PORT}`,
  },
});
let session: HostileSession;
let db: pg.Pool;
let vaultId: string;
/** What the API has answered, as text. */
const answered: string[] = [];

async function keep<T>(answer: Promise<T>): Promise<T> {
  const value = await answer;
  answered.push(JSON.stringify(value));
  return value;
}

type Auth = Parameters<(typeof fixture)["server"]["client"]["beta"]["vaults"]["credentials"]["create"]>[1]["auth"];

async function addCredential(auth: Auth, vault = vaultId): Promise<string> {
  return (await keep(fixture.server.client.beta.vaults.credentials.create(vault, { auth }))).id;
}

const oauth = (url: string, tokenEndpoint: string): Auth => ({
  type: "mcp_oauth",
  mcp_server_url: url,
  access_token: SECRET.access,
  expires_at: new Date(Date.now() + HOUR_MS).toISOString(),
  refresh: {
    refresh_token: SECRET.refresh,
    client_id: "client",
    token_endpoint: tokenEndpoint,
    token_endpoint_auth: { type: "client_secret_post", client_secret: SECRET.client },
  },
});

const MCP_SERVERS = {
  teller: "https://mcp.example.com/mcp",
  broken: "https://mcp.example.com/status/500",
  oauth: "https://oauth.example.com/mcp",
  expired: "https://oauth.example.com/status/401",
};

beforeAll(async () => {
  db = new pg.Pool({ connectionString: fixture.stage.connectionString, max: 2 });
  vaultId = (await fixture.server.client.beta.vaults.create({ display_name: "secrets" })).id;
  await addCredential({ type: "static_bearer", mcp_server_url: MCP_SERVERS.teller, token: SECRET.bearer });
  await addCredential({ type: "static_bearer", mcp_server_url: MCP_SERVERS.broken, token: SECRET.brokenBearer });
  await addCredential(oauth(MCP_SERVERS.oauth, "https://auth.example.com/token"));
  await addCredential(oauth(MCP_SERVERS.expired, "https://auth.example.com/status/400"));
  await db.query("update vault_credentials set expires_at = now() - interval '1 hour' where expires_at is not null");
  const networking = { type: "limited" as const, allowed_hosts: ["example.com"] };
  await addCredential({ type: "environment_variable", secret_name: "TOKEN", secret_value: SECRET.variable, networking });
  await addCredential({
    type: "environment_variable",
    secret_name: "ANYWHERE",
    secret_value: SECRET.anywhere,
    networking: { type: "unrestricted" },
  });
  session = await fixture.session({
    networking: { type: "unrestricted" },
    vaultIds: [vaultId],
    agent: {
      mcp_servers: Object.entries(MCP_SERVERS).map(([name, url]) => ({ type: "url", name, url })),
      tools: [
        { type: "agent_toolset_20260401" },
        ...Object.keys(MCP_SERVERS).map((name) => ({
          type: "mcp_toolset" as const,
          mcp_server_name: name,
          default_config: { permission_policy: { type: "always_allow" as const } },
        })),
      ],
    },
  });
});

afterAll(() => db.end());

/** Everywhere that is not meant for secrets. */
async function findEverywhere(sought = canaries): Promise<string[]> {
  const { client, url } = fixture.server;
  const events: unknown[] = [];
  for await (const each of client.beta.sessions.list()) {
    answered.push(JSON.stringify(each));
    for await (const event of client.beta.sessions.events.list(each.id)) events.push(event);
  }
  for await (const each of client.beta.vaults.credentials.list(vaultId)) answered.push(JSON.stringify(each));
  const traces = requestsIn(await fixture.reached()).filter(({ port }) => port === OTEL_PORT);
  const texts: Record<string, string> = {
    "answers of the API": answered.join("\n"),
    "event logs": JSON.stringify(events),
    "streams of events": JSON.stringify(session.stream.received),
    "what the model was sent": JSON.stringify(fixture.stage.provider.requests.map(({ body }) => body)),
    "the server's log": await fixture.stage.inside.output(),
    metrics: await (await fetch(`${url}/metrics`)).text(),
    traces: JSON.stringify(traces),
  };
  return [
    ...Object.entries(texts).flatMap(([place, text]) => sought.find(text).map((hit) => `${place}: ${hit}`)),
    ...(await sought.findInDatabase(db)),
    ...(await sought.findInFiles(fixture.stage.dataDir)),
  ];
}

test("the search finds what is planted, in every form and every kind of place", async () => {
  const others = createCanaries();
  const planted = others.make("Planted");
  const key = Buffer.from(MASTER_KEY).reverse();
  others.watch("a key", key);
  const aligned = ["", "a", "ab"].map((before) => Buffer.from(`${before}${planted} and more`).toString("base64"));
  const forms = [planted, ...aligned, Buffer.from(planted).toString("hex"), key.toString("hex"), key.toString("base64")];
  for (const form of forms) expect(others.find(`some ${form} text`)).not.toEqual([]);
  expect(others.find(key)).not.toEqual([]);
  await session.bash(`echo ${planted} > ~/planted`);
  await db.query("create table planted as select convert_to($1, 'utf8') as bytes", [planted]);
  const hits = (await findEverywhere(others)).join("\n");
  for (const place of ["/home/planted", "event logs", "streams of events", "what the model was sent", "public.planted"])
    expect(hits).toContain(place);
  await db.query("drop table planted");
});

/** The server speaks to MCP servers at the same time. */
async function requestsTo(wanted: string): Promise<ReachedHttp[]> {
  return requestsIn(await fixture.reached()).filter(({ host }) => host === wanted);
}

test("secrets go where they should, so that not finding them elsewhere means something", async () => {
  await fixture.stage.inside.forget();
  const basic = 'curl -sS -D- -u "user:$TOKEN" https://example.com/echo?basic';
  const body = `curl -sS -D- -H "Authorization: Bearer $TOKEN" -d '{"key":"'$ANYWHERE'"}' https://example.com/echo?body`;
  await session.bash(`{ ${body}; ${basic}; } | tee /workspace/echoed`);
  const [first, second] = await requestsTo("example.com");
  expect(first?.headers.authorization).toBe(`Bearer ${SECRET.variable}`);
  expect(first?.body).toBe(JSON.stringify({ key: SECRET.anywhere }));
  expect(second?.headers.authorization).toBe(`Basic ${Buffer.from(`user:${SECRET.variable}`).toString("base64")}`);
});

test("a credential that is bound to a host goes nowhere else", async () => {
  await fixture.stage.inside.forget();
  await session.bash(
    'curl -sS -H "X: $TOKEN $ANYWHERE" https://other.example/echo; curl -sS -H "X: $TOKEN" http://example.com/echo',
  );
  const [[other], [plain]] = [await requestsTo("other.example"), await requestsTo("example.com")];
  expect(other?.headers.x).toContain(SECRET.anywhere);
  expect(other?.headers.x).not.toContain(SECRET.variable);
  expect(plain?.headers.x).not.toContain(SECRET.variable);
});

test("a sandbox that looks everywhere", async () => {
  await session.bash("{ env; set; cat /proc/*/environ /proc/*/cmdline /proc/*/maps; cat /proc/mounts; } > /workspace/seen 2>&1");
  await session.bash(
    "find / -xdev -type f -newer /etc/hostname -size -100k -readable 2>/dev/null | head -n 500 | xargs cat > /workspace/files 2>/dev/null",
  );
  // Of every process whose memory may be read; and a core, if the machine writes one.
  await session.bash(
    String.raw`perl -e 'for my $maps (glob "/proc/[0-9]*/maps") { my ($pid) = $maps =~ /(\d+)/; open(my $m, "<", $maps) or next; open(my $mem, "<", "/proc/$pid/mem") or next; while (<$m>) { next unless /^([0-9a-f]+)-([0-9a-f]+) r/; my $x; sysseek($mem, hex $1, 0); print $x if sysread($mem, $x, hex($2) - hex($1)) } }' > /workspace/memory 2>/dev/null`,
  );
  expect(Number(await session.bash("wc -c < /workspace/memory"))).toBeGreaterThan(100_000);
  await session.bash(
    'ulimit -c unlimited; cd /workspace; for n in 1 2 3; do (sh -c "curl -s -H \\"X: $TOKEN\\" https://example.com/echo >/dev/null; kill -SEGV \\$\\$"); done; ls; true',
  );
  expect(await session.bash("echo $TOKEN")).toMatch(/^\S{8,}$/);
});

test("upstreams that show what they were sent", async () => {
  for (const path of ["/echo", "/status/400", "/status/401", "/status/403", "/status/500", "/status/503"]) {
    const url = `https://example.com${path}`;
    await session.bash(
      `curl -sS -i -H "Authorization: Bearer $TOKEN" -H "X-Api-Key: $TOKEN" -d "a=$TOKEN" ${url} >> /workspace/errors`,
    );
    await session.bash(
      `curl -sS -i --compressed -u "$TOKEN:" "${url}?$TOKEN" >> /workspace/errors; curl -sS -v --http1.0 -H "A: $ANYWHERE" ${url} 2>&1`,
    );
  }
  expect(await session.bash("grep -c HTTP /workspace/errors")).toMatch(/^\d+$/);
});

test("MCP servers that tell their headers, fail, and are not to be refreshed", async () => {
  await fixture.stage.inside.forget();
  const tellers = (offered: readonly string[]): string[] => offered.filter((name) => name.includes("whoami"));
  for (const at of [0, 1]) expect(await session.call((offered) => tellers(offered)[at] ?? "none", {})).toContain("host");
  const sent = requestsIn(await fixture.reached()).map(({ headers }) => headers.authorization);
  expect(sent).toContain(`Bearer ${SECRET.bearer}`);
  expect(sent).toContain(`Bearer ${SECRET.refresh}new`);
  const { client } = fixture.server;
  for await (const { id, auth } of client.beta.vaults.credentials.list(vaultId)) {
    if (auth.type === "mcp_oauth") await keep(client.beta.vaults.credentials.mcpOAuthValidate(id, { vault_id: vaultId }));
  }
});

test("providers that say which key was wrong", async () => {
  const events = await session.turn("", [fail(400, { message: `Incorrect API key provided: ${SECRET.provider}` })]);
  expect(events.map(({ type }) => type)).toContain("session.error");
  const vault = await fixture.server.client.beta.vaults.create({
    display_name: "llm",
    metadata: {
      "sandbox0.managed_agents.role": "llm",
      "sandbox0.managed_agents.llm_base_url": "https://llm.example.com/status/401",
    },
  });
  await addCredential({ type: "static_bearer", token: SECRET.llm } as Auth, vault.id);
  const own = await fixture.session({ networking: { type: "unrestricted" }, vaultIds: [vault.id] });
  await fixture.stage.inside.forget();
  const failed = await own.turn("", [say("never")]);
  expect(failed.map(({ type }) => type)).toContain("session.error");
  expect(JSON.stringify(requestsIn(await fixture.reached()))).toContain(SECRET.llm);
});

test("a server that refuses, fails and throws", async () => {
  const { client, url } = fixture.server;
  const networking = { type: "unrestricted" as const };
  const variable = (secret_name: string, secret_value: string): Auth => ({
    type: "environment_variable",
    secret_name,
    secret_value,
    networking,
  });
  const tries: Auth[] = [
    variable("TOKEN", SECRET.variable),
    variable("not a name", SECRET.variable),
    variable("LONG", SECRET.variable.repeat(100_000)),
    { type: "static_bearer", mcp_server_url: "https://user@mcp.example.com/#x", token: SECRET.bearer },
    { type: "bearer", token: SECRET.bearer } as unknown as Auth,
  ];
  for (const auth of tries)
    answered.push(JSON.stringify(await refused(client.beta.vaults.credentials.create(vaultId, { auth }))));
  const broken = await fetch(`${url}/v1/vaults/${vaultId}/credentials`, {
    method: "POST",
    headers: { authorization: `Bearer ${SECRET.apiKey}`, "content-type": "application/json" },
    body: `{"auth":{"token":"${SECRET.bearer}"`,
  });
  answered.push(await broken.text());
  const wrongKey = await fetch(`${url}/v1/vaults`, { headers: { "x-api-key": `${SECRET.apiKey}wrong` } });
  answered.push(await wrongKey.text());
  await db.query("alter table vault_secrets rename to vault_secrets_away");
  const failure = await refused(client.beta.vaults.credentials.create(vaultId, { auth: variable("THROWS", SECRET.variable) }));
  answered.push(JSON.stringify(failure));
  expect(failure.status).toBe(500);
  // The turn may fail, and the session with it: it may not say what it had in its hands.
  await session.turn("", [call("bash", { command: 'curl -sS -m 20 -H "X: $TOKEN" https://example.com/echo' }), say("Done.")]);
  await db.query("alter table vault_secrets_away rename to vault_secrets");
});

test("after all this, no secret is anywhere", async () => {
  await db.query("checkpoint");
  expect(await findEverywhere()).toEqual([]);
});
