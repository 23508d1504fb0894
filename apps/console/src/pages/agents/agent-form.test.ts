import { type Agent, agentCreateParamsSchema, agentUpdateParamsSchema } from "@sandbox0/protocol";
import { expect, test } from "vitest";
import { agentCreateParams, agentForm, agentUpdateParams, emptyAgentForm, FormProblem } from "./agent-form.ts";
import { changedParts, compareAgents } from "./agent-text.ts";

const AGENT: Agent = {
  id: "agent_1",
  type: "agent",
  name: "Helper",
  description: "Helps",
  system: "Be brief.",
  model: { id: "claude-sonnet-5-5", effort: { type: "high" }, speed: "standard", inference_geo: "us" },
  tools: [
    {
      type: "agent_toolset_20260401",
      default_config: { enabled: true, permission_policy: { type: "always_allow" } },
      configs: [
        { name: "bash", type: "bash", enabled: true, permission_policy: { type: "always_ask" } },
        {
          name: "web_fetch",
          type: "web_fetch",
          enabled: false,
          permission_policy: { type: "always_allow" },
          allowed_domains: ["example.com"],
          url_sources: null,
        },
      ],
    },
    {
      type: "mcp_toolset",
      mcp_server_name: "github",
      default_config: { enabled: true, permission_policy: { type: "always_ask" } },
      configs: [{ name: "search", enabled: true, permission_policy: { type: "always_allow" } }],
    },
    { type: "custom", name: "publish", description: "Publishes", input_schema: { type: "object", properties: {} } },
  ],
  mcp_servers: [{ type: "url", name: "github", url: "https://mcp.example.com/mcp" }],
  skills: [{ type: "custom", skill_id: "skill_1", version: "skillver_1" }],
  multiagent: null,
  execution_identity: { type: "service_account" },
  metadata: { team: "docs", "sandbox0.harness": "claude" },
  version: 4,
  created_at: "2026-01-01T00:00:00.000Z",
  updated_at: "2026-01-02T00:00:00.000Z",
  archived_at: null,
};

test("an empty form asks for the toolset and nothing that was not said", () => {
  const params = agentCreateParams({ ...emptyAgentForm(), name: " Helper ", model: "claude-sonnet-5-5" });
  expect(params).toEqual({
    name: "Helper",
    model: { id: "claude-sonnet-5-5" },
    tools: [{ type: "agent_toolset_20260401", default_config: { enabled: true, permission_policy: { type: "always_allow" } } }],
    mcp_servers: [],
    skills: [],
  });
  expect(agentCreateParamsSchema.safeParse(params).success).toBe(true);
});

test("an agent that is saved without a change keeps what the form has no fields for", () => {
  const params = agentUpdateParams(agentForm(AGENT), AGENT);
  expect(agentUpdateParamsSchema.safeParse(params).success).toBe(true);
  expect(params).toMatchObject({
    version: 4,
    model: { id: "claude-sonnet-5-5", effort: "high", inference_geo: "us" },
    metadata: {},
    skills: [{ type: "custom", skill_id: "skill_1", version: "skillver_1" }],
  });
  expect(params).not.toHaveProperty("multiagent");
  const [toolset, server, custom] = params.tools ?? [];
  expect(toolset).toMatchObject({
    configs: [
      { name: "bash", permission_policy: { type: "always_ask" } },
      { name: "web_fetch", enabled: false, allowed_domains: ["example.com"] },
    ],
  });
  expect(server).toEqual(AGENT.tools[1]);
  expect(custom).toEqual(AGENT.tools[2]);
});

test("tools that are all off are no toolset, and the default of a toolset counts for each of its tools", () => {
  const off = { ...AGENT, tools: [] };
  expect(Object.values(agentForm(off).builtin)).toEqual(Array(8).fill("off"));
  expect(agentUpdateParams({ ...agentForm(off), custom: [] }, off).tools).toEqual(
    // The agent's server stays, and with it its toolset.
    [expect.objectContaining({ type: "mcp_toolset", mcp_server_name: "github" })],
  );
  const asks: Agent["tools"] = [
    {
      type: "agent_toolset_20260401",
      default_config: { enabled: true, permission_policy: { type: "always_ask" } },
      configs: [{ name: "read", type: "read", enabled: true, permission_policy: { type: "auto" } }],
    },
  ];
  expect(agentForm({ ...AGENT, tools: asks }).builtin).toMatchObject({ bash: "always_ask", read: "auto" });
});

test("what is emptied is cleared, what is taken out of the metadata is deleted, another model has no old geography", () => {
  const form = { ...agentForm(AGENT), description: " ", system: "\n", harness: "", metadata: [], model: "other-model" };
  expect(agentUpdateParams(form, AGENT)).toMatchObject({
    description: null,
    system: null,
    metadata: { team: null, "sandbox0.harness": null },
    model: { id: "other-model", effort: "high", speed: "standard" },
  });
  expect(agentUpdateParams(form, AGENT).model).not.toHaveProperty("inference_geo");
});

test("a schema that is no JSON object is told before anything is sent", () => {
  const custom = [{ id: 0, name: "publish", description: "x", schema: "{" }];
  expect(() => agentCreateParams({ ...emptyAgentForm(), custom })).toThrow(FormProblem);
  expect(() => agentCreateParams({ ...emptyAgentForm(), custom: [{ ...custom[0], schema: "[]" } as never] })).toThrow(
    /publish: the input schema must be a JSON object/,
  );
});

test("two versions are compared part by part, also a part that only one of them has", () => {
  const after: Agent = {
    ...AGENT,
    system: "Be long.",
    tools: AGENT.tools.slice(0, 1),
    mcp_servers: [],
    metadata: { "sandbox0.harness": "claude", team: "docs" },
  };
  expect(changedParts(AGENT, after)).toEqual(["System prompt", "MCP server github", "Custom tool publish"]);
  expect(compareAgents(AGENT, after)).toContainEqual({
    name: "MCP server github",
    before: "https://mcp.example.com/mcp\nAll tools: asks first\nsearch: always allowed",
    after: "",
  });
  expect(changedParts(AGENT, structuredClone(AGENT))).toEqual([]);
});
