import type { Anthropic } from "@anthropic-ai/sdk";
import type { BetaManagedAgentsAgentWithOverridesParams } from "@anthropic-ai/sdk/resources/beta/sessions/sessions";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type TestServer, startTestServer } from "./http-server.fixture.ts";

let server: TestServer;
let client: Anthropic;
let environmentId: string;
let baseId: string;

const TOOLSET = { type: "agent_toolset_20260401" as const };
const MCP_TOOLSET = { type: "mcp_toolset" as const, mcp_server_name: "s" };
const MCP_SERVER = { type: "url" as const, name: "s", url: "https://mcp.example.com" };
const SKILL = { type: "custom" as const, skill_id: "skill_1", version: "2" };

beforeAll(async () => {
  server = await startTestServer();
  client = server.client();
  environmentId = (await client.beta.environments.create({ name: "e" })).id;
  const base = {
    name: "base",
    model: { id: "claude-opus-5-5", effort: "low" as const },
    system: "be kind",
    tools: [TOOLSET, MCP_TOOLSET],
    mcp_servers: [MCP_SERVER],
    skills: [SKILL],
  };
  baseId = (await client.beta.agents.create(base)).id;
});
afterAll(async () => {
  await server.close();
  expect(server.bugs).toEqual([]);
});

const start = (agent: Parameters<Anthropic["beta"]["sessions"]["create"]>[0]["agent"], environment = environmentId) =>
  client.beta.sessions.create({ agent, environment_id: environment });
const override = (fields: object) =>
  start({ type: "agent_with_overrides", id: baseId, ...fields } as BetaManagedAgentsAgentWithOverridesParams);

test("a session keeps the agent it was made from", async () => {
  const agent = await client.beta.agents.create({ name: "v1", model: "m", system: "one" });
  const first = await start(agent.id);
  expect(first.agent).toMatchObject({ type: "agent", id: agent.id, version: 1, system: "one", multiagent: null });
  await client.beta.agents.update(agent.id, { system: "two" });
  expect((await client.beta.sessions.retrieve(first.id)).agent).toMatchObject({ version: 1, system: "one" });
  expect((await start(agent.id)).agent).toMatchObject({ version: 2, system: "two" });
  expect((await start({ type: "agent", id: agent.id, version: 1 })).agent).toMatchObject({ version: 1, system: "one" });
  expect((await start({ type: "agent", id: agent.id })).agent.version).toBe(2);
  await expect(start({ type: "agent", id: agent.id, version: 3 })).rejects.toMatchObject({ status: 400 });
  await expect(start("agent_01nope")).rejects.toMatchObject({ status: 404 });
  await client.beta.agents.archive(agent.id);
  await expect(start(agent.id)).rejects.toMatchObject({ status: 400, message: expect.stringContaining("archived") as string });
});

describe("overrides: left out inherits, null or [] clears, a value replaces", () => {
  test("left out", async () => {
    expect((await override({})).agent).toMatchObject({
      id: baseId,
      version: 1,
      system: "be kind",
      skills: [SKILL],
      mcp_servers: [MCP_SERVER],
      model: { effort: { type: "low" } },
    });
  });

  test("system", async () => {
    expect((await override({ system: null })).agent.system).toBeNull();
    expect((await override({ system: "other" })).agent.system).toBe("other");
  });

  test("model: a whole model, with the default effort of its own", async () => {
    expect((await override({ model: "claude-opus-5-5" })).agent.model).toEqual({
      id: "claude-opus-5-5",
      effort: { type: "high" },
      speed: "standard",
    });
    expect((await override({ model: { id: "claude-sonnet-5", effort: "max" } })).agent.model).toMatchObject({
      id: "claude-sonnet-5",
      effort: { type: "max" },
    });
    await expect(override({ model: { id: "claude-opus-4-6", effort: "xhigh" } })).rejects.toMatchObject({ status: 400 });
    await expect(override({ model: null })).rejects.toMatchObject({ status: 400, errorCode: "agent_model_required" });
  });

  test("skills", async () => {
    expect((await override({ skills: [] })).agent.skills).toEqual([]);
    expect((await override({ skills: null })).agent.skills).toEqual([]);
  });

  test("tools and servers must still fit together", async () => {
    const none = await override({ tools: [], mcp_servers: [], skills: [] });
    expect(none.agent).toMatchObject({ tools: [], mcp_servers: [], skills: [] });
    expect((await override({ tools: [TOOLSET], mcp_servers: null })).agent.mcp_servers).toEqual([]);
    // Skills need tools; a server needs its toolset and the other way round.
    await expect(override({ tools: null, mcp_servers: [] })).rejects.toMatchObject({
      status: 400,
      message: expect.stringContaining("skills") as string,
    });
    await expect(override({ mcp_servers: null })).rejects.toMatchObject({
      status: 400,
      message: expect.stringContaining("agent.tools[1]") as string,
    });
    await expect(override({ tools: [TOOLSET] })).rejects.toMatchObject({
      status: 400,
      message: expect.stringContaining("agent.mcp_servers[0]") as string,
    });
  });

  test("the agent itself stays as it is", async () => {
    expect(await client.beta.agents.retrieve(baseId)).toMatchObject({ version: 1, system: "be kind", skills: [SKILL] });
  });
});

describe("limited networking", () => {
  const limited = async (fields: object) =>
    (await client.beta.environments.create({ name: "l", config: { type: "cloud", networking: { type: "limited", ...fields } } }))
      .id;
  const web = (domains: string[]) => ({ ...TOOLSET, configs: [{ name: "web_fetch" as const, allowed_domains: domains }] });

  test("an MCP server's host must be allowed, or MCP servers as such", async () => {
    await expect(start(baseId, await limited({}))).rejects.toMatchObject({
      status: 400,
      message: expect.stringContaining("mcp.example.com") as string,
    });
    await expect(start(baseId, await limited({ allowed_hosts: ["example.com"] }))).rejects.toMatchObject({ status: 400 });
    for (const fields of [
      { allow_mcp_servers: true },
      { allowed_hosts: ["mcp.example.com"] },
      { allowed_hosts: ["*.example.com"] },
    ]) {
      expect((await start(baseId, await limited(fields))).status).toBe("idle");
    }
  });

  test("a web tool's domains must lie within the allowed hosts", async () => {
    const agent = await client.beta.agents.create({ name: "w", model: "m", tools: [web(["docs.example.com"])] });
    await expect(
      start(agent.id, await limited({ allowed_hosts: ["example.com"], allow_mcp_servers: true })),
    ).rejects.toMatchObject({
      status: 400,
      message: expect.stringContaining("docs.example.com") as string,
    });
    expect((await start(agent.id, await limited({ allowed_hosts: ["*.example.com"] }))).status).toBe("idle");
  });
});

describe("rosters", () => {
  const member = async (name: string, fields: object = {}) =>
    (await client.beta.agents.create({ name, model: "m", ...fields })).id;
  const coordinator = (agents: unknown[]) => ({ type: "coordinator" as const, agents: agents as never });
  const make = (multiagent: unknown) => client.beta.agents.create({ name: "boss", model: "m", multiagent: multiagent as never });

  test("coordinator: entries are pinned, self and the advisor resolved, a session sees whole agents", async () => {
    const a = await member("a", { system: "A" });
    await client.beta.agents.update(a, { system: "A2" });
    const b = await member("b");
    const boss = await make(
      coordinator([a, { type: "advisor", model: "claude-opus-5-5" }, { type: "self" }, { type: "agent", id: b, version: 1 }]),
    );
    expect(boss.multiagent).toEqual({
      type: "coordinator",
      agents: [
        { type: "agent", id: a, version: 2 },
        { type: "agent", id: boss.id, version: 1 },
        { type: "agent", id: b, version: 1 },
        { type: "advisor", model: "claude-opus-5-5" },
      ],
    });
    await client.beta.agents.update(a, { system: "A3" });
    const session = await start({ type: "agent_with_overrides", id: boss.id, system: "mine" });
    const { multiagent } = session.agent;
    if (multiagent?.type !== "coordinator") throw new Error("not a coordinator");
    expect(
      multiagent.agents.map((entry) => (entry.type === "agent" ? [entry.name, entry.version, entry.system] : entry.type)),
    ).toEqual([["a", 2, "A2"], ["boss", 1, "mine"], ["b", 1, null], "advisor"]);
    expect(multiagent.agents.some((entry) => "multiagent" in entry)).toBe(false);
  });

  test("self follows the version it is in, and is no change by itself", async () => {
    const boss = await make(coordinator([{ type: "self" }]));
    expect(await client.beta.agents.update(boss.id, { multiagent: coordinator([{ type: "self" }]) })).toEqual(boss);
    const renamed = await client.beta.agents.update(boss.id, { name: "chief" });
    expect(renamed).toMatchObject({ version: 2, multiagent: { agents: [{ id: boss.id, version: 2 }] } });
    expect((await client.beta.agents.update(boss.id, { multiagent: null })).multiagent).toBeNull();
  });

  test("refused: doubles, strangers, archived ones, rosters within rosters, other regions", async () => {
    const a = await member("a");
    const nested = (await make(coordinator([a]))).id;
    const archived = await member("old");
    await client.beta.agents.archive(archived);
    const abroad = await member("us", { model: { id: "m", inference_geo: "us" } });
    const bad: [unknown, RegExp][] = [
      [coordinator([]), /multiagent\.agents/],
      [coordinator(Array.from({ length: 21 }, () => a)), /multiagent\.agents/],
      [coordinator([a, { type: "agent", id: a }]), /listed once/],
      [coordinator([{ type: "self" }, { type: "self" }]), /listed once/],
      [coordinator(["agent_01nope"]), /multiagent\.agents\[0\]: agent `agent_01nope` not found/],
      [coordinator([a, { type: "agent", id: a, version: 9 }]), /multiagent\.agents\[1\]: .*version 9 not found/],
      [coordinator([archived]), /multiagent\.agents\[0\]: .*archived/],
      [coordinator([nested]), /multiagent\.agents\[0\]: .*has `multiagent` set itself/],
      [coordinator([abroad]), /inference_geo/],
      [coordinator([a, { type: "advisor", model: "m" }, { type: "advisor", model: "n" }]), /at most one advisor/],
      [{ type: "swarm" }, /multiagent\.type/],
      [{ type: "multiagent_20261001", advisor: { type: "enabled" } }, /multiagent\.advisor\.model: Field required/],
      [
        { type: "multiagent_20261001", subagents: { type: "enabled", inline_agents: { type: "disabled" } } },
        /subagents\.predefined_agents/,
      ],
    ];
    for (const [multiagent, message] of bad) {
      await expect(make(multiagent)).rejects.toMatchObject({ status: 400, message: expect.stringMatching(message) as string });
    }
  });

  const DEFAULTS = { type: "enabled", inline_agents: { type: "enabled" }, predefined_agents: [] };

  test("multiagent_20261001: defaults, and updates merge level by level", async () => {
    const a = await member("a");
    const ref = { type: "agent", id: a, version: 1 };
    const boss = await make({ type: "multiagent_20261001" });
    expect(boss.multiagent).toEqual({
      type: "multiagent_20261001",
      advisor: { type: "disabled" },
      subagents: DEFAULTS,
      workflows: DEFAULTS,
    });
    const change = async (fields: object) =>
      (await client.beta.agents.update(boss.id, { multiagent: { type: "multiagent_20261001", ...fields } as never })).multiagent;

    expect(await change({ subagents: { type: "enabled", predefined_agents: [a] }, workflows: { type: "disabled" } })).toEqual({
      type: "multiagent_20261001",
      advisor: { type: "disabled" },
      subagents: { ...DEFAULTS, predefined_agents: [ref] },
      workflows: { type: "disabled" },
    });
    // Left out is kept; inline_agents changes beside the list that stays.
    expect(await change({ subagents: { type: "enabled", inline_agents: { type: "disabled" } } })).toMatchObject({
      subagents: { inline_agents: { type: "disabled" }, predefined_agents: [ref] },
      workflows: { type: "disabled" },
    });
    // The merged result is what is checked.
    await expect(change({ subagents: { type: "enabled", predefined_agents: [] } })).rejects.toMatchObject({ status: 400 });
    // null takes the default, another type replaces and starts from the defaults.
    expect(await change({ workflows: null, advisor: { type: "enabled", model: "m" } })).toMatchObject({
      workflows: DEFAULTS,
      advisor: { type: "enabled", model: "m" },
    });
    expect(await change({ subagents: { type: "disabled" }, advisor: null })).toMatchObject({
      subagents: { type: "disabled" },
      advisor: { type: "disabled" },
    });
    expect(await change({ subagents: { type: "enabled" } })).toMatchObject({ subagents: DEFAULTS });
    const session = await start(boss.id);
    expect(session.agent.multiagent).toMatchObject({ type: "multiagent_20261001", subagents: DEFAULTS });
  });
});
