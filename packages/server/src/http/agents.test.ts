import { Anthropic } from "@anthropic-ai/sdk";
import type { AgentCreateParams, BetaManagedAgentsCustomTool } from "@anthropic-ai/sdk/resources/beta/agents/agents";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type TestServer, startTestServer } from "./http-server.fixture.ts";

let server: TestServer;
let client: Anthropic;

beforeAll(async () => {
  server = await startTestServer();
  client = server.client();
});
afterAll(async () => {
  await server.close();
});

const create = (params: Partial<AgentCreateParams> = {}) =>
  client.beta.agents.create({ name: "a", model: "claude-opus-5-5", ...params });
const ALLOW = { type: "always_allow" } as const;
const ASK = { type: "always_ask" } as const;

/** The error a call ends with. */
async function refusal(
  call: Promise<unknown>,
): Promise<{ status: number | undefined; type: string | null; message: string; retry: string | null }> {
  const error = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof Anthropic.APIError)) throw new Error(`expected an API error, got ${String(error)}`);
  return {
    status: error.status,
    type: error.type ?? null,
    message: error.message,
    retry: error.headers?.get("x-should-retry") ?? null,
  };
}

test("a new agent has version 1 and every field resolved", async () => {
  const agent = await create();
  expect(agent).toMatchObject({
    type: "agent",
    name: "a",
    version: 1,
    description: null,
    system: null,
    model: { id: "claude-opus-5-5", effort: { type: "high" }, speed: "standard" },
    tools: [],
    mcp_servers: [],
    skills: [],
    multiagent: null,
    execution_identity: { type: "service_account" },
    metadata: {},
    archived_at: null,
  });
  expect(agent.id).toMatch(/^agent_01/);
  expect(agent.created_at).toMatch(/^\d{4}-.*Z$/);
  expect(agent._request_id).toMatch(/^req_01/);
  expect(await client.beta.agents.retrieve(agent.id)).toEqual(agent);
});

const custom = (name: string, schema: object = { type: "object" }) =>
  ({ type: "custom", name, description: "d", input_schema: schema }) as BetaManagedAgentsCustomTool;
const DEPLOY = custom("deploy", { type: "object", properties: { env: { type: "string" } }, required: ["env"] });

test("toolsets are resolved: defaults, every config entry, shorthands", async () => {
  const agent = await create({
    mcp_servers: [{ type: "url", name: "gh", url: "https://mcp.example.com/x" }],
    tools: [
      {
        type: "agent_toolset_20260401",
        default_config: { permission_policy: ASK },
        configs: [
          { name: "bash", enabled: false },
          {
            name: "web_fetch",
            permission_policy: ALLOW,
            allowed_domains: ["docs.example.com"],
            url_sources: {
              user_input: "all",
              client_tool_results: { type: "only", tools: [{ type: "tool_reference", name: "deploy" }] },
            },
          },
          { name: "web_search", user_location: { type: "approximate", country: "DE" } },
        ],
      },
      { type: "mcp_toolset", mcp_server_name: "gh", configs: [{ name: "issues", permission_policy: ALLOW }] },
      DEPLOY,
    ],
  });
  expect(agent.tools).toEqual([
    {
      type: "agent_toolset_20260401",
      default_config: { enabled: true, permission_policy: ASK },
      configs: [
        { name: "bash", type: "bash", enabled: false, permission_policy: ASK },
        {
          name: "web_fetch",
          type: "web_fetch",
          enabled: true,
          permission_policy: ALLOW,
          allowed_domains: ["docs.example.com"],
          url_sources: {
            user_input: { type: "all" },
            server_tool_results: null,
            client_tool_results: { type: "only", tools: [{ type: "tool_reference", name: "deploy" }] },
          },
        },
        {
          name: "web_search",
          type: "web_search",
          enabled: true,
          permission_policy: ASK,
          user_location: { type: "approximate", country: "DE" },
        },
      ],
    },
    {
      type: "mcp_toolset",
      mcp_server_name: "gh",
      default_config: { enabled: true, permission_policy: ASK },
      configs: [{ name: "issues", enabled: true, permission_policy: ALLOW }],
    },
    DEPLOY,
  ]);
});

const server1 = { type: "url", name: "s", url: "https://s.example.com" };
const REFUSED: [string, Record<string, unknown>, RegExp][] = [
  ["no name", { name: undefined }, /^name: Field required$/],
  ["an empty name", { name: "" }, /^name: /],
  ["a long name", { name: "x".repeat(257) }, /^name: /],
  ["a long system prompt", { system: "x".repeat(100_001) }, /^system: /],
  ["no model", { model: undefined }, /^model: /],
  ["a model that is a number", { model: 5 }, /^model: /],
  ["an unknown effort", { model: { id: "claude-opus-5-5", effort: "huge" } }, /^model\.effort: /],
  [
    "an effort the model lacks",
    { model: { id: "claude-opus-4-6", effort: "xhigh" } },
    /^model\.effort: "xhigh" is not supported by claude-opus-4-6/,
  ],
  ["a speed the model lacks", { model: { id: "claude-haiku-5-5", speed: "fast" } }, /^model\.speed: /],
  ["an unknown inference_geo", { model: { id: "claude-opus-5-5", inference_geo: "mars" } }, /^model\.inference_geo: /],
  ["a built-in tool on its own", { tools: [{ type: "bash" }] }, /^tools\[0\]\.type: /],
  [
    "a config of an unknown tool",
    { tools: [{ type: "agent_toolset_20260401", configs: [{ name: "rm" }] }] },
    /^tools\[0\]\.configs\[0\]\.name: /,
  ],
  [
    "a config twice",
    { tools: [{ type: "agent_toolset_20260401", configs: [{ name: "bash" }, { name: "bash" }] }] },
    /^tools\[0\]\.configs: /,
  ],
  ["two custom tools of one name", { tools: [custom("a"), custom("a")] }, /^tools\[1\]: custom tool "a" is given more than once/],
  ["a custom tool named as a built-in", { tools: [custom("bash")] }, /^tools\[0\]\.name: is the name of a built-in tool/],
  ["a custom tool named mcp__", { tools: [custom("mcp__x")] }, /^tools\[0\]\.name: must not start with/],
  ["a custom tool's odd name", { tools: [custom("a b")] }, /^tools\[0\]\.name: /],
  [
    "a schema with $ref",
    { tools: [custom("a", { type: "object", properties: { x: { $ref: "#/y" } } })] },
    /^tools\[0\]\.input_schema: "\$ref"/,
  ],
  ["a schema with anyOf on top", { tools: [custom("a", { type: "object", anyOf: [] })] }, /^tools\[0\]\.input_schema: "anyOf"/],
  [
    "a property with an odd name",
    { tools: [custom("a", { type: "object", properties: { "a b": {} } })] },
    /^tools\[0\]\.input_schema\.properties: /,
  ],
  ["a server no toolset uses", { mcp_servers: [server1] }, /^mcp_servers\[0\]: "s" is not referenced/],
  [
    "a toolset without its server",
    { tools: [{ type: "mcp_toolset", mcp_server_name: "s" }] },
    /^tools\[0\]\.mcp_server_name: "s" is not declared/,
  ],
  [
    "two servers of one name",
    { mcp_servers: [server1, server1], tools: [{ type: "mcp_toolset", mcp_server_name: "s" }] },
    /^mcp_servers: Server names must be unique/,
  ],
  ["a server that is no URL", { mcp_servers: [{ ...server1, url: "file:///etc/passwd" }] }, /^mcp_servers\[0\]\.url: /],
  ["too many tools", { tools: Array.from({ length: 257 }, (_, i) => custom(`t${i}`)) }, /^tools: /],
  [
    "too much metadata",
    { metadata: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`k${i}`, "v"])) },
    /^metadata: at most 16 pairs/,
  ],
  ["metadata that is no text", { metadata: { a: 1 } }, /^metadata\.a: /],
  ["a NUL character", { name: "a\0b" }, /^name: Text must be valid Unicode/],
  ["half a surrogate pair", { system: "a\ud800" }, /^system: Text must be valid Unicode/],
];

describe("refused with 400 that names the field", () => {
  test.each(REFUSED)("%s", async (_what, change, message) => {
    const { status, body } = await server.request("POST", "/v1/agents", {
      body: { name: "a", model: "claude-opus-5-5", ...change },
    });
    expect([status, body.error?.type]).toEqual([400, "invalid_request_error"]);
    expect(body.error?.message).toMatch(message);
  });
});

const webConfig = (fields: object) => ({
  tools: [{ type: "agent_toolset_20260401", configs: [{ name: "web_fetch", ...fields }] }],
});
const DOMAIN_MESSAGES: [object, string][] = [
  [{ allowed_domains: ["a.com"], blocked_domains: ["b.com"] }, "Only one of allowed_domains or blocked_domains may be set."],
  [{ allowed_domains: [] }, "allowed_domains: Empty list of domains is ambiguous. Provide at least one domain or null."],
  [
    { allowed_domains: ["10.0.0.1"] },
    'allowed_domains.0: IP addresses are not supported; provide a plain hostname like "example.com"',
  ],
  [{ allowed_domains: ["https://a.com"] }, "allowed_domains.0: Schemes are not supported"],
  [{ allowed_domains: ["a.com:80"] }, "allowed_domains.0: Ports are not supported"],
  [{ allowed_domains: ["a.com/x"] }, "allowed_domains.0: Paths are not supported"],
  [{ allowed_domains: ["a.com", "*.b.com"] }, "allowed_domains.1: Wildcards are not supported"],
  [{ blocked_domains: ["localhost"] }, "blocked_domains.0: Not a public domain"],
  [{ blocked_domains: ["x.internal"] }, "blocked_domains.0: Not a public domain"],
  [{ allowed_domains: ["a.com", "A.com"] }, "allowed_domains.1: Each domain may be listed once"],
  [
    { url_sources: { user_input: "none", server_tool_results: "none", client_tool_results: "none" } },
    'not all three sources may be "none"',
  ],
  [
    { url_sources: { server_tool_results: { type: "only", tools: [{ type: "tool_reference", name: "bash" }] } } },
    '"bash" must be "web_search" or "web_fetch"',
  ],
  [
    { url_sources: { client_tool_results: { type: "except", tools: [{ type: "tool_reference", name: "nope" }] } } },
    '"nope" is not a custom tool of this agent',
  ],
];

test.each(DOMAIN_MESSAGES)("web tool settings %j: %s", async (fields, message) => {
  const { status, body } = await server.request("POST", "/v1/agents", { body: { name: "a", model: "m", ...webConfig(fields) } });
  expect(status).toBe(400);
  expect(body.error?.message).toContain(message);
});

describe("updating", () => {
  test("a change makes a version; old versions stay", async () => {
    const agent = await create({ system: "one", metadata: { a: "1", b: "2" } });
    const updated = await client.beta.agents.update(agent.id, { version: 1, system: "two", metadata: { a: null, c: "3" } });
    expect(updated).toMatchObject({ version: 2, system: "two", metadata: { b: "2", c: "3" }, created_at: agent.created_at });
    expect(await client.beta.agents.retrieve(agent.id, { version: 1 })).toEqual(agent);
    expect(await client.beta.agents.retrieve(agent.id)).toEqual(updated);
    const versions: number[] = [];
    for await (const version of client.beta.agents.versions.list(agent.id, { limit: 1 })) versions.push(version.version);
    expect(versions).toEqual([2, 1]);
  });

  test("nothing changed: the same version, the same object", async () => {
    const agent = await create({ description: "d", tools: [{ type: "agent_toolset_20260401" }] });
    const { name, description, tools } = agent;
    expect(
      await client.beta.agents.update(agent.id, {
        name,
        description,
        model: "claude-opus-5-5",
        tools: tools as never,
        metadata: {},
      }),
    ).toEqual(agent);
    expect(await client.beta.agents.update(agent.id, {})).toEqual(agent);
  });

  test("a stale version is a conflict, even of a change that is none", async () => {
    const agent = await create();
    await client.beta.agents.update(agent.id, { name: "b" });
    const conflict = { status: 409, type: "conflict_error", retry: "false" };
    expect(await refusal(client.beta.agents.update(agent.id, { version: 1, name: "b" }))).toMatchObject(conflict);
    expect(await refusal(client.beta.agents.update(agent.id, { version: 3, name: "c" }))).toMatchObject(conflict);
    expect((await client.beta.agents.retrieve(agent.id)).version).toBe(2);
  });

  test("of two updates of one version at the same time one wins", async () => {
    const agent = await create();
    const outcomes = await Promise.allSettled(
      Array.from({ length: 8 }, (_, i) => client.beta.agents.update(agent.id, { version: 1, name: `n${i}` })),
    );
    expect(outcomes.filter((outcome) => outcome.status === "fulfilled")).toHaveLength(1);
    expect((await client.beta.agents.retrieve(agent.id)).version).toBe(2);
  });

  test("null and the empty text clear what can be cleared", async () => {
    const full = {
      description: "d",
      system: "s",
      tools: [{ type: "mcp_toolset", mcp_server_name: "s" }] as never,
      mcp_servers: [server1] as never,
      skills: [{ type: "custom", skill_id: "skill_1", version: "3" }] as never,
    };
    const agent = await create(full);
    expect(agent.skills).toEqual([{ type: "custom", skill_id: "skill_1", version: "3" }]);
    const cleared = await client.beta.agents.update(agent.id, {
      description: null,
      system: "",
      tools: null,
      mcp_servers: null,
      skills: [],
      execution_identity: null,
    });
    expect(cleared).toMatchObject({ description: null, system: null, tools: [], mcp_servers: [], skills: [], version: 2 });
    for (const change of [{ name: null }, { model: null }, { name: "" }]) {
      expect((await server.request("POST", `/v1/agents/${agent.id}`, { body: change })).status).toBe(400);
    }
  });

  test("what is left must still fit together", async () => {
    const agent = await create({ mcp_servers: [server1] as never, tools: [{ type: "mcp_toolset", mcp_server_name: "s" }] });
    expect((await refusal(client.beta.agents.update(agent.id, { tools: null }))).message).toContain("mcp_servers[0]");
  });

  test("a model is replaced whole, but for the effort of the same model", async () => {
    const agent = await create({ model: { id: "claude-opus-5-5", effort: "low", speed: "fast", inference_geo: "us" } });
    expect(agent.model).toEqual({ id: "claude-opus-5-5", effort: { type: "low" }, speed: "fast", inference_geo: "us" });
    const same = await client.beta.agents.update(agent.id, { model: { id: "claude-opus-5-5" } });
    expect(same.model).toEqual({ id: "claude-opus-5-5", effort: { type: "low" }, speed: "standard" });
    const other = await client.beta.agents.update(agent.id, { model: "claude-sonnet-5" });
    expect(other.model).toEqual({ id: "claude-sonnet-5", effort: { type: "high" }, speed: "standard" });
    const given = await client.beta.agents.update(agent.id, { model: { id: "claude-sonnet-5", effort: { type: "max" } } });
    expect(given.model.effort).toEqual({ type: "max" });
  });

  test("PATCH does the same", async () => {
    const agent = await create();
    expect((await server.request("PATCH", `/v1/agents/${agent.id}`, { body: { name: "p" } })).body).toMatchObject({
      name: "p",
      version: 2,
    });
  });
});

test("an archived agent can be read, and nothing else", async () => {
  const agent = await create();
  const archived = await client.beta.agents.archive(agent.id);
  expect(archived).toMatchObject({ id: agent.id, version: 1 });
  expect(archived.archived_at).not.toBeNull();
  expect(await client.beta.agents.archive(agent.id)).toEqual(archived);
  expect(await client.beta.agents.retrieve(agent.id)).toEqual(archived);
  expect(await refusal(client.beta.agents.update(agent.id, { name: "b" }))).toMatchObject({
    status: 400,
    type: "invalid_request_error",
  });
});

test("unknown agents and versions are not found", async () => {
  const agent = await create();
  expect(await refusal(client.beta.agents.retrieve("agent_01nope"))).toMatchObject({
    status: 404,
    type: "not_found_error",
    message: expect.stringContaining("Agent `agent_01nope` not found."),
  });
  expect(await refusal(client.beta.agents.retrieve(agent.id, { version: 2 }))).toMatchObject({ status: 404 });
  expect(await refusal(client.beta.agents.retrieve(agent.id, { version: 0 }))).toMatchObject({ status: 400 });
  expect(await refusal(client.beta.agents.archive("agent_01nope"))).toMatchObject({ status: 404 });
  expect(await refusal(client.beta.agents.update("agent_01nope", { name: "x" }))).toMatchObject({ status: 404 });
});

describe("listing", () => {
  test("newest first, page by page, archived ones only when asked for", async () => {
    const key = await server.apiKeys.create(
      { keyId: "k", workspaceId: server.workspaceId, admin: true },
      { name: "list", workspace: "listing" },
    );
    const own = server.client({ apiKey: key.key });
    const made: string[] = [];
    for (let i = 0; i < 5; i++) made.push((await own.beta.agents.create({ name: `n${i}`, model: "m" })).id);
    await own.beta.agents.archive(made[2] ?? "");
    const ids: string[] = [];
    for await (const agent of own.beta.agents.list({ limit: 2 })) ids.push(agent.id);
    expect(ids).toEqual([made[4], made[3], made[1], made[0]]);
    const all = await own.beta.agents.list({ include_archived: true, limit: 5 });
    expect(all.data.map((agent) => agent.id)).toEqual([...made].reverse());
    expect(all.next_page).toBeNull();
    const { created_at: third } = await own.beta.agents.retrieve(made[3] ?? "");
    expect((await own.beta.agents.list({ "created_at[gte]": third })).data.length).toBeGreaterThanOrEqual(2);
    const page = await own.beta.agents.list({ limit: 1 });
    const early = new Date(Date.parse(all.data.at(-1)?.created_at ?? "") - 1_000).toISOString();
    expect(
      await refusal(Promise.resolve(own.beta.agents.list({ page: page.next_page ?? "", "created_at[lte]": early }))),
    ).toMatchObject({ status: 400 });
  });

  test.each([
    "limit=0",
    "limit=101",
    "limit=x",
    "page=page_x",
    "page=nope",
    "include_archived=maybe",
    "created_at[gte]=yesterday",
  ])("%s is refused", async (query) => {
    const { status, body } = await server.request("GET", `/v1/agents?${query}`);
    expect([status, body.error?.type]).toEqual([400, "invalid_request_error"]);
    expect(body.error?.message).toContain(query.split("=")[0]);
  });

  test("empty parameters and beta=true mean nothing", async () => {
    expect((await server.request("GET", "/v1/agents?page=&limit=&beta=true")).status).toBe(200);
  });
});
