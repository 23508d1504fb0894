import type { Anthropic } from "@anthropic-ai/sdk";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TEST_KEY, type TestServer, startTestServer } from "./http-server.fixture.ts";

let server: TestServer;
let admin: { keyId: string; workspaceId: string; admin: boolean };

beforeAll(async () => {
  server = await startTestServer();
  admin = { keyId: "k", workspaceId: server.workspaceId, admin: true };
});
afterAll(async () => {
  await server.close();
});

const anonymous = (headers: Record<string, string>) => server.request("GET", "/v1/agents", { anonymous: true, headers });

describe("a key", () => {
  test("is taken as Bearer and as x-api-key, with new and old headers", async () => {
    for (const headers of [
      {
        authorization: `Bearer ${TEST_KEY}`,
        "anthropic-version": "2026-10-21",
        "anthropic-beta": "x-1,managed-agents-2026-04-01",
      },
      { authorization: `bearer ${TEST_KEY}` },
      { "x-api-key": TEST_KEY, "anthropic-version": "2023-06-01" },
      { "x-api-key": TEST_KEY, "anthropic-beta": "never-heard-of" },
    ]) {
      expect((await anonymous(headers)).status).toBe(200);
    }
  });

  test.each([
    ["no key", {}],
    ["a wrong key", { "x-api-key": "sk-sandbox0-wrong" }],
    ["an empty key", { "x-api-key": "" }],
    ["another scheme", { authorization: `Basic ${TEST_KEY}` }],
    ["both headers", { authorization: `Bearer ${TEST_KEY}`, "x-api-key": TEST_KEY }],
  ])("%s is 401", async (_what, headers) => {
    const { status, body, headers: answered } = await anonymous(headers);
    expect([status, body.type, body.error?.type]).toEqual([401, "error", "authentication_error"]);
    expect(body.request_id).toMatch(/^req_/);
    expect(answered.get("request-id")).toBe(body.request_id);
  });

  test("names its workspace in every answer; another workspace in the header is refused", async () => {
    const { headers } = await anonymous({ "x-api-key": TEST_KEY });
    expect(headers.get("anthropic-workspace-id")).toBe(server.workspaceId);
    expect((await anonymous({ "x-api-key": TEST_KEY, "anthropic-workspace-id": server.workspaceId })).status).toBe(200);
    const { status, body } = await anonymous({ "x-api-key": TEST_KEY, "anthropic-workspace-id": "wrkspc_other" });
    expect([status, body.error?.type]).toEqual([403, "permission_error"]);
  });

  test("is stored only as its hash", async () => {
    const { key } = await server.apiKeys.create(admin, { name: "secret" });
    const { rows } = await server.db.query<{ row: string }>("select k::text as row from api_keys k");
    expect(rows.length).toBeGreaterThan(0);
    for (const { row } of rows) expect(row).not.toContain(key.slice("sk-sandbox0-".length));
  });
});

describe("another workspace's id answers exactly like an unknown one", () => {
  let theirs: Anthropic;
  const found: Record<string, string> = {};

  beforeAll(async () => {
    const { key } = await server.apiKeys.create(admin, { name: "other", workspace: "other" });
    theirs = server.client({ apiKey: key });
    const mine = server.client();
    const agent = await mine.beta.agents.create({ name: "a", model: "m" });
    const environment = await mine.beta.environments.create({ name: "e" });
    const session = await mine.beta.sessions.create({ agent: agent.id, environment_id: environment.id });
    const threads = await mine.beta.sessions.threads.list(session.id);
    Object.assign(found, { agent: agent.id, environment: environment.id, session: session.id, thread: threads.data[0]?.id });
  });

  const PATHS: [string, string, unknown?][] = [
    ["GET", "/v1/agents/{agent}"],
    ["POST", "/v1/agents/{agent}", { name: "x" }],
    ["POST", "/v1/agents/{agent}/archive"],
    ["GET", "/v1/agents/{agent}/versions"],
    ["GET", "/v1/environments/{environment}"],
    ["POST", "/v1/environments/{environment}", { name: "x" }],
    ["POST", "/v1/environments/{environment}/archive"],
    ["DELETE", "/v1/environments/{environment}"],
    ["GET", "/v1/sessions/{session}"],
    ["POST", "/v1/sessions/{session}", { title: "x" }],
    ["POST", "/v1/sessions/{session}/archive"],
    ["DELETE", "/v1/sessions/{session}"],
    ["GET", "/v1/sessions/{session}/events"],
    ["POST", "/v1/sessions/{session}/events", { events: [{ type: "user.message", content: [{ type: "text", text: "hi" }] }] }],
    ["GET", "/v1/sessions/{session}/events/stream"],
    ["GET", "/v1/sessions/{session}/threads"],
    ["GET", "/v1/sessions/{session}/threads/{thread}"],
    ["GET", "/v1/sessions/{session}/threads/{thread}/events"],
    ["GET", "/v1/sessions/{session}/threads/{thread}/stream"],
  ];

  test.each(PATHS)("%s %s", async (method, path, body) => {
    const key = theirs.apiKey ?? "";
    const fill = (ids: Record<string, string>) => path.replaceAll(/\{(\w+)\}/g, (_, name: string) => ids[name] ?? "");
    const ask = (ids: Record<string, string>) =>
      server.request(method, fill(ids), { anonymous: true, headers: { "x-api-key": key }, ...(body ? { body } : {}) });
    const unknown = Object.fromEntries(Object.entries(found).map(([name, id]) => [name, `${id.slice(0, -4)}0000`]));
    const [other, none] = await Promise.all([ask(found), ask(unknown)]);
    expect(other.status).toBe(404);
    const neutral = (answer: typeof other, ids: Record<string, string>) =>
      JSON.stringify({ ...answer.body, request_id: "" }).replaceAll(new RegExp(Object.values(ids).join("|"), "g"), "ID");
    expect(neutral(other, found)).toBe(neutral(none, unknown));
  });

  const CHANGES: [string, string, unknown?][] = [
    ...PATHS.filter(([method, path]) => method !== "GET" && path.includes("{session}")),
    ["POST", "/v1/sessions/{session}/resources", { type: "file", file_id: "file_01" }],
    ["POST", "/sandbox0/v1/sessions/{session}/snapshots", {}],
    ["POST", "/sandbox0/v1/sessions/{session}/fork", {}],
    ["POST", "/sandbox0/v1/sessions/{session}/restore", { snapshot_id: "snap_01" }],
  ];

  test.each(CHANGES)("%s %s does not wait for the lock of a session that it may not have", async (method, path, body) => {
    const url = path.replace("{session}", found.session ?? "");
    const request = { anonymous: true, headers: { "x-api-key": theirs.apiKey ?? "" }, ...(body ? { body } : {}) };
    const status = await server.db.transaction(async (tx) => {
      await tx.query("select from session_heads where session_id = $1 for update", [found.session]);
      return (await server.request(method, url, request)).status;
    });
    expect(status).toBe(404);
  });

  test("nor can it be used by reference", async () => {
    await expect(
      theirs.beta.sessions.create({ agent: found.agent ?? "", environment_id: found.environment ?? "" }),
    ).rejects.toMatchObject({ status: 404 });
    const roster = { type: "coordinator" as const, agents: [found.agent ?? ""] };
    await expect(theirs.beta.agents.create({ name: "a", model: "m", multiagent: roster })).rejects.toMatchObject({ status: 400 });
  });

  test("nothing was changed by any of that", async () => {
    const mine = server.client();
    expect(await mine.beta.agents.retrieve(found.agent ?? "")).toMatchObject({ version: 1, archived_at: null });
    expect(await mine.beta.environments.retrieve(found.environment ?? "")).toMatchObject({ name: "e", archived_at: null });
    expect(await mine.beta.sessions.retrieve(found.session ?? "")).toMatchObject({ title: null, archived_at: null });
  });
});

describe("/sandbox0/v1/api_keys", () => {
  const KEYS = "/sandbox0/v1/api_keys";
  const as = (key: string, method: string, path: string, body?: object) =>
    server.request(method, path, { anonymous: true, headers: { "x-api-key": key }, ...(body ? { body } : {}) });

  test("an admin key makes keys for any workspace by name, a plain key for its own", async () => {
    const made = await as(TEST_KEY, "POST", KEYS, { name: "ci", workspace: "team" });
    expect(made.status).toBe(200);
    expect(made.body).toMatchObject({ type: "api_key", name: "ci", workspace_name: "team", admin: false, revoked_at: null });
    const plain = String(made.body.key);
    expect(made.body.hint).toBe(plain.slice(-4));

    const own = await as(plain, "POST", KEYS, { name: "mine" });
    expect(own.body.workspace_id).toBe(made.body.workspace_id);
    expect((await as(plain, "POST", KEYS, { name: "x", workspace: "default" })).status).toBe(403);
    expect((await as(plain, "POST", KEYS, { name: "x", admin: true })).status).toBe(403);

    const listed = (await as(plain, "GET", KEYS)).body.data as { name: string; key?: string }[];
    expect(listed.map((key) => key.name).sort()).toEqual(["ci", "mine"]);
    expect(listed.some((key) => "key" in key || "hash" in key)).toBe(false);
    const all = (await as(TEST_KEY, "GET", KEYS)).body.data as unknown[];
    expect(all.length).toBeGreaterThan(listed.length);
  });

  test("a revoked key stops at once on this server", async () => {
    const made = await as(TEST_KEY, "POST", KEYS, { name: "short" });
    const key = String(made.body.key);
    expect((await as(key, "GET", "/v1/agents")).status).toBe(200);
    expect((await as(TEST_KEY, "DELETE", `${KEYS}/${String(made.body.id)}`)).body).toEqual({
      id: made.body.id,
      type: "api_key_deleted",
    });
    expect((await as(key, "GET", "/v1/agents")).status).toBe(401);
  });

  test("a plain key cannot revoke another workspace's", async () => {
    const plain = await as(TEST_KEY, "POST", KEYS, { name: "p", workspace: "p" });
    const other = await as(TEST_KEY, "POST", KEYS, { name: "o", workspace: "o" });
    expect((await as(String(plain.body.key), "DELETE", `${KEYS}/${String(other.body.id)}`)).status).toBe(404);
    expect((await as(String(other.body.key), "GET", "/v1/agents")).status).toBe(200);
  });
});
