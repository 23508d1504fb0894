import { randomBytes } from "node:crypto";
import { createSessionTokens, type ModelSpan } from "@sandbox0/egress";
import { createId } from "@sandbox0/protocol";
import { createTestDatabase, type TestDatabase } from "@sandbox0/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { DatabaseUnavailable } from "../store/database-error.ts";
import { listModelRequests } from "../store/model-requests.ts";
import { createPool, type Database } from "../store/pool.ts";
import type { Queryable } from "../store/query.ts";
import { archiveSessionRow, insertSession } from "../store/sessions.ts";
import { createMeasuredRequests } from "./measured-requests.ts";
import { createModelSource, type DurableModelSource, type ModelSourceDeps } from "./model-source.ts";

let database: TestDatabase;
let db: Database;
beforeAll(async () => {
  database = await createTestDatabase();
  db = createPool({ connectionString: database.connectionString, max: 4 });
  await db.query("insert into workspaces (id, name) values ('wrkspc_1', 'test')");
  await db.query(
    "insert into environments (id, workspace_id, name, config, created_at, updated_at) values ('env_1', 'wrkspc_1', 'e', '{}', now(), now())",
  );
});
afterAll(async () => {
  await db.close();
  await database.drop();
});

const member = (model: string) => ({
  type: "agent",
  id: `agent_${model}`,
  model: { id: model, speed: "standard" },
  mcp_servers: [],
});
const tokens = createSessionTokens(randomBytes(32));
const PROVIDER = { api: "anthropic-messages", baseUrl: "https://models.example", apiKey: "sk-provider" } as const;

async function newSession(multiagent: object | null = null, vaultIds: string[] = []): Promise<string> {
  const id = createId("session");
  const agent = { name: "a", ...member("claude-own"), multiagent };
  const pinned = { agentId: "agent_1", agentVersion: 1, agent, environmentId: "env_1", harness: "claude" };
  await insertSession(db, {
    id,
    workspaceId: "wrkspc_1",
    threadId: "sthr_1",
    ...pinned,
    title: null,
    metadata: {},
    vaultIds,
    createdAt: new Date(),
  });
  return id;
}

interface Options extends Partial<ModelSourceDeps> {
  claims?: Record<string, string>;
}

function newSource({ claims = {}, ...deps }: Options = {}): { source: DurableModelSource; errors: unknown[] } {
  const errors: unknown[] = [];
  const source = createModelSource({
    db,
    tokens,
    sessionOf: (sandboxId) => claims[sandboxId] ?? null,
    measured: createMeasuredRequests(),
    providerOf: async () => PROVIDER,
    onError: (error) => errors.push(error),
    ...deps,
  });
  return { source, errors };
}

const spanOf = (sessionId: string, change: Partial<ModelSpan> = {}): ModelSpan => ({
  sessionId,
  model: "claude-own",
  at: new Date("2026-11-25T12:00:00.123Z"),
  status: 200,
  retryAfterMs: null,
  firstTokenMs: 12.5,
  totalMs: 99.25,
  inputTokens: 1,
  outputTokens: 2,
  cacheReadTokens: 3,
  cacheWriteTokens: 4,
  ...change,
});

/** When a provider asked to be tried again is of no use later. */
const stored = ({ retryAfterMs, ...row }: ModelSpan) => row;

test("a token is good while its session has the sandbox it was made for", async () => {
  const claims: Record<string, string> = { sbx_1: "sesn_1", sbx_2: "sesn_2" };
  const { source } = newSource({ claims });
  const token = tokens.issue("sbx_1", "sesn_1", "sthr_1");
  expect(await source.sessionOf("sbx_1", token)).toBe("sesn_1");
  expect(await source.sessionOf("sbx_2", token)).toBeNull();
  expect(await source.sessionOf("sbx_1", tokens.issue("sbx_1", "sesn_2", "sthr_1"))).toBeNull();
  claims.sbx_1 = "sesn_3";
  expect(await source.sessionOf("sbx_1", token)).toBeNull();
  delete claims.sbx_1;
  expect(await source.sessionOf("sbx_1", token)).toBeNull();
});

test("one request goes out each time that the token is issued; behind a failed one the refusal says how it failed", () => {
  const measured = createMeasuredRequests();
  const { source } = newSource({ measured });
  expect(source.admit("sbx_7", "sesn_7")).toEqual({ denied: "The session has not asked its model again.", repeats: null });
  tokens.issue("sbx_7", "sesn_7", "sthr_1");
  expect(source.admit("sbx_7", "sesn_7")).toBeNull();
  measured.add(spanOf("sesn_7", { status: 404 }));
  expect(source.admit("sbx_7", "sesn_7")).toMatchObject({ repeats: 404 });
  expect(measured.take("sesn_7")).toMatchObject({ status: 404 });
  tokens.issue("sbx_7", "sesn_7", "sthr_1");
  expect(source.admit("sbx_7", "sesn_7")).toBeNull();
});

test("a session may use its agent's model, at its provider, and no other", async () => {
  const asked: unknown[] = [];
  const { source } = newSource({
    providerOf: async (model, user) => {
      asked.push([model, user.workspaceId, user.vaultIds]);
      return PROVIDER;
    },
  });
  const id = await newSession(null, ["vlt_1"]);
  expect(await source.routeOf(id, "claude-own")).toEqual({ ...PROVIDER, guarded: false });
  expect(await source.routeOf(id, "claude-other")).toEqual({
    denied: 'This session may not use the model "claude-other": its agent names claude-own.',
  });
  expect(asked).toEqual([["claude-own", "wrkspc_1", ["vlt_1"]]]);
});

test.each([
  ["coordinator", { type: "coordinator", agents: [member("claude-helper"), { type: "advisor", model: "claude-adviser" }] }],
  [
    "multiagent_20261001",
    {
      type: "multiagent_20261001",
      advisor: { type: "enabled", model: "claude-adviser" },
      subagents: { type: "enabled", predefined_agents: [member("claude-helper")] },
      workflows: { type: "disabled" },
    },
  ],
])("the models of a roster (%s) and its advisor are the session's too", async (_, multiagent) => {
  const { source } = newSource();
  const id = await newSession(multiagent);
  for (const model of ["claude-own", "claude-helper", "claude-adviser"])
    expect(await source.routeOf(id, model)).toHaveProperty("api");
  expect(await source.routeOf(id, "claude-other")).toHaveProperty("denied");
});

test("what the provider lookup says goes on: a vault's address is guarded, none is a denial", async () => {
  const id = await newSession();
  const guarded = newSource({ providerOf: async () => ({ ...PROVIDER, guarded: true }) });
  expect(await guarded.source.routeOf(id, "claude-own")).toEqual({ ...PROVIDER, guarded: true });
  const none = newSource({ providerOf: async () => ({ unavailable: "Nobody serves it." }) });
  expect(await none.source.routeOf(id, "claude-own")).toEqual({ denied: "Nobody serves it." });
});

test("a session that is over, or is none, has no models", async () => {
  const { source } = newSource();
  const archived = await newSession();
  await archiveSessionRow(db, archived);
  const ended = await newSession();
  await db.query("update session_heads set status = 'terminated' where session_id = $1", [ended]);
  for (const id of [archived, ended, "sesn_none"])
    expect(await source.routeOf(id, "claude-own")).toEqual({ denied: "The session is over." });
});

test("spans are kept, those of a session that is gone are not, and go with it", async () => {
  const { source, errors } = newSource();
  const id = await newSession();
  const failed = spanOf(id, { status: null, firstTokenMs: null, model: "odd \0 \ud800" });
  for (const span of [spanOf(id), spanOf("sesn_gone"), failed]) source.record(span);
  await source.flush();
  expect(await listModelRequests(db, id)).toEqual([stored(spanOf(id)), { ...stored(failed), model: "odd  \ufffd" }]);
  expect(errors).toEqual([]);
  await db.query("delete from sessions where id = $1", [id]);
  expect(await listModelRequests(db, id)).toEqual([]);
});

test("spans wait for a database that is away, and are written once although it may have written them", async () => {
  const id = await newSession();
  let away = 2;
  const flaky: Queryable = {
    async query(...args) {
      // The first time it is written, and only the answer is lost.
      if (away === 2) await db.query(...args);
      if (away-- > 0) throw new DatabaseUnavailable("connection", true);
      return db.query(...args);
    },
  };
  const { source, errors } = newSource({ db: flaky });
  source.record(spanOf(id));
  source.record(spanOf(id, { status: 500 }));
  await source.flush();
  expect((await listModelRequests(db, id)).map(({ status }) => status)).toEqual([200, 500]);
  expect(errors).toHaveLength(2);
});

test("a source that closes writes what waits, and waits for no database", async () => {
  const id = await newSession();
  const { source } = newSource();
  source.record(spanOf(id));
  await source.close();
  expect(await listModelRequests(db, id)).toHaveLength(1);
  const away: Queryable = { query: () => Promise.reject(new DatabaseUnavailable("connection", true)) };
  const lost = newSource({ db: away });
  lost.source.record(spanOf(id));
  await lost.source.close();
  expect(lost.errors.length).toBeGreaterThan(0);
});
