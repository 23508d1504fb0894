import { attentionSchema } from "@sandbox0/protocol";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { startTestServer, type TestServer } from "./http-server.fixture.ts";

let server: TestServer;
let agentId: string;
let environmentId: string;
beforeAll(async () => {
  server = await startTestServer();
  const client = server.client();
  agentId = (await client.beta.agents.create({ name: "helper", model: "claude-opus-4-8" })).id;
  environmentId = (await client.beta.environments.create({ name: "box" })).id;
});
afterAll(() => server.close());
beforeEach(() => server.db.query("update sessions set archived_at = now()"));

async function createSession(title: string): Promise<string> {
  return (await server.client().beta.sessions.create({ agent: agentId, environment_id: environmentId, title })).id;
}

/** As a turn that stopped has left it. */
async function stop(sessionId: string, stopReason: object, minutesAgo: number): Promise<void> {
  await server.db.query(
    "update session_heads set stop_reason = $2::jsonb, last_event_at = now() - make_interval(mins => $3) where session_id = $1",
    [sessionId, JSON.stringify(stopReason), minutesAgo],
  );
}

async function addCall(
  sessionId: string,
  call: { id: string; kind: string; name: string; input: object; done?: boolean },
): Promise<void> {
  await server.db.query(
    `insert into tool_calls (session_id, id, position, kind, name, input, permission, result_id, finished_at)
     values ($1, $2, (select count(*) from tool_calls), $3, $4, $5::json, 'ask', $2 || '_result', case when $6 then now() end)`,
    [sessionId, call.id, call.kind, call.name, JSON.stringify(call.input), call.done ?? false],
  );
}

async function read(headers: Record<string, string> = {}) {
  const { status, body } = await server.request("GET", "/sandbox0/v1/attention", {
    headers,
    ...(headers["x-api-key"] && { anonymous: true }),
  });
  expect(status).toBe(200);
  return attentionSchema.parse(body);
}

test("sessions that wait come with what they wait for, the longest wait first", async () => {
  const [late, early] = [await createSession("late"), await createSession("early")];
  await stop(late, { type: "requires_action", event_ids: ["a", "b"] }, 1);
  await addCall(late, { id: "a", kind: "builtin", name: "bash", input: { command: "ls" } });
  await addCall(late, { id: "b", kind: "custom", name: "ask_person", input: { text: "x".repeat(5_000) } });
  await addCall(late, { id: "c", kind: "builtin", name: "read", input: {}, done: true });
  await stop(early, { type: "requires_action", event_ids: ["d"] }, 9);
  await addCall(early, { id: "d", kind: "mcp", name: "search", input: { query: "q" } });

  const { waiting, waiting_count } = await read();
  expect(waiting_count).toBe(2);
  expect(waiting.map(({ session_id, title, agent_name }) => [session_id, title, agent_name])).toEqual([
    [early, "early", "helper"],
    [late, "late", "helper"],
  ]);
  expect(waiting.map(({ calls }) => calls)).toEqual([
    [{ id: "d", type: "agent.mcp_tool_use", name: "search", input: { query: "q" } }],
    [
      { id: "a", type: "agent.tool_use", name: "bash", input: { command: "ls" } },
      { id: "b", type: "agent.custom_tool_use", name: "ask_person", input: null },
    ],
  ]);
});

test("who is at rest, at work or archived needs nobody; who gave up is in trouble", async () => {
  const [rested, gaveUp, archived] = [
    await createSession("rested"),
    await createSession("gave up"),
    await createSession("archived"),
  ];
  await stop(rested, { type: "end_turn" }, 1);
  await stop(gaveUp, { type: "retries_exhausted" }, 1);
  await stop(archived, { type: "requires_action", event_ids: ["z"] }, 1);
  await addCall(archived, { id: "z", kind: "custom", name: "ask", input: {} });
  await server.db.query("update sessions set archived_at = now() where id = $1", [archived]);

  const { waiting, waiting_count, troubled } = await read();
  expect([waiting, waiting_count]).toEqual([[], 0]);
  expect(troubled.map(({ session_id, stop_reason }) => [session_id, stop_reason])).toEqual([
    [gaveUp, { type: "retries_exhausted" }],
  ]);
});

test("another workspace sees nothing of it", async () => {
  const sessionId = await createSession("ours");
  await stop(sessionId, { type: "requires_action", event_ids: ["o"] }, 1);
  await addCall(sessionId, { id: "o", kind: "custom", name: "ask", input: {} });
  const made = await server.request("POST", "/sandbox0/v1/api_keys", { body: { name: "other", workspace: "other" } });
  const key = (made.body as { key?: string; secret?: string }).key ?? "";
  expect((await read({ "x-api-key": key })).waiting_count).toBe(0);
  expect((await read()).waiting_count).toBe(1);
});
