import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ClaimedSandbox, createBubblewrapDriver, createSandboxPool, type SandboxPool } from "@sandbox0/sandbox";
import { createTestDatabase, type TestDatabase } from "@sandbox0/testkit";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findUnreachableCredentials } from "../policy/unreachable-credentials.ts";
import { createEnvironments } from "../resources/environments/environments.ts";
import type { OpenVaults } from "../resources/vaults/open-vaults.ts";
import { listEgressRows } from "../store/egress-audit.ts";
import { createPool, type Database } from "../store/pool.ts";
import { writeResourceToken } from "../store/resource-tokens.ts";
import { insertSessionResources } from "../store/session-resources.ts";
import { insertSession } from "../store/sessions.ts";
import { loadConfig } from "./config.ts";
import { createGateways, createOutbound, type Gateways, type Outbound } from "./gateways.ts";
import { openServerVaults } from "./vaults.ts";

/** Two hosts of the outside world; this machine's loopback, opened by the operator. */
const [ALLOWED, OTHER] = ["127.0.0.5", "127.0.0.6"];
const POLL = { timeout: 60_000, interval: 200 };
const WORKSPACE = "wrkspc_1";
const SECRET = "canary-9d21-the-first-secret";

let dir: string;
let database: TestDatabase;
let db: Database;
let vaults: OpenVaults;
let outbound: Outbound;
let gateways: Gateways;
let pool: SandboxPool;
let port: number;
let sites: Server[];
/** What reached the outside. */
const reached: { host: string; headers: IncomingMessage["headers"]; body: string }[] = [];
const problems: unknown[] = [];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "sandbox0-gateways-"));
  database = await createTestDatabase();
  db = createPool({ connectionString: database.connectionString, max: 8 });
  await db.query("insert into workspaces (id, name) values ($1, 'test')", [WORKSPACE]);
  const first = await openSite(ALLOWED, 0);
  port = (first.address() as AddressInfo).port;
  sites = [first, await openSite(OTHER, port)];
  const config = loadConfig({
    SANDBOX0_DATA_DIR: dir,
    SANDBOX0_EGRESS_ALLOW_PRIVATE: "127.0.0.0/8",
    SANDBOX0_EGRESS_PORTS: String(port),
    SANDBOX0_EGRESS_BLOCKED_HOSTS: OTHER,
  });
  const logger = pino({ level: "warn" }, { write: (line: string) => void problems.push(line) });
  outbound = await createOutbound(config, database.connectionString, () => []);
  vaults = await openServerVaults({ config, db, fetch: outbound.fetch, logger });
  const sessionOf = (sandboxId: string): string | null => pool?.sessionOf(sandboxId) ?? null;
  const providerOf = async () => ({ unavailable: "this test has no models" });
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
  for (const site of sites) site.close();
  await db.close();
  await database.drop();
  await rm(dir, { recursive: true, force: true });
  expect(problems).toEqual([]);
});

async function openSite(host: string, at: number): Promise<Server> {
  const site = createServer((incoming, response) => {
    const chunks: Buffer[] = [];
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
    incoming.on("end", () => {
      reached.push({ host, headers: incoming.headers, body: Buffer.concat(chunks).toString() });
      response.end(`hello from ${host}\n`);
    });
  });
  site.listen(at, host);
  await once(site, "listening");
  return site;
}

let sessions = 0;

/** A session of its own environment, with its sandbox. */
async function openSession(networking: object, vaultIds: string[] = []): Promise<{ sessionId: string; environmentId: string }> {
  const environments = createEnvironments({ db });
  const environment = await environments.create(WORKSPACE, { name: "e", config: { type: "cloud", networking } as never });
  const sessionId = `sesn_${++sessions}`;
  await insertSession(db, {
    id: sessionId,
    workspaceId: WORKSPACE,
    threadId: `sthr_${sessions}`,
    agentId: "agent_1",
    agentVersion: 1,
    agent: { name: "a", model: { id: "m" }, tools: [], mcp_servers: [], multiagent: null },
    environmentId: environment.id,
    harness: "sandpi",
    title: null,
    metadata: {},
    vaultIds,
    createdAt: new Date(),
  });
  return { sessionId, environmentId: environment.id };
}

async function bash({ tools }: ClaimedSandbox, command: string): Promise<string> {
  const { content } = await tools.call("bash", { command, timeout_ms: 60_000 });
  return content.map((block) => (block.type === "text" ? block.text : "")).join("");
}

const limitedTo = (...allowed_hosts: string[]): object => ({ type: "limited", allowed_hosts });
const site = (host: string): string => `http://${host}:${port}/`;

describe("a session's sandbox", { timeout: 120_000 }, () => {
  test("reaches what its environment allows, by HTTP and SOCKS, and reads why not else", async () => {
    const { sessionId } = await openSession(limitedTo(ALLOWED));
    const claimed = await pool.claim(sessionId, null);
    expect(await bash(claimed, `curl -sS ${site(ALLOWED)}`)).toBe(`hello from ${ALLOWED}`);
    expect(await bash(claimed, `curl -sS --socks5-hostname 127.0.0.1:3128 ${site(ALLOWED)}`)).toBe(`hello from ${ALLOWED}`);
    expect(await bash(claimed, `curl -sS -p ${site(ALLOWED)}`)).toBe(`hello from ${ALLOWED}`);
    const denial = await bash(claimed, `curl -sS ${site(OTHER)}`);
    expect(denial).toContain(`${OTHER} is not among the allowed hosts of this session's environment`);
    expect(denial).toContain("config.networking.allowed_hosts");
    expect(await bash(claimed, `curl -sS --noproxy '*' --max-time 5 ${site(ALLOWED)} 2>&1`)).toMatch(
      /Couldn't connect|Failed to connect/,
    );
    expect(reached.filter(({ host }) => host === OTHER)).toEqual([]);
  });

  test("may go anywhere but to the operator's blocklist when it is unrestricted", async () => {
    const { sessionId } = await openSession({ type: "unrestricted" });
    const claimed = await pool.claim(sessionId, null);
    expect(await bash(claimed, `curl -sS ${site(ALLOWED)}`)).toBe(`hello from ${ALLOWED}`);
    expect(await bash(claimed, `curl -sS ${site(OTHER)}`)).toContain("blocklist");
  });

  test("sees a change of its environment within seconds, both ways", async () => {
    const { sessionId, environmentId } = await openSession(limitedTo());
    const claimed = await pool.claim(sessionId, null);
    expect(await bash(claimed, `curl -sS ${site(ALLOWED)}`)).toContain("not among the allowed hosts");
    const change = (networking: object) =>
      createEnvironments({ db }).update(WORKSPACE, environmentId, { config: { type: "cloud", networking } as never });
    await change(limitedTo(ALLOWED));
    await expect.poll(() => bash(claimed, `curl -sS ${site(ALLOWED)}`), POLL).toBe(`hello from ${ALLOWED}`);
    await change(limitedTo());
    await expect.poll(() => bash(claimed, `curl -sS ${site(ALLOWED)}`), POLL).toContain("not among the allowed hosts");
  });

  test("leaves a row for each request, with its session", async () => {
    const { sessionId } = await openSession(limitedTo(ALLOWED));
    const claimed = await pool.claim(sessionId, null);
    await bash(claimed, `curl -sS ${site(ALLOWED)} ${site(OTHER)}`);
    await gateways.audit.flush();
    const rows = await listEgressRows(db, sessionId, { before: null, limit: 10 });
    expect(rows).toEqual([
      expect.objectContaining({
        host: OTHER,
        port,
        verdict: "denied",
        reason: "host_not_allowed",
        sandboxId: claimed.sandbox.id,
      }),
      expect.objectContaining({ host: ALLOWED, port, verdict: "allowed", workspaceId: WORKSPACE, credentialIds: [] }),
    ]);
    expect(rows[1]?.bytesIn).toBeGreaterThan(0);
  });
});

test("a session's repositories are in its policy, and their tokens are its own and of now", async () => {
  const [{ sessionId }, other] = [await openSession(limitedTo()), await openSession(limitedTo())];
  const config = { type: "github_repository" as const, url: "https://github.com/owner/name", mount_path: "/workspace/name" };
  const at = new Date();
  await insertSessionResources(db, sessionId, [{ id: "sesrsc_1", config, createdAt: at, updatedAt: at }]);
  const give = async (token: string): Promise<void> => writeResourceToken(db, await vaults.tokens.seal("sesrsc_1", token));
  await give("canary-token-1");
  const { policies } = gateways;
  expect((await policies.of(sessionId))?.repositories).toEqual([
    { id: "sesrsc_1", host: "github.com", port: 443, path: "/owner/name" },
  ]);
  expect((await policies.of(other.sessionId))?.repositories).toEqual([]);
  expect(await policies.secretOf(sessionId, "sesrsc_1")).toBe("canary-token-1");
  expect(await policies.secretOf(other.sessionId, "sesrsc_1")).toBeNull();
  await give("canary-token-2");
  await expect.poll(() => policies.secretOf(sessionId, "sesrsc_1"), POLL).toBe("canary-token-2");
});

test.each([
  ["postgres://u:p@127.0.0.1:5555/d", 5555],
  ["postgresql://u@localhost/d", 5432],
  ["postgresql:///d?host=127.0.0.9&port=5556", 5556],
])("whatever the operator opens, the database of %s and our own ports stay shut", async (connectionString, databasePort) => {
  const config = loadConfig({ SANDBOX0_EGRESS_ALLOW_PRIVATE: "127.0.0.0/8,::1" });
  const { guard, close } = await createOutbound(config, connectionString, () => [{ address: "0.0.0.0", port: 8787 }]);
  for (const host of ["127.0.0.1", "127.0.0.9", "localhost", "::1", "::ffff:127.0.0.1", "2130706433"]) {
    for (const shut of [databasePort, 8787])
      await expect(guard.check(host, shut)).rejects.toMatchObject({ reason: "address_not_public" });
    expect(await guard.check(host, 80)).not.toEqual([]);
  }
  await close();
});

test("a database on a socket takes no port", async () => {
  const config = loadConfig({ SANDBOX0_EGRESS_ALLOW_PRIVATE: "127.0.0.0/8" });
  const { guard, close } = await createOutbound(config, "postgresql:///d?host=/run/postgresql", () => []);
  expect(await guard.check("127.0.0.1", 5432)).not.toEqual([]);
  await close();
});

test("without its authority the gateway does not start, and says so: no way out", async () => {
  const broken = await mkdtemp(join(tmpdir(), "sandbox0-gateways-"));
  await mkdir(join(broken, "egress"));
  await writeFile(join(broken, "egress/egress-ca.pem"), "not a certificate");
  const lines: string[] = [];
  const logger = pino({ level: "error" }, { write: (line: string) => void lines.push(line) });
  const shut = await createGateways({
    config: loadConfig({ SANDBOX0_DATA_DIR: broken }),
    ...{ db, outbound, logger, vaults },
    sessionOf: () => null,
    environmentOf: () => null,
    providerOf: async () => ({ unavailable: "this test has no models" }),
  });
  expect(shut.egress).toBeNull();
  expect(lines.join()).toContain("sandboxes have NO way out");
  await shut.close();
  await rm(broken, { recursive: true });
});

test("a socket that no session has leads nowhere", async () => {
  const path = join(dir, "unclaimed.sock");
  const listener = await gateways.egress?.open("nobodys", path);
  const asking = request({ socketPath: path, path: site(ALLOWED), headers: { host: `${ALLOWED}:${port}` } }).end();
  const [response] = (await once(asking, "response")) as [IncomingMessage];
  const chunks = await response.toArray();
  expect(Buffer.concat(chunks as Buffer[]).toString()).toContain("No session has this sandbox");
  await listener?.close();
});

describe("credentials of a session", { timeout: 120_000 }, () => {
  async function openVault(allowed_hosts: string[]): Promise<{ vaultId: string; credentialId: string }> {
    const vault = await vaults.api.vaults.create(WORKSPACE, { display_name: "v" });
    const credential = await vaults.api.credentials.create(WORKSPACE, vault.id, {
      auth: {
        type: "environment_variable",
        secret_name: "API_TOKEN",
        secret_value: SECRET,
        networking: { type: "limited", allowed_hosts },
      },
    });
    return { vaultId: vault.id, credentialId: credential.id };
  }

  async function claimWith(sessionId: string): Promise<ClaimedSandbox> {
    const claimed = await pool.claim(sessionId, null);
    claimed.tools.setEnvironment((await gateways.policies.of(sessionId))?.environment ?? {});
    return claimed;
  }

  const sent = async (claimed: ClaimedSandbox, host: string): Promise<string | undefined> => {
    reached.length = 0;
    await bash(claimed, `curl -sS -H "Authorization: Bearer $API_TOKEN" ${site(host)}`);
    return reached.at(-1)?.headers.authorization;
  };

  test("are placeholders inside, and secrets at their hosts alone; rotation and archive reach a running sandbox", async () => {
    const { vaultId, credentialId } = await openVault([ALLOWED]);
    const { sessionId } = await openSession(limitedTo(ALLOWED, OTHER), [vaultId]);
    const claimed = await claimWith(sessionId);
    const placeholder = await bash(claimed, "echo $API_TOKEN");
    expect(placeholder).toMatch(/^sandbox0_placeholder_[0-9a-f]{32}$/);
    expect(await sent(claimed, ALLOWED)).toBe(`Bearer ${SECRET}`);
    expect(await sent(claimed, OTHER)).toBe(`Bearer ${placeholder}`);
    const auth = { type: "environment_variable" as const, secret_value: "canary-77-the-second-secret" };
    await vaults.api.credentials.update(WORKSPACE, vaultId, credentialId, { auth });
    await expect.poll(() => sent(claimed, ALLOWED), POLL).toBe(`Bearer ${auth.secret_value}`);
    await vaults.api.credentials.archive(WORKSPACE, vaultId, credentialId);
    await expect.poll(() => sent(claimed, ALLOWED), POLL).toBe(`Bearer ${placeholder}`);
    await gateways.audit.flush();
    const rows = await listEgressRows(db, sessionId, { before: null, limit: 100 });
    expect(rows.at(-1)?.credentialIds).toEqual([credentialId]);
    expect(JSON.stringify(rows)).not.toContain("canary");
  });

  test("that the environment shuts out are said once, with their vault", async () => {
    const { vaultId, credentialId } = await openVault([ALLOWED, "api.example.com"]);
    const { sessionId } = await openSession(limitedTo(ALLOWED), [vaultId]);
    const errors = await findUnreachableCredentials(db, gateways.policies, sessionId);
    expect(errors).toEqual([
      expect.objectContaining({ type: "credential_host_unreachable_error", credential_id: credentialId, vault_id: vaultId }),
    ]);
    expect(errors[0]?.message).toContain("api.example.com");
    const body = JSON.stringify({ type: "session.error", error: errors[0] });
    await db.query(
      `insert into events (session_id, seq, id, thread_id, type, processed_at, bytes, body)
       values ($1, 1, 'evt_1', 'sthr_1', 'session.error', now(), 1, $2::json)`,
      [sessionId, body],
    );
    expect(await findUnreachableCredentials(db, gateways.policies, sessionId)).toEqual([]);
    const { sessionId: open } = await openSession({ type: "unrestricted" }, [vaultId]);
    expect(await findUnreachableCredentials(db, gateways.policies, open)).toEqual([]);
  });
});
