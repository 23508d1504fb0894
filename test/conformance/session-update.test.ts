import { call, hold, say } from "@sandbox0/testkit";
import { expect } from "vitest";
import { conformanceServer, TOOLSET } from "./fixture/conformance-server.ts";
import { refused, refusedAsInvalid } from "./fixture/refused.ts";
import { countOf, last, message, only, saidBy } from "./fixture/test-session.ts";
import { verifies } from "./fixture/verifies.ts";

const server = conformanceServer();
const sessions = () => server.client.beta.sessions;

const LOOKUP = { type: "custom" as const, name: "lookup", description: "Looks up.", input_schema: { type: "object" as const } };
const DOCS = { type: "url" as const, name: "docs", url: "https://docs.example.com/mcp" };

verifies(["sessions.update-fields", "sessions.update-event", "metadata.patch"], "title and metadata", async () => {
  const session = await server.createSession({ title: "Before", metadata: { keep: "1", gone: "2" } });
  const updated = await sessions().update(session.id, { title: "After", metadata: { gone: null, add: "3" } });
  expect(updated).toEqual({
    ...session.created,
    title: "After",
    metadata: { keep: "1", add: "3" },
    stats: expect.any(Object),
    updated_at: expect.any(String),
  });
  const [event] = only(await session.events(), "session.updated");
  expect(event).toEqual({
    id: expect.stringMatching(/^sevt_/),
    type: "session.updated",
    processed_at: expect.any(String),
    title: "After",
    metadata: { keep: "1", add: "3" },
  });
  await sessions().update(session.id, { metadata: { add: "4" } });
  expect(Object.keys(last(await session.events(), "session.updated")).sort()).toEqual(["id", "metadata", "processed_at", "type"]);
  await sessions().update(session.id, { title: null });
  expect(last(await session.events(), "session.updated")).toMatchObject({ title: null });
  const events = await session.events();
  for (const same of [{}, { title: null }, { metadata: { keep: "1" } }, { metadata: null }, { metadata: { absent: null } }]) {
    await sessions().update(session.id, same);
  }
  expect(await session.events()).toEqual(events);
});

verifies("sessions.update-agent", "tools and servers: for this session, from the next turn on", async () => {
  const agent = await server.createAgent({ tools: [TOOLSET], system: "Words." });
  const session = await server.createSession({ agent: agent.id });
  const before = server.play(say("One."));
  await session.send(message(before));
  await session.rest();
  const updated = await sessions().update(session.id, { agent: { tools: [LOOKUP] } });
  expect(updated.agent).toEqual({ ...session.created.agent, tools: [LOOKUP] });
  expect(last(await session.events(), "session.updated").agent).toEqual(updated.agent);
  const again = await sessions().update(session.id, { agent: { tools: [LOOKUP] } });
  expect(again.updated_at).toBe(updated.updated_at);
  expect(countOf(await session.events(), "session.updated")).toBe(1);
  const after = server.play(say("Two."));
  await session.send(message(after));
  await session.rest();
  expect(server.requests(before)[0]?.toolNames).toContain("bash");
  expect(server.requests(after)[0]?.toolNames).toEqual(["lookup"]);
  expect(await server.client.beta.agents.retrieve(agent.id)).toEqual(agent);

  const both = await sessions().update(session.id, {
    agent: { mcp_servers: [DOCS], tools: [{ type: "mcp_toolset", mcp_server_name: "docs" }] },
  });
  expect(both.agent.mcp_servers).toEqual([DOCS]);
  await refusedAsInvalid(sessions().update(session.id, { agent: { mcp_servers: [] } }), /docs/);
  expect((await sessions().update(session.id, { agent: { mcp_servers: [], tools: [] } })).agent).toMatchObject({
    tools: [],
    mcp_servers: [],
  });
});

verifies(
  ["sessions.update-agent-idle", "sessions.update-running"],
  "while it runs: title and metadata, not the tools",
  async () => {
    const gate = server.gate();
    const session = await server.start({ tools: [TOOLSET] }, [hold(gate), say("Done.")]);
    await gate.reached;
    await refusedAsInvalid(sessions().update(session.id, { title: "New", agent: { tools: [LOOKUP] } }), /idle/);
    expect((await session.retrieve()).title).toBeNull();
    const updated = await sessions().update(session.id, { title: "New", metadata: { k: "v" } });
    expect(updated).toMatchObject({ title: "New", metadata: { k: "v" }, status: "running" });
    gate.open();
    const events = await session.rest();
    expect(last(events, "session.updated")).toMatchObject({ title: "New" });
    expect(saidBy(events)).toEqual(["Done."]);
  },
);

verifies(
  "sessions.update-agent",
  "while the client is asked: the pending call keeps its rules, the next turn has the new ones",
  async () => {
    const session = await server.start({ tools: [LOOKUP] }, call("lookup", {}), say("Found."));
    const asked = await session.rest();
    await sessions().update(session.id, { agent: { tools: [TOOLSET] } });
    const [id = ""] = only(asked, "agent.custom_tool_use").map((use) => use.id);
    await session.send({ type: "user.custom_tool_result", custom_tool_use_id: id, content: [{ type: "text", text: "it" }] });
    expect(saidBy(await session.rest())).toEqual(["Found."]);
    expect(server.provider.requests.at(-1)?.toolNames).toContain("bash");
  },
);

verifies("sessions.update-refused", "vaults, budgets, and the model, system and skills of the agent", async () => {
  const session = await server.createSession();
  await refusedAsInvalid(sessions().update(session.id, { vault_ids: ["vlt_x"] }), /vault_ids/);
  for (const agent of [{ model: "claude-opus-5-5" }, { system: "Other words." }, { skills: [] }]) {
    await refusedAsInvalid(
      sessions().update(session.id, { agent: agent as object }),
      /agent\.(model|system|skills): cannot change/,
    );
  }
  const budget = { type: "limit" as const, max_list_cost: { amount: "100", currency: "USD" as const } };
  const refusal = await refused(sessions().update(session.id, { budget }));
  expect(refusal).toMatchObject({ status: 400, type: "invalid_request_error" });
  expect(`${refusal.message} ${refusal.code}`).toContain("budget_create_only");
  expect(await session.events()).toEqual([]);
});
