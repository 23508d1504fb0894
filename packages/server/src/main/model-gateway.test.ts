import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ClaimedSandbox, createBubblewrapDriver, createSandboxPool, type SandboxPool } from "@sandbox0/sandbox";
import {
  createScriptedProvider,
  createTestDatabase,
  say,
  type ScriptedProvider,
  type TestDatabase,
  usage,
} from "@sandbox0/testkit";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createEnvironments } from "../resources/environments/environments.ts";
import type { OpenVaults } from "../resources/vaults/open-vaults.ts";
import { listModelRequests } from "../store/model-requests.ts";
import { createPool, type Database } from "../store/pool.ts";
import { insertSession } from "../store/sessions.ts";
import { loadConfig } from "./config.ts";
import { createGateways, createOutbound, type Gateways, type Outbound } from "./gateways.ts";
import { createProviderOf } from "./provider-of.ts";
import { openServerVaults } from "./vaults.ts";

const WORKSPACE = "wrkspc_1";
const PROVIDER_KEY = "sk-canary-5b7e-the-provider-key";
const POLL = { timeout: 60_000, interval: 200 };

let dir: string;
let database: TestDatabase;
let db: Database;
let provider: ScriptedProvider;
let vaults: OpenVaults;
let outbound: Outbound;
let gateways: Gateways;
let pool: SandboxPool;
const problems: string[] = [];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "sandbox0-models-"));
  database = await createTestDatabase();
  db = createPool({ connectionString: database.connectionString, max: 8 });
  await db.query("insert into workspaces (id, name) values ($1, 'test')", [WORKSPACE]);
  provider = await createScriptedProvider({
    apiKey: PROVIDER_KEY,
    script: () => [say("hello from the model"), usage({ input: 11, output: 5, cacheRead: 3 })],
  });
  const config = loadConfig({
    SANDBOX0_DATA_DIR: dir,
    ANTHROPIC_API_KEY: PROVIDER_KEY,
    ANTHROPIC_BASE_URL: provider.url,
    OPENAI_API_KEY: PROVIDER_KEY,
    OPENAI_BASE_URL: provider.url,
  });
  const logger = pino({ level: "warn" }, { write: (line: string) => void problems.push(line) });
  outbound = await createOutbound(config, database.connectionString, () => []);
  vaults = await openServerVaults({ config, db, fetch: outbound.fetch, logger });
  const sessionOf = (sandboxId: string): string | null => pool?.sessionOf(sandboxId) ?? null;
  const providerOf = createProviderOf(config.models, vaults.secrets, () => ["anthropic-messages", "openai-responses"]);
  gateways = await createGateways({ config, db, vaults, outbound, sessionOf, environmentOf: () => null, providerOf, logger });
  const { egress } = gateways;
  if (egress === null) throw new Error("the gateway did not start");
  const sandboxDir = join(dir, "sandbox");
  const driver = createBubblewrapDriver({ dir: sandboxDir, egressCa: egress.caPem });
  pool = await createSandboxPool(driver, { dir: sandboxDir, warmCount: 0, openEgress: egress.open });
}, 120_000);

afterAll(async () => {
  await pool.close();
  await gateways.close();
  await vaults.close();
  await outbound.close();
  await provider.close();
  await db.close();
  await database.drop();
  await rm(dir, { recursive: true, force: true });
  expect(problems).toEqual([]);
});

let sessions = 0;

/** A session that may use `model` and reach nothing, with its sandbox and the token for it. */
async function openSession(model: string): Promise<{ sessionId: string; claimed: ClaimedSandbox; token: string }> {
  const networking = { type: "limited", allowed_hosts: [] };
  const environment = await createEnvironments({ db }).create(WORKSPACE, {
    name: "e",
    config: { type: "cloud", networking } as never,
  });
  const sessionId = `sesn_${++sessions}`;
  await insertSession(db, {
    id: sessionId,
    workspaceId: WORKSPACE,
    threadId: `sthr_${sessions}`,
    agentId: "agent_1",
    agentVersion: 1,
    agent: { name: "a", model: { id: model }, tools: [], mcp_servers: [], multiagent: null },
    environmentId: environment.id,
    harness: "sandpi",
    title: null,
    metadata: {},
    vaultIds: [],
    createdAt: new Date(),
  });
  const claimed = await pool.claim(sessionId, null);
  return { sessionId, claimed, token: gateways.tokens.issue(claimed.sandbox.id, sessionId, "sthr_1") };
}

async function bash({ tools }: ClaimedSandbox, command: string): Promise<string> {
  const { content } = await tools.call("bash", { command, timeout_ms: 60_000 });
  return content.map((block) => (block.type === "text" ? block.text : "")).join("");
}

const GATEWAY = "http://127.0.0.1:3128/model";

/** A request by curl, in the sandbox. */
const curl = (path: string, token: string, body: object): string =>
  `curl -sS -w ' (%{http_code})' ${GATEWAY}${path} -H 'authorization: Bearer ${token}' -H 'content-type: application/json' -d '${JSON.stringify(body)}'`;
const message = (model: string, extra: object = {}) => ({
  model,
  max_tokens: 99,
  messages: [{ role: "user", content: "hi" }],
  ...extra,
});

describe("a harness in a sandbox that reaches nothing", { timeout: 120_000 }, () => {
  test("asks its Anthropic model with its token, streams the answer, and leaves a span", async () => {
    const { sessionId, claimed, token } = await openSession("claude-test");
    const answer = await bash(claimed, curl("/v1/messages", token, message("claude-test", { stream: true })));
    expect(answer).toContain("event: message_stop");
    expect(answer).toContain("(200)");
    expect(provider.requests.at(-1)?.headers["x-api-key"]).toBe(PROVIDER_KEY);
    await expect
      .poll(() => listModelRequests(db, sessionId), POLL)
      .toMatchObject([{ model: "claude-test", status: 200, inputTokens: 11, outputTokens: 5, cacheReadTokens: 3 }]);
    expect(await bash(claimed, "curl -sS https://example.com 2>&1")).toContain("403");
  });

  test("asks its OpenAI model by Node's fetch", async () => {
    const { sessionId, claimed, token } = await openSession("gpt-test");
    const script = `
      const answer = await fetch("${GATEWAY}/v1/responses", {
        method: "POST",
        headers: { authorization: "Bearer ${token}", "content-type": "application/json" },
        body: JSON.stringify({ model: "gpt-test", input: "hi", stream: true }),
      });
      let text = "";
      for await (const chunk of answer.body) text += Buffer.from(chunk).toString();
      console.log(answer.status, text.includes("response.completed"));`;
    expect(await bash(claimed, `node --input-type=module -e '${script}' || echo no node`)).toContain("200 true");
    await expect.poll(() => listModelRequests(db, sessionId), POLL).toMatchObject([{ model: "gpt-test", status: 200 }]);
  });

  test("cannot use another model, another sandbox's token, or no token", async () => {
    const [one, two] = [await openSession("claude-test"), await openSession("claude-test")];
    const before = provider.received;
    const other = await bash(one.claimed, curl("/v1/messages", one.token, message("claude-other")));
    expect(other).toContain("its agent names claude-test");
    expect(other).toContain("(403)");
    expect(await bash(one.claimed, curl("/v1/messages", two.token, message("claude-test")))).toContain("(401)");
    const forged = gateways.tokens.issue(one.claimed.sandbox.id, two.sessionId, "sthr_1");
    expect(await bash(one.claimed, curl("/v1/messages", forged, message("claude-test")))).toContain("(401)");
    expect(await bash(one.claimed, curl("/v1/messages", PROVIDER_KEY, message("claude-test")))).toContain("(401)");
    const tools = [{ type: "web_fetch_20260318", name: "web_fetch" }];
    expect(await bash(one.claimed, curl("/v1/messages", one.token, message("claude-test", { tools })))).toContain("(403)");
    expect(provider.received).toBe(before);
  });

  test("finds the provider key nowhere", async () => {
    const { claimed, token } = await openSession("claude-test");
    await bash(claimed, curl("/v1/messages", token, message("claude-test")));
    // A pattern that does not find itself in the arguments of the search.
    const pattern = `'[${PROVIDER_KEY[0]}]${PROVIDER_KEY.slice(1)}'`;
    const places = "/proc/*/environ /proc/*/cmdline /workspace /tmp /etc /run /mnt $HOME";
    expect(await bash(claimed, `env | grep -c ${pattern}; grep -rlas ${pattern} ${places}; echo searched`)).toBe("0\nsearched");
    expect(await bash(claimed, `echo ${PROVIDER_KEY} > found; grep -rlas ${pattern} ${places}; rm found`)).toContain("found");
  });

  test("loses its model with its session", async () => {
    const { sessionId, claimed, token } = await openSession("claude-test");
    await db.query("update sessions set archived_at = now() where id = $1", [sessionId]);
    expect(await bash(claimed, curl("/v1/messages", token, message("claude-test")))).toContain("The session is over.");
  });
});
