import type { BetaManagedAgentsAgent } from "@anthropic-ai/sdk/resources/beta/agents/agents";
import type { BetaManagedAgentsAgentWithOverridesParams } from "@anthropic-ai/sdk/resources/beta/sessions/sessions";
import { say } from "@sandbox0/testkit";
import { beforeAll, expect } from "vitest";
import { conformanceServer, MODEL, TOOLSET } from "./fixture/conformance-server.ts";
import { refused, refusedAsInvalid } from "./fixture/refused.ts";
import { message } from "./fixture/test-session.ts";
import { verifies } from "./fixture/verifies.ts";

const server = conformanceServer();

type Overrides = Omit<BetaManagedAgentsAgentWithOverridesParams, "type" | "id">;
const LOOKUP = { type: "custom" as const, name: "lookup", description: "Looks up.", input_schema: { type: "object" as const } };
const DOCS = { type: "url" as const, name: "docs", url: "https://docs.example.com/mcp" };
const DOCS_TOOLS = { type: "mcp_toolset" as const, mcp_server_name: "docs" };

let base: BetaManagedAgentsAgent;
beforeAll(async () => {
  base = await server.createAgent({
    name: "Base",
    description: "The base.",
    system: "Base words.",
    model: { id: MODEL, effort: "low" },
    tools: [TOOLSET, DOCS_TOOLS],
    mcp_servers: [DOCS],
    skills: [{ type: "custom", skill_id: "skill_01x", version: "1" }],
  });
});

const open = (overrides: object) =>
  server.createSession({ agent: { type: "agent_with_overrides", id: base.id, ...(overrides as Overrides) } });
const agentOf = async (overrides: object) => (await open(overrides)).created.agent;

verifies(["overrides.inherit", "overrides.base-id"], "left out: as the base has it", async () => {
  const { metadata: _m, archived_at: _a, created_at: _c, updated_at: _u, ...snapshot } = base;
  expect(await agentOf({})).toEqual(snapshot);
  expect(await agentOf({ system: "Own words." })).toEqual({ ...snapshot, system: "Own words." });
  expect(await server.client.beta.agents.retrieve(base.id)).toEqual(base);
});

verifies("overrides.clear", "null or an empty list: cleared", async () => {
  expect((await agentOf({ system: null })).system).toBeNull();
  for (const empty of [null, []]) {
    expect((await agentOf({ skills: empty })).skills).toEqual([]);
    expect(await agentOf({ skills: empty, tools: empty, mcp_servers: empty })).toMatchObject({
      tools: [],
      mcp_servers: [],
      skills: [],
    });
  }
});

verifies(["overrides.replace", "overrides.base-id"], "a value: replaced whole", async () => {
  const agent = await agentOf({
    tools: [LOOKUP],
    mcp_servers: [],
    skills: [{ type: "anthropic", skill_id: "xlsx", version: "2" }],
  });
  expect(agent).toMatchObject({
    id: base.id,
    version: base.version,
    name: "Base",
    tools: [LOOKUP],
    mcp_servers: [],
    skills: [{ type: "anthropic", skill_id: "xlsx", version: "2" }],
    system: "Base words.",
  });
  const asking = await agentOf({
    tools: [{ ...TOOLSET, default_config: { permission_policy: { type: "always_ask" } } }, DOCS_TOOLS],
  });
  expect(asking.tools[0]).toMatchObject({ default_config: { enabled: true, permission_policy: { type: "always_ask" } } });
});

verifies("overrides.model-null", "a model cannot be cleared", async () => {
  const refusal = await refused(open({ model: null }));
  expect(refusal).toMatchObject({ status: 400, type: "invalid_request_error" });
  expect(`${refusal.message} ${refusal.code}`).toContain("agent_model_required");
});

verifies("overrides.cross-checks", "what would not fit together any more", async () => {
  await refusedAsInvalid(open({ mcp_servers: [] }), /docs/);
  await refusedAsInvalid(open({ tools: [] }), /skills/);
  await refusedAsInvalid(open({ tools: [LOOKUP] }), /docs/);
  await refusedAsInvalid(open({ tools: [{ type: "bash" }] }), /tools/);
  await refusedAsInvalid(open({ system: "x".repeat(100_001) }), /system/);
});

verifies("overrides.effort", "effort is applied; left out, the model's own default; unsupported, refused", async () => {
  const fresh = await server.createAgent({ model: MODEL });
  expect((await agentOf({ model: { id: MODEL, effort: "max" } })).model).toEqual({
    id: MODEL,
    effort: { type: "max" },
    speed: "standard",
  });
  expect((await agentOf({ model: { id: MODEL } })).model).toEqual(fresh.model);
  expect((await agentOf({ model: MODEL })).model).toEqual(fresh.model);
  await refusedAsInvalid(open({ model: { id: "claude-sonnet-4-5", effort: "low" } }), /effort/);
});

verifies("overrides.effective", "the model is asked with what is in force", async () => {
  const session = await open({ model: "claude-haiku-5-5", system: "Own words.", tools: [LOOKUP], mcp_servers: [] });
  const marker = server.play(say("Hi."));
  await session.send(message(marker));
  await session.rest();
  const [request] = server.requests(marker);
  expect(request).toMatchObject({ model: "claude-haiku-5-5", system: "Own words.", toolNames: ["lookup"] });
});
