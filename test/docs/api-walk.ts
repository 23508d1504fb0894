import type Anthropic from "@anthropic-ai/sdk";
import { toFile } from "@anthropic-ai/sdk";
import { filesOf, skillMd } from "../conformance/fixture/skill-files.ts";

/** What the walk needs of its server. */
export interface WalkStage {
  client: Anthropic;
  environmentId: string;
  agentId: string;
  /** A message after which the session is idle. */
  text: string;
}

/** Calls every operation that there is, most of them through the SDK, and cleans up behind itself. */
export async function walkApi(stage: WalkStage): Promise<void> {
  await walkAgents(stage);
  await walkVaults(stage);
  await walkMemory(stage);
  await walkFilesAndSkills(stage);
  await walkSessions(stage);
  await walkOwn(stage);
}

async function walkAgents({ client }: WalkStage): Promise<void> {
  const { agents, environments } = client.beta;
  const agent = await agents.create({
    name: "walk",
    model: { id: "claude-sonnet-5-5", effort: "high" },
    system: "Be brief.",
    tools: [
      { type: "agent_toolset_20260401", configs: [{ name: "web_fetch", allowed_domains: ["example.com"] }] },
      { type: "mcp_toolset", mcp_server_name: "tracker" },
      {
        type: "custom",
        name: "look_up",
        description: "Looks up",
        input_schema: { type: "object", properties: { key: { type: "string" } } },
      },
    ],
    mcp_servers: [{ type: "url", name: "tracker", url: "https://mcp.example.com/mcp" }],
    metadata: { team: "docs" },
  });
  await agents.update(agent.id, { name: "walked", version: agent.version, metadata: { team: null } });
  await client.patch(`/v1/agents/${agent.id}`, { body: { description: "by PATCH" } });
  await agents.retrieve(agent.id, { version: 1 });
  await agents.list({ limit: 1, include_archived: true, "created_at[gte]": "2026-01-01T00:00:00Z" });
  await agents.versions.list(agent.id);
  await agents.archive(agent.id);
  const environment = await environments.create({
    name: "walk",
    config: { type: "cloud", networking: { type: "limited", allowed_hosts: ["api.example.com"] } },
  });
  await environments.update(environment.id, { description: "walked" });
  await client.patch(`/v1/environments/${environment.id}`, { body: { metadata: { a: "b" } } });
  await environments.retrieve(environment.id);
  await environments.list();
  await environments.archive(environment.id);
  await environments.delete(environment.id);
  await client.models.list({ limit: 1 });
  await client.models.retrieve("claude-sonnet-5-5");
}

async function walkVaults({ client }: WalkStage): Promise<void> {
  const { vaults } = client.beta;
  const vault = await vaults.create({ display_name: "walk" });
  await vaults.update(vault.id, { display_name: "walked" });
  await client.patch(`/v1/vaults/${vault.id}`, { body: { metadata: { a: "b" } } });
  await vaults.retrieve(vault.id);
  await vaults.list({ include_archived: true });
  const variable = await vaults.credentials.create(vault.id, {
    auth: {
      type: "environment_variable",
      secret_name: "TOKEN",
      secret_value: "s3cret",
      networking: { type: "limited", allowed_hosts: ["api.example.com"] },
    },
  });
  const path = `/v1/vaults/${vault.id}/credentials/${variable.id}`;
  await vaults.credentials.update(variable.id, { vault_id: vault.id, display_name: "the token" });
  await client.patch(path, { body: { auth: { type: "environment_variable", secret_value: "s4cret" } } });
  await vaults.credentials.retrieve(variable.id, { vault_id: vault.id });
  await vaults.credentials.list(vault.id);
  // Nothing listens there, and it is not public: that is an answer too.
  const oauth = await vaults.credentials.create(vault.id, {
    auth: { type: "mcp_oauth", mcp_server_url: "http://127.0.0.1:9/mcp", access_token: "t" },
  });
  await vaults.credentials.mcpOAuthValidate(oauth.id, { vault_id: vault.id });
  await vaults.credentials.archive(variable.id, { vault_id: vault.id });
  await vaults.credentials.delete(variable.id, { vault_id: vault.id });
  await vaults.archive(vault.id);
  await vaults.delete(vault.id);
}

async function walkMemory({ client }: WalkStage): Promise<void> {
  const { memoryStores } = client.beta;
  const store = await memoryStores.create({ name: "walk", description: "d" });
  const at = { memory_store_id: store.id };
  await memoryStores.update(store.id, { description: "walked" });
  await client.patch(`/v1/memory_stores/${store.id}`, { body: { metadata: { a: "b" } } });
  await memoryStores.retrieve(store.id);
  await memoryStores.list({ limit: 5 });
  const memory = await memoryStores.memories.create(store.id, { path: "/notes/one.md", content: "one", view: "full" });
  await memoryStores.memories.update(memory.id, { ...at, content: "two", view: "basic" });
  await client.patch(`/v1/memory_stores/${store.id}/memories/${memory.id}`, { body: { path: "/notes/two.md" } });
  await memoryStores.memories.retrieve(memory.id, at);
  await memoryStores.memories.list(store.id, { depth: 1, path_prefix: "/" });
  await memoryStores.memories.list(store.id, { view: "full" });
  const versions = await memoryStores.memoryVersions.list(store.id, { operation: "created" });
  const version = versions.data[0];
  if (version === undefined) throw new Error("a memory has a version");
  await memoryStores.memoryVersions.retrieve(version.id, at);
  await memoryStores.memoryVersions.redact(version.id, at);
  await memoryStores.memories.delete(memory.id, at);
  await memoryStores.archive(store.id);
  await memoryStores.delete(store.id);
}

async function walkFilesAndSkills({ client }: WalkStage): Promise<void> {
  const file = await client.files.upload({ file: await toFile(Buffer.from("a,b\n"), "table.csv"), expires_in_seconds: 3_600 });
  await client.files.retrieveMetadata(file.id);
  await client.files.list({ limit: 2 });
  await client.files.list({ ids: [file.id] });
  await client.get("/v1/files", { headers: { "anthropic-beta": "files-api-2025-04-14" } });
  await (await client.files.download(file.id)).text();
  await client.files.delete(file.id);
  const { skills } = client.beta;
  const skill = await skills.create({ files: await filesOf({ "walk/SKILL.md": skillMd("walk") }), display_name: "Walk" });
  await skills.retrieve(skill.id);
  await skills.list({ source: "custom" });
  await client.get("/v1/skills", { headers: { "anthropic-beta": "skills-2025-10-02" } });
  const version = await skills.versions.create(skill.id, {
    files: await filesOf({ "walk/SKILL.md": skillMd("walk", "Again.") }),
  });
  await skills.versions.retrieve(version.id, { skill_id: skill.id });
  await skills.versions.list(skill.id);
  await (await skills.versions.download(version.id, { skill_id: skill.id })).arrayBuffer();
  await skills.versions.delete(version.id, { skill_id: skill.id });
  await skills.delete(skill.id);
}

/** Sends a message and reads the stream until the session is idle. */
async function runTurn({ client, text }: WalkStage, sessionId: string): Promise<void> {
  const stream = await client.beta.sessions.events.stream(sessionId, { event_deltas: ["agent.message"] });
  await client.beta.sessions.events.send(sessionId, { events: [{ type: "user.message", content: [{ type: "text", text }] }] });
  for await (const event of stream) if (event.type === "session.status_idle") return;
}

async function walkSessions(stage: WalkStage): Promise<void> {
  const { client, agentId, environmentId } = stage;
  const { sessions } = client.beta;
  const file = await client.files.upload({ file: await toFile(Buffer.from("x"), "x.txt") });
  const session = await sessions.create({
    agent: agentId,
    environment_id: environmentId,
    title: "walk",
    resources: [{ type: "file", file_id: file.id, mount_path: "x.txt" }],
  });
  await runTurn(stage, session.id);
  await sessions.update(session.id, { title: "walked" });
  await client.patch(`/v1/sessions/${session.id}`, { body: { metadata: { a: "b" } } });
  await sessions.retrieve(session.id);
  await sessions.list({ statuses: ["idle", "running"], order: "asc", agent_id: agentId });
  await sessions.events.list(session.id, { order: "desc", types: ["agent.message", "session.status_idle"] });
  await sessions.events.list(session.id);
  const more = await sessions.resources.add(session.id, { type: "file", file_id: file.id, mount_path: "y.txt" });
  await sessions.resources.retrieve(more.id, { session_id: session.id });
  await sessions.resources.list(session.id);
  await sessions.resources.delete(more.id, { session_id: session.id });
  await walkRepository(stage);
  const thread = (await sessions.threads.list(session.id)).data[0];
  if (thread === undefined) throw new Error("a session has a thread");
  await sessions.threads.retrieve(thread.id, { session_id: session.id });
  await sessions.threads.events.list(thread.id, { session_id: session.id });
  const stream = await sessions.threads.events.stream(thread.id, { session_id: session.id });
  stream.controller.abort();
  await sessions.archive(session.id);
  await sessions.delete(session.id);
}

async function walkRepository({ client, agentId, environmentId }: WalkStage): Promise<void> {
  const session = await client.beta.sessions.create({
    agent: agentId,
    environment_id: environmentId,
    resources: [{ type: "github_repository", url: "https://github.com/acme/app", authorization_token: "t1" }],
  });
  const resource = session.resources[0];
  if (resource?.type !== "github_repository") throw new Error("the repository is a resource");
  const path = `/v1/sessions/${session.id}/resources/${resource.id}`;
  await client.beta.sessions.resources.update(resource.id, { session_id: session.id, authorization_token: "t2" });
  await client.patch(path, { body: { authorization_token: "t3" } });
  await client.beta.sessions.delete(session.id);
}

async function walkOwn(stage: WalkStage): Promise<void> {
  const { client, agentId, environmentId } = stage;
  const session = await client.beta.sessions.create({ agent: agentId, environment_id: environmentId });
  await runTurn(stage, session.id);
  const path = `/sandbox0/v1/sessions/${session.id}`;
  const snapshot = await client.post<{ id: string }>(`${path}/snapshots`, { body: { name: "here" } });
  await client.get(`${path}/snapshots`);
  await client.get(`${path}/snapshots/${snapshot.id}`);
  await client.post(`${path}/fork`, { body: { snapshot_id: snapshot.id, title: "forked" } });
  await client.post(`${path}/restore`, { body: { snapshot_id: snapshot.id } });
  await client.delete(`${path}/snapshots/${snapshot.id}`);
  await client.get(`${path}/timeline`, { query: { limit: 5 } });
  await client.get(`${path}/traces`);
  await client.get(`${path}/egress`);
  await client.get("/sandbox0/v1/egress", { query: { session_id: session.id, verdict: "denied" } });
  await client.get(`/sandbox0/v1/environments/${environmentId}/build`);
  await client.get("/sandbox0/v1/harnesses");
  await client.get("/sandbox0/v1/attention");
  await client.get("/sandbox0/v1/egress");
  const key = await client.post<{ id: string }>("/sandbox0/v1/api_keys", { body: { name: "walk" } });
  await client.get("/sandbox0/v1/api_keys");
  await client.delete(`/sandbox0/v1/api_keys/${key.id}`);
  await client.post("/sandbox0/v1/vaults/rotate_key", { body: {} });
  for (const address of ["/healthz", "/readyz", "/openapi.json"]) await client.get(address);
}
