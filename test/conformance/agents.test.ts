import type { AgentCreateParams, BetaManagedAgentsAgent } from "@anthropic-ai/sdk/resources/beta/agents/agents";
import { say } from "@sandbox0/testkit";
import { expect } from "vitest";
import { conformanceServer, MODEL, TOOLSET } from "./fixture/conformance-server.ts";
import { refused, refusedAsInvalid, refusedAsUnknown } from "./fixture/refused.ts";
import { message, saidBy } from "./fixture/test-session.ts";
import { verifies } from "./fixture/verifies.ts";

const server = conformanceServer();
const agents = () => server.client.beta.agents;

const CUSTOM = { type: "custom" as const, name: "lookup", description: "Looks up.", input_schema: { type: "object" as const } };
const DOCS = { type: "url" as const, name: "docs", url: "https://docs.example.com/mcp" };
const DOCS_TOOLS = { type: "mcp_toolset" as const, mcp_server_name: "docs" };
const ALLOW = { type: "always_allow" };
const ASK = { type: "always_ask" };
const refusedParams = (params: object, about?: string | RegExp) =>
  refusedAsInvalid(agents().create({ name: "a", model: MODEL, ...params } as AgentCreateParams), about);

verifies(["agents.create-defaults", "http.id-prefixes"], "name and model are enough; the rest is filled in", async () => {
  const agent = await agents().create({ name: "Ada", model: MODEL });
  expect(agent).toEqual({
    id: expect.stringMatching(/^agent_01\w+$/),
    type: "agent",
    name: "Ada",
    description: null,
    system: null,
    model: { id: MODEL, effort: { type: expect.any(String) }, speed: "standard" },
    tools: [],
    mcp_servers: [],
    skills: [],
    multiagent: null,
    execution_identity: { type: "service_account" },
    metadata: {},
    version: 1,
    created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
    updated_at: agent.created_at,
    archived_at: null,
  });
  expect(await agents().retrieve(agent.id)).toEqual(agent);
  const full = await agents().create({
    name: "x".repeat(256),
    description: "d".repeat(2048),
    system: "s".repeat(100_000),
    model: { id: MODEL, effort: "low", speed: "standard", inference_geo: "us" },
    metadata: { team: "red" },
  });
  expect(full).toMatchObject({ model: { effort: { type: "low" }, inference_geo: "us" }, metadata: { team: "red" } });
});

verifies("agents.create-limits", "beyond a limit is a 400 that names the field", async () => {
  await refusedParams({ name: "" }, /name/);
  await refusedParams({ name: "x".repeat(257) }, /name/);
  await refusedParams({ description: "x".repeat(2049) }, /description/);
  await refusedParams({ system: "x".repeat(100_001) }, /system/);
  const tools = (count: number) => Array.from({ length: count }, (_, index) => ({ ...CUSTOM, name: `tool_${index}` }));
  expect((await agents().create({ name: "a", model: MODEL, tools: tools(256) })).tools).toHaveLength(256);
  await refusedParams({ tools: tools(257) }, /tools/);
  const servers = Array.from({ length: 21 }, (_, index) => ({ ...DOCS, name: `s${index}` }));
  await refusedParams(
    { mcp_servers: servers, tools: servers.map(({ name }) => ({ ...DOCS_TOOLS, mcp_server_name: name })) },
    /mcp_servers/,
  );
  await refusedParams({ mcp_servers: [{ ...DOCS, url: "ftp://x" }], tools: [DOCS_TOOLS] }, /mcp_servers\[0\]\.url/);
  for (const missing of ["name", "model"]) await refusedParams({ [missing]: undefined }, new RegExp(missing));
});

verifies(["agents.toolset-resolved", "agents.policy-defaults"], "toolsets come back resolved", async () => {
  const agent = await server.createAgent({
    tools: [
      {
        ...TOOLSET,
        configs: [
          { name: "bash", permission_policy: { type: "always_ask" } },
          { name: "web_fetch", enabled: false },
        ],
      },
      { ...DOCS_TOOLS, configs: [{ name: "search", enabled: false }] },
      CUSTOM,
    ],
    mcp_servers: [DOCS],
  });
  expect(agent.tools).toEqual([
    {
      type: "agent_toolset_20260401",
      default_config: { enabled: true, permission_policy: ALLOW },
      configs: [
        { name: "bash", type: "bash", enabled: true, permission_policy: ASK },
        { name: "web_fetch", type: "web_fetch", enabled: false, permission_policy: ALLOW, url_sources: null },
      ],
    },
    {
      type: "mcp_toolset",
      mcp_server_name: "docs",
      default_config: { enabled: true, permission_policy: ASK },
      configs: [{ name: "search", enabled: false, permission_policy: ASK }],
    },
    CUSTOM,
  ]);
  const plain = await server.createAgent({ tools: [{ ...TOOLSET, default_config: { enabled: false } }] });
  expect(plain.tools).toEqual([
    { type: "agent_toolset_20260401", default_config: { enabled: false, permission_policy: ALLOW }, configs: [] },
  ]);
});

verifies(["agents.builtin-as-toolset", "agents.custom-tool-rules"], "tools that are none", async () => {
  await refusedParams({ tools: [{ type: "bash" }] }, /tools\[0\]/);
  const custom = (change: object) => refusedParams({ tools: [{ ...CUSTOM, ...change }] }, /tools\[0\]/);
  await custom({ name: "has space" });
  await custom({ name: "x".repeat(129) });
  await custom({ name: "bash" });
  await custom({ name: "mcp__docs__x" });
  await custom({ description: "" });
  await custom({ input_schema: { type: "string" } });
  await custom({ input_schema: { type: "object", properties: { a: { items: { $ref: "#/x" } } } } });
  for (const key of ["oneOf", "anyOf", "allOf"]) await custom({ input_schema: { type: "object", [key]: [] } });
  await custom({ input_schema: { type: "object", properties: { "not a name": {} } } });
  await refusedParams({ tools: [CUSTOM, CUSTOM] }, /tools\[1\]/);
});

verifies("agents.mcp-cross-checks", "servers and toolsets belong together", async () => {
  await refusedParams({ mcp_servers: [DOCS] }, /docs/);
  await refusedParams({ tools: [DOCS_TOOLS] }, /docs/);
  await refusedParams({ mcp_servers: [DOCS, DOCS], tools: [DOCS_TOOLS] }, /unique/);
});

verifies("agents.domain-lists", "domain lists are checked, with the official messages", async () => {
  const fetchWith = (config: object, about: string) =>
    refusedParams({ tools: [{ ...TOOLSET, configs: [{ name: "web_fetch", ...config }] }] }, about);
  const both = { allowed_domains: ["a.com"], blocked_domains: ["b.com"] };
  await fetchWith(both, "Only one of allowed_domains or blocked_domains may be set.");
  await fetchWith(
    { allowed_domains: [] },
    "allowed_domains: Empty list of domains is ambiguous. Provide at least one domain or null.",
  );
  const ip = 'allowed_domains.0: IP addresses are not supported; provide a plain hostname like "example.com"';
  await fetchWith({ allowed_domains: ["127.0.0.1"] }, ip);
  for (const bad of ["https://a.com", "a.com:8080", "*.a.com", "com", "localhost", "a.local", "x.internal", "a.com/path"]) {
    await fetchWith({ blocked_domains: [bad] }, "blocked_domains.0");
  }
  await fetchWith({ allowed_domains: ["a.com", "a.com"] }, "allowed_domains.1");
  await fetchWith({ allowed_domains: Array.from({ length: 65 }, (_, index) => `a${index}.com`) }, "allowed_domains");
  const configs = [
    { name: "web_fetch" as const, allowed_domains: ["docs.example.com"] },
    { name: "web_search" as const, blocked_domains: ["example.com/path"] },
  ];
  const agent = await server.createAgent({ tools: [{ ...TOOLSET, configs }] });
  expect(agent.tools[0]).toMatchObject({ configs });
});

verifies("agents.model-combination", "an effort or speed the model has not", async () => {
  await refusedParams({ model: { id: "claude-sonnet-4-5", effort: "max" } }, /effort/);
  await refusedParams({ model: { id: "claude-haiku-5-5", speed: "fast" } }, /speed/);
  await refusedParams({ model: { id: MODEL, effort: "enormous" } }, /effort/);
});

verifies("agents.skills", "skills come back with a version, the newest when none was given", async () => {
  const skills = [
    { type: "custom" as const, skill_id: "skill_01x", version: "3" },
    { type: "anthropic" as const, skill_id: "xlsx" },
  ];
  const agent = await server.createAgent({ skills });
  expect(agent.skills).toEqual([skills[0], { ...skills[1], version: expect.any(String) }]);
});

verifies(["agents.update-keeps", "agents.update-clears", "metadata.patch"], "what is left out stays; null clears", async () => {
  const agent = await server.createAgent({
    description: "d",
    system: "s",
    tools: [TOOLSET, CUSTOM],
    metadata: { keep: "1", change: "2", drop: "3" },
  });
  const renamed = await agents().update(agent.id, { name: "Bob", metadata: { change: "two", drop: null, add: "4" } });
  expect(renamed).toEqual({
    ...agent,
    name: "Bob",
    metadata: { keep: "1", change: "two", add: "4" },
    version: 2,
    updated_at: expect.any(String),
  });
  const replaced = await agents().update(agent.id, { tools: [CUSTOM], system: "" });
  expect(replaced).toMatchObject({ tools: [CUSTOM], system: null, description: "d", version: 3 });
  expect(await agents().update(agent.id, { tools: null, description: null })).toMatchObject({
    tools: [],
    description: null,
    version: 4,
  });
  for (const cleared of [{ name: null }, { model: null }, { name: "" }]) {
    await refusedAsInvalid(agents().update(agent.id, cleared as never), /name|model/);
  }
});

verifies("agents.update-effort", "the effort stays with its model", async () => {
  const agent = await server.createAgent({ model: { id: MODEL, effort: "low", inference_geo: "us" } });
  const same = await agents().update(agent.id, { model: { id: MODEL } });
  expect(same.model).toEqual({ id: MODEL, effort: { type: "low" }, speed: "standard" });
  const fresh = await server.createAgent({ model: "claude-opus-5-5" });
  const other = await agents().update(agent.id, { model: "claude-opus-5-5" });
  expect(other.model).toEqual(fresh.model);
});

verifies(["agents.update-new-version", "agents.update-noop", "agents.versions"], "versions", async () => {
  const first = await server.createAgent({ system: "one" });
  const second = await agents().update(first.id, { system: "two" });
  expect(second.version).toBe(2);
  for (const noop of [{}, { system: "two" }, { metadata: { absent: null } }, { version: 2, name: second.name }]) {
    expect(await agents().update(first.id, noop)).toEqual(second);
  }
  const listed: BetaManagedAgentsAgent[] = [];
  for await (const version of agents().versions.list(first.id)) listed.push(version);
  expect(listed).toEqual([second, first]);
  expect(await agents().retrieve(first.id, { version: 1 })).toEqual(first);
  expect(await agents().retrieve(first.id, { version: 2 })).toEqual(second);
});

verifies(
  ["agents.update-stale", "agents.update-current", "http.conflict-no-retry"],
  "an update under a stale version",
  async () => {
    const agent = await server.createAgent({ system: "one" });
    const second = await agents().update(agent.id, { version: 1, system: "two" });
    for (const params of [{ version: 1, system: "three" }, { version: 1 }, { version: 3, system: "two" }]) {
      const { status, type, headers } = await refused(agents().update(agent.id, params));
      expect({ status, type, retry: headers.get("x-should-retry") }).toEqual({
        status: 409,
        type: "conflict_error",
        retry: "false",
      });
    }
    expect(await agents().retrieve(agent.id)).toEqual(second);
    expect((await agents().update(agent.id, { system: "three" })).version).toBe(3);
  },
);

verifies(["agents.unknown-id", "agents.unknown-version"], "unknown ids and versions", async () => {
  const agent = await server.createAgent();
  const id = "agent_011111111111111111111111";
  await refusedAsUnknown(agents().retrieve(id));
  await refusedAsUnknown(agents().update(id, {}));
  await refusedAsUnknown(agents().archive(id));
  await refusedAsUnknown(
    agents()
      .versions.list(id)
      .then((page) => page.data),
  );
  await refusedAsUnknown(agents().retrieve(agent.id, { version: 2 }));
  await refusedAsInvalid(agents().retrieve(agent.id, { version: 0 }), /version/);
});

verifies(["agents.archive", "agents.archived-unlisted", "agents.update-archived", "http.empty-post"], "archive", async () => {
  const agent = await server.createAgent();
  const archived = await agents().archive(agent.id);
  expect(archived).toEqual({ ...agent, archived_at: expect.any(String), updated_at: expect.any(String) });
  expect(await agents().archive(agent.id)).toEqual(archived);
  await refusedAsInvalid(agents().update(agent.id, { name: "x" }), /archived/);
  const ids = async (include_archived: boolean) => {
    const all: string[] = [];
    for await (const { id } of agents().list({ include_archived })) all.push(id);
    return all;
  };
  expect(await ids(false)).not.toContain(agent.id);
  expect(await ids(true)).toContain(agent.id);
  expect(await agents().retrieve(agent.id)).toEqual(archived);
});

verifies(
  ["agents.archived-sessions", "agents.snapshot", "sessions.archived-parts"],
  "sessions go on with what they began with",
  async () => {
    const agent = await server.createAgent({ system: "The first words." });
    const session = await server.createSession({ agent: agent.id });
    await agents().update(agent.id, { system: "Other words." });
    await agents().archive(agent.id);
    const marker = server.play(say("Still here."));
    await session.send(message(marker));
    expect(saidBy(await session.rest())).toEqual(["Still here."]);
    expect(server.requests(marker)[0]?.system).toContain("The first words.");
    expect((await session.retrieve()).agent).toMatchObject({ version: 1, system: "The first words." });
    await refusedAsInvalid(server.createSession({ agent: agent.id }), /archived/);
  },
);

verifies("agents.list-filter", "created_at[gte] and [lte] are inclusive", async () => {
  const agent = await server.createAgent();
  const at = agent.created_at;
  const page = await agents().list({ "created_at[gte]": at, "created_at[lte]": at });
  expect(page.data.map(({ id }) => id)).toContain(agent.id);
  const later = new Date(Date.parse(at) + 1).toISOString();
  expect((await agents().list({ "created_at[gte]": later })).data.map(({ id }) => id)).not.toContain(agent.id);
});
