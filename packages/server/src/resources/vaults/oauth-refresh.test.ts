import { until } from "@sandbox0/testkit";
import type { CredentialCreateParams } from "@sandbox0/protocol";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { OpenVaults } from "./open-vaults.ts";
import { rotatingTokens, sendJson, startEndpoint, type TestEndpoint } from "./token-endpoint.fixture.ts";
import { createVaultStage, type VaultStage } from "./vaults.fixture.ts";

type OAuth = Extract<CredentialCreateParams["auth"], { type: "mcp_oauth" }>;
const SERVER = "https://mcp.example.com/mcp";

let stage: VaultStage;
let endpoint: TestEndpoint;
let one: OpenVaults;
let two: OpenVaults;
/** One that does not wait long. */
let hasty: OpenVaults;
beforeAll(async () => {
  stage = await createVaultStage();
  [one, two, hasty] = [
    await stage.server({ fetch }),
    await stage.server({ fetch }),
    await stage.server({ fetch, tokenTimeoutMs: 4_000 }),
  ];
});
afterAll(async () => {
  expect(stage.problems).toEqual([]);
  await stage.close();
});
beforeEach(async () => {
  endpoint = await startEndpoint();
});
afterEach(() => endpoint.close());

async function add(refresh: Partial<NonNullable<OAuth["refresh"]>> = {}, auth: Partial<OAuth> = {}) {
  const { id: vaultId } = await one.api.vaults.create(stage.workspaceId, { display_name: "v" });
  const { id } = await one.api.credentials.create(stage.workspaceId, vaultId, {
    auth: {
      type: "mcp_oauth",
      mcp_server_url: SERVER,
      access_token: "access-0",
      refresh: {
        client_id: "client",
        refresh_token: "canary-refresh",
        token_endpoint: `${endpoint.url}/token`,
        token_endpoint_auth: { type: "none" },
        ...refresh,
      },
      ...auth,
    },
  });
  const current = async (): Promise<string | undefined> =>
    (await two.secrets.credentialForMcp(stage.workspaceId, [vaultId], SERVER))?.token;
  return { vaultId, id, current };
}

describe("the request", () => {
  const form = (): Record<string, string> => Object.fromEntries(new URLSearchParams(endpoint.asked[0]?.body));
  beforeEach(() =>
    endpoint.answer((_asked, response) => sendJson(response, 200, { access_token: "access-1", token_type: "Bearer" })),
  );

  test("of a public client: its id in the form, with resource and scope", async () => {
    const { id, current } = await add({ resource: "https://mcp.example.com", scope: "read write" });
    expect(await one.secrets.refreshMcp(id, "access-0")).toEqual({ status: "succeeded", token: "access-1" });
    expect(endpoint.asked[0]).toMatchObject({ method: "POST", path: "/token" });
    expect(endpoint.asked[0]?.headers).toMatchObject({
      "content-type": "application/x-www-form-urlencoded",
      accept: "application/json",
    });
    expect(endpoint.asked[0]?.headers.authorization).toBeUndefined();
    expect(form()).toEqual({
      grant_type: "refresh_token",
      refresh_token: "canary-refresh",
      client_id: "client",
      resource: "https://mcp.example.com",
      scope: "read write",
    });
    expect(await current()).toBe("access-1");
  });

  test("client_secret_basic: id and secret in the header, form-encoded first", async () => {
    const { id } = await add({
      client_id: "cli ent",
      token_endpoint_auth: { type: "client_secret_basic", client_secret: "s:e/c%r&t" },
    });
    await one.secrets.refreshMcp(id, "access-0");
    const header = endpoint.asked[0]?.headers.authorization ?? "";
    expect(Buffer.from(header.replace(/^Basic /, ""), "base64").toString()).toBe("cli+ent:s%3Ae%2Fc%25r%26t");
    expect(form()).toEqual({ grant_type: "refresh_token", refresh_token: "canary-refresh" });
  });

  test("client_secret_post: both in the form", async () => {
    const { id } = await add({ token_endpoint_auth: { type: "client_secret_post", client_secret: "secret" } });
    await one.secrets.refreshMcp(id, "access-0");
    expect(form()).toMatchObject({ client_id: "client", client_secret: "secret" });
    expect(endpoint.asked[0]?.headers.authorization).toBeUndefined();
  });
});

describe("what comes of it", () => {
  test("new tokens and their end are stored together; the new refresh token is used the next time", async () => {
    const tokens = rotatingTokens("canary-refresh");
    endpoint.answer(tokens.answer);
    const { id, vaultId } = await add({}, { expires_at: new Date(Date.now() + 60_000).toISOString() });
    for (const [stale, fresh] of [
      ["access-0", "access-1"],
      ["access-1", "access-2"],
      ["access-2", "access-3"],
    ] as const)
      expect(await one.secrets.refreshMcp(id, stale)).toEqual({ status: "succeeded", token: fresh });
    expect(tokens.refused()).toBe(0);
    const { auth } = await one.api.credentials.retrieve(stage.workspaceId, vaultId, id);
    const expiresAt = auth.type === "mcp_oauth" ? Date.parse(auth.expires_at ?? "") : 0;
    expect(expiresAt).toBeGreaterThan(Date.now() + 3_000_000);
  });

  test("an answer without a lifetime leaves the end unknown, one without a refresh token keeps the old", async () => {
    endpoint.answer((_asked, response, count) =>
      sendJson(response, 200, { access_token: `access-${count}`, expires_in: "soon" }),
    );
    const { id, vaultId } = await add({}, { expires_at: new Date(Date.now() + 60_000).toISOString() });
    await one.secrets.refreshMcp(id, "access-0");
    expect((await one.api.credentials.retrieve(stage.workspaceId, vaultId, id)).auth).not.toHaveProperty("expires_at");
    await one.secrets.refreshMcp(id, "access-1");
    expect(new URLSearchParams(endpoint.asked[1]?.body).get("refresh_token")).toBe("canary-refresh");
  });

  test("a token that somebody has replaced already is not replaced again", async () => {
    const { id, vaultId } = await add();
    await two.api.credentials.update(stage.workspaceId, vaultId, id, { auth: { type: "mcp_oauth", access_token: "given" } });
    expect(await one.secrets.refreshMcp(id, "access-0")).toEqual({ status: "succeeded", token: "given" });
    expect(endpoint.asked).toEqual([]);
  });

  test("without a refresh token, archived, deleted", async () => {
    const { id: plain } = await add({}, { refresh: null });
    expect(await one.secrets.refreshMcp(plain, "access-0")).toEqual({ status: "no_refresh_token" });
    const { id, vaultId } = await add();
    await one.api.credentials.archive(stage.workspaceId, vaultId, id);
    expect(await one.secrets.refreshMcp(id, "access-0")).toEqual({ status: "gone" });
    await one.api.credentials.delete(stage.workspaceId, vaultId, id);
    expect(await one.secrets.refreshMcp(id, "access-0")).toEqual({ status: "gone" });
    expect(endpoint.asked).toEqual([]);
  });
});

describe("one at a time, across servers", () => {
  test("many callers on two servers: one request, one answer for all, and the refresh token is used once", async () => {
    const tokens = rotatingTokens("canary-refresh");
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    endpoint.answer(async (asked, response, count) => {
      await gate;
      await tokens.answer(asked, response, count);
    });
    const { id } = await add();
    const callers = Array.from({ length: 12 }, (_, i) => (i % 2 ? one : two).secrets.refreshMcp(id, "access-0"));
    await until(() => endpoint.asked.length === 1);
    open();
    expect(new Set((await Promise.all(callers)).map((answer) => JSON.stringify(answer)))).toEqual(
      new Set([JSON.stringify({ status: "succeeded", token: "access-1" })]),
    );
    expect(endpoint.asked).toHaveLength(1);
    expect(tokens.refused()).toBe(0);
  });

  test("a failure is one for all who waited, and is believed for a while; a client's new tokens end that", async () => {
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    endpoint.answer(async (_asked, response) => {
      await gate;
      sendJson(response, 400, { error: "invalid_grant" });
    });
    const { id, vaultId } = await add();
    const callers = Array.from({ length: 6 }, (_, i) => (i % 2 ? one : two).secrets.refreshMcp(id, "access-0"));
    await until(() => endpoint.asked.length === 1);
    open();
    expect((await Promise.all(callers)).map(({ status }) => status)).toEqual(Array(6).fill("failed"));
    expect(await two.secrets.refreshMcp(id, "access-0")).toMatchObject({ status: "failed" });
    expect(endpoint.asked).toHaveLength(1);
    const tokens = rotatingTokens("new-refresh");
    endpoint.answer(tokens.answer);
    await one.api.credentials.update(stage.workspaceId, vaultId, id, {
      auth: { type: "mcp_oauth", refresh: { refresh_token: "new-refresh" } },
    });
    expect(await two.secrets.refreshMcp(id, "access-0")).toEqual({ status: "succeeded", token: "access-1" });
  });

  test("the lease of a server that died is taken over when its time is up", async () => {
    endpoint.answer(rotatingTokens("canary-refresh").answer);
    const { id } = await add();
    await stage.db.query(
      "update vault_credentials set refresh_lease = 'dead', refresh_until = clock_timestamp() + interval '700 milliseconds' where id = $1",
      [id],
    );
    expect(await one.secrets.refreshMcp(id, "access-0")).toEqual({ status: "succeeded", token: "access-1" });
  });

  test("what a client stores while the endpoint is asked wins", async () => {
    const { id, vaultId, current } = await add();
    endpoint.answer(async (_asked, response) => {
      await two.api.credentials.update(stage.workspaceId, vaultId, id, { auth: { type: "mcp_oauth", access_token: "given" } });
      sendJson(response, 200, { access_token: "access-late", refresh_token: "late" });
    });
    expect(await one.secrets.refreshMcp(id, "access-0")).toEqual({ status: "succeeded", token: "given" });
    expect(await current()).toBe("given");
  });

  test("an archive while the endpoint is asked leaves no secret behind", async () => {
    const { id, vaultId } = await add();
    endpoint.answer(async (_asked, response) => {
      await two.api.vaults.archive(stage.workspaceId, vaultId);
      sendJson(response, 200, { access_token: "access-late", refresh_token: "late" });
    });
    expect(await one.secrets.refreshMcp(id, "access-0")).toEqual({ status: "gone" });
    expect((await stage.db.query("select 1 from vault_secrets where credential_id = $1", [id])).rows).toEqual([]);
  });
});

describe("a bad endpoint: a stated outcome, and the old token stays", () => {
  const cases: [string, Parameters<TestEndpoint["answer"]>[0], string][] = [
    [
      "HTML with 200",
      (_asked, response) => void response.writeHead(200, { "content-type": "text/html" }).end("<h1>canary</h1>"),
      "failed",
    ],
    [
      "an error page",
      (_asked, response) => void response.writeHead(502, { "content-type": "text/html" }).end("<h1>no</h1>"),
      "failed",
    ],
    ["an error with 200", (_asked, response) => sendJson(response, 200, { error: "invalid_grant" }), "failed"],
    ["a token that would end a header", (_asked, response) => sendJson(response, 200, { access_token: "a\r\nx: y" }), "failed"],
    ["a redirect", (_asked, response) => void response.writeHead(307, { location: `${endpoint.url}/stolen` }).end(), "failed"],
    ["an answer without end", (_asked, response) => void endless(response), "failed"],
    ["no answer", () => undefined, "connect_error"],
    ["an answer that stops in the middle", (_asked, response) => void response.write("{"), "connect_error"],
    ["a cut connection", (_asked, response) => void response.socket?.destroy(), "connect_error"],
  ];
  test.each(cases)("%s", async (_what, answerer, status) => {
    endpoint.answer(answerer);
    const { id, current } = await add({}, { expires_at: new Date(Date.now() + 3_600_000).toISOString() });
    const answer = await hasty.secrets.refreshMcp(id, "access-0");
    expect(answer.status).toBe(status);
    expect(JSON.stringify(answer)).not.toContain("canary");
    expect(await current()).toBe("access-0");
    expect(endpoint.asked).toHaveLength(1);
  });

  function endless(response: {
    write(text: string): boolean;
    once(event: "drain" | "close", fn: () => void): unknown;
    destroyed: boolean;
  }): void {
    if (response.destroyed) return;
    while (!response.destroyed && response.write("x".repeat(65_536)));
    response.once("drain", () => endless(response));
  }
});

describe("before a token ends", () => {
  test("one that is past its time is refreshed before it is used", async () => {
    endpoint.answer(rotatingTokens("canary-refresh").answer);
    const { current, id } = await add({}, { expires_at: new Date(Date.now() + 10_000).toISOString() });
    expect(await current()).toBe("access-1");
    expect(await current()).toBe("access-1");
    expect(endpoint.asked).toHaveLength(1);
    expect(await one.secrets.refreshMcp(id, "access-0")).toEqual({ status: "succeeded", token: "access-1" });
  });

  test("when that fails the old one is used, and the endpoint is left alone for a while", async () => {
    endpoint.answer((_asked, response) => sendJson(response, 400, { error: "invalid_grant" }));
    const { current } = await add({}, { expires_at: new Date(Date.now() + 10_000).toISOString() });
    expect([await current(), await current()]).toEqual(["access-0", "access-0"]);
    expect(endpoint.asked).toHaveLength(1);
  });

  test("the upkeep refreshes those that end soon, and gives up on grants that are gone", async () => {
    const tokens = rotatingTokens("canary-refresh");
    endpoint.answer(tokens.answer);
    const soon = await add({}, { expires_at: new Date(Date.now() + 60_000).toISOString() });
    await add({}, { expires_at: new Date(Date.now() + 3_600_000).toISOString() });
    await add({}, { refresh: null, expires_at: new Date(Date.now() + 60_000).toISOString() });
    await Promise.all([one.upkeep.tokens(), two.upkeep.tokens()]);
    expect(endpoint.asked).toHaveLength(1);
    expect(await soon.current()).toBe("access-1");
    endpoint.answer((_asked, response) => sendJson(response, 400, { error: "invalid_grant" }));
    await add({}, { expires_at: new Date(Date.now() + 60_000).toISOString() });
    await one.upkeep.tokens();
    await two.upkeep.tokens();
    expect(endpoint.asked).toHaveLength(2);
  });
});

test("a server that stops waits for tokens that were asked for: the old refresh token may be void", async () => {
  const { id, current } = await add();
  const stopping = await stage.server({ fetch });
  const { promise, resolve } = Promise.withResolvers<void>();
  endpoint.answer(async (_asked, response) => {
    await promise;
    sendJson(response, 200, { access_token: "access-1", refresh_token: "canary-refresh-1", expires_in: 3_600 });
  });
  const refreshed = stopping.secrets.refreshMcp(id, "access-0");
  await until(() => endpoint.asked.length === 1);
  let closed = false;
  const closing = stopping.close().then(() => {
    closed = true;
  });
  // More than all that a close without anything to wait for would do.
  for (let turn = 0; turn < 100; turn++) await new Promise((done) => setImmediate(done));
  expect(closed).toBe(false);
  resolve();
  await closing;
  expect(await current()).toBe("access-1");
  expect(await refreshed).toMatchObject({ status: "succeeded" });
}, 60_000);
