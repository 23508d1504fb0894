import type Anthropic from "@anthropic-ai/sdk";
import { say } from "@sandbox0/testkit";
import { beforeAll, expect } from "vitest";
import { API_KEY, conformanceServer } from "./fixture/conformance-server.ts";
import { refused } from "./fixture/refused.ts";
import { message, type TestSession } from "./fixture/test-session.ts";
import { verifies } from "./fixture/verifies.ts";

const server = conformanceServer();

interface ApiKey {
  id: string;
  key: string;
  workspace_id: string;
}
async function createKey(params: object): Promise<ApiKey> {
  const response = await server.request("/sandbox0/v1/api_keys", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(params),
  });
  expect(response.status).toBe(200);
  return (await response.json()) as ApiKey;
}

let stranger: Anthropic;
let strangersKey: ApiKey;
let session: TestSession;
beforeAll(async () => {
  strangersKey = await createKey({ name: "stranger", workspace: "elsewhere" });
  stranger = server.clientOf(strangersKey.key);
  session = await server.start({}, say("Hello."));
  await session.rest();
});

const UNKNOWN = "011111111111111111111111";

/** Every operation on an id of the other workspace, by what it is called with. */
function operations(client: Anthropic, ids: { agent: string; environment: string; session: string; thread: string }) {
  const { agents, environments, sessions } = client.beta;
  const inSession = { session_id: ids.session };
  return {
    "agents.retrieve": () => agents.retrieve(ids.agent),
    "agents.update": () => agents.update(ids.agent, { name: "mine" }),
    "agents.archive": () => agents.archive(ids.agent),
    "agents.versions.list": () => agents.versions.list(ids.agent).then((page) => page.data),
    "environments.retrieve": () => environments.retrieve(ids.environment),
    "environments.update": () => environments.update(ids.environment, { name: "mine" }),
    "environments.archive": () => environments.archive(ids.environment),
    "environments.delete": () => environments.delete(ids.environment),
    "sessions.create": () => sessions.create({ agent: ids.agent, environment_id: ids.environment }),
    "sessions.retrieve": () => sessions.retrieve(ids.session),
    "sessions.update": () => sessions.update(ids.session, { title: "mine" }),
    "sessions.archive": () => sessions.archive(ids.session),
    "sessions.delete": () => sessions.delete(ids.session),
    "sessions.events.list": () => sessions.events.list(ids.session).then((page) => page.data),
    "sessions.events.send": () => sessions.events.send(ids.session, { events: [message("Hello?")] }),
    "sessions.events.stream": () => sessions.events.stream(ids.session),
    "sessions.threads.list": () => sessions.threads.list(ids.session).then((page) => page.data),
    "sessions.threads.retrieve": () => sessions.threads.retrieve(ids.thread, inSession),
    "sessions.threads.events.list": () => sessions.threads.events.list(ids.thread, inSession).then((page) => page.data),
    "sessions.threads.events.stream": () => sessions.threads.events.stream(ids.thread, inSession),
  };
}

verifies("auth.foreign-id", "another workspace's ids answer like unknown ones, in every operation", async () => {
  const events = await session.events();
  const foreign = {
    agent: session.created.agent.id,
    environment: server.environmentId,
    session: session.id,
    thread: await session.threadId(),
  };
  const unknown = {
    agent: `agent_${UNKNOWN}`,
    environment: `env_${UNKNOWN}`,
    session: `sesn_${UNKNOWN}`,
    thread: `sthr_${UNKNOWN}`,
  };
  /** The error with the ids blacked out. */
  const blank = async (call: Promise<unknown>, ids: Record<string, string>) => {
    const { status, type, message, code, headers } = await refused(call);
    const text = Object.values(ids).reduce((all, id) => all.replaceAll(id, "ID"), message);
    return { status, type, text, code, retry: headers.get("x-should-retry") };
  };
  const unknowns = operations(stranger, unknown);
  for (const [name, call] of Object.entries(operations(stranger, foreign))) {
    const expected = await blank(unknowns[name as keyof typeof unknowns](), unknown);
    expect([name, await blank(call(), foreign)]).toEqual([name, expected]);
    expect(expected.status).toBe(404);
  }
  expect(await session.events()).toEqual(events);
  expect(await session.retrieve()).toMatchObject({ title: null, status: "idle" });
});

verifies("auth.workspace-scope", "lists show what is in the workspace", async () => {
  for (const list of [stranger.beta.agents, stranger.beta.environments, stranger.beta.sessions]) {
    expect((await list.list({ include_archived: true })).data).toEqual([]);
  }
  const own = await stranger.beta.agents.create({ name: "own", model: "claude-sonnet-5-5" });
  expect((await stranger.beta.agents.list()).data.map(({ id }) => id)).toEqual([own.id]);
  const environment = await stranger.beta.environments.create({ name: "own" });
  const mine = await stranger.beta.sessions.create({ agent: own.id, environment_id: environment.id });
  expect((await stranger.beta.sessions.list()).data.map(({ id }) => id)).toEqual([mine.id]);
  const { data } = await server.client.beta.sessions.list({ limit: 100 });
  expect(data.map(({ id }) => id)).not.toContain(mine.id);
  await stranger.beta.sessions.delete(mine.id);
});

verifies(["auth.workspace-header", "auth.workspace-response"], "anthropic-workspace-id", async () => {
  const own = await server.request("/v1/agents");
  const workspaceId = own.headers.get("anthropic-workspace-id") ?? "";
  expect(workspaceId).toMatch(/^wrkspc_/);
  expect(workspaceId).not.toBe(strangersKey.workspace_id);
  const agent = await server.client.beta.agents.create({ name: "a", model: "claude-sonnet-5-5", workspace_id: workspaceId });
  expect(agent).toHaveProperty("_workspace_id", workspaceId);
  const other = server.client.beta.agents.list({ workspace_id: strangersKey.workspace_id });
  expect(await refused(other)).toMatchObject({ status: 403, type: "permission_error" });
});

verifies(["auth.missing-key", "auth.wrong-key"], "no key, a wrong one, a revoked one", async () => {
  const bare = (headers: Record<string, string> = {}) => server.wire.fetch(`${server.url}/v1/agents`, { headers });
  for (const headers of [{}, { authorization: "Bearer" }, { authorization: `Basic ${API_KEY}` }, { "x-api-key": "" }] as Record<
    string,
    string
  >[]) {
    const response = await bare(headers);
    expect([response.status, await response.json()]).toMatchObject([401, { error: { type: "authentication_error" } }]);
  }
  expect(await refused(server.clientOf("wrong").beta.agents.list())).toMatchObject({ status: 401, type: "authentication_error" });
  expect(await refused(server.clientOf(`${API_KEY}x`).beta.sessions.retrieve(session.id))).toMatchObject({ status: 401 });

  const key = await createKey({ name: "short-lived" });
  const client = server.clientOf(key.key);
  expect((await client.beta.sessions.retrieve(session.id)).id).toBe(session.id);
  expect((await server.request(`/sandbox0/v1/api_keys/${key.id}`, { method: "DELETE" })).status).toBe(200);
  expect(await refused(client.beta.sessions.retrieve(session.id))).toMatchObject({ status: 401, type: "authentication_error" });
});
