import type { CredentialCreateParams, CredentialValidation } from "@sandbox0/protocol";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { OpenVaults } from "./open-vaults.ts";
import { type Answerer, rotatingTokens, sendJson, startEndpoint, type TestEndpoint } from "./token-endpoint.fixture.ts";
import { createVaultStage, type VaultStage } from "./vaults.fixture.ts";

let stage: VaultStage;
let server: OpenVaults;
let mcp: TestEndpoint;
let tokens: TestEndpoint;
beforeAll(async () => {
  stage = await createVaultStage();
  server = await stage.server({ fetch, tokenTimeoutMs: 8_000, probeTimeoutMs: 8_000 });
});
afterAll(() => stage.close());
beforeEach(async () => {
  mcp = await startEndpoint();
  tokens = await startEndpoint(rotatingTokens("canary-refresh").answer);
});
afterEach(() => {
  mcp.close();
  tokens.close();
});

type Auth = CredentialCreateParams["auth"];
async function validate(options: { refresh?: boolean; auth?: Auth } = {}): Promise<CredentialValidation> {
  const { id: vaultId } = await server.api.vaults.create(stage.workspaceId, { display_name: "v" });
  const refresh = {
    client_id: "client",
    refresh_token: "canary-refresh",
    token_endpoint: `${tokens.url}/token`,
    token_endpoint_auth: { type: "client_secret_post" as const, client_secret: "canary-client" },
  };
  const auth: Auth = options.auth ?? {
    type: "mcp_oauth",
    mcp_server_url: `${mcp.url}/mcp`,
    access_token: "canary-access",
    refresh: (options.refresh ?? true) ? refresh : null,
  };
  const { id } = await server.api.credentials.create(stage.workspaceId, vaultId, { auth });
  const result = await server.api.credentials.validate(stage.workspaceId, vaultId, id);
  expect(result).toMatchObject({
    type: "vault_credential_validation",
    credential_id: id,
    vault_id: vaultId,
    validated_at: expect.stringMatching(/Z$/),
  });
  expect(JSON.stringify(result)).not.toContain("canary");
  return result;
}

/** An MCP server that wants one of these tokens, at one of its methods. */
const accepting =
  (good: readonly string[], at = "initialize"): Answerer =>
  ({ headers, body }, response) => {
    const { method } = JSON.parse(body) as { method: string };
    const ok = method !== at || good.some((token) => headers.authorization === `Bearer ${token}`);
    if (!ok) return sendJson(response, 401, { error: "invalid_token", got: headers.authorization });
    if (method === "notifications/initialized") return void response.writeHead(202).end();
    response.setHeader("mcp-session-id", "s1");
    return sendJson(response, 200, { jsonrpc: "2.0", id: 1, result: {} });
  };
const answering =
  (status: number, text = "no"): Answerer =>
  (_asked, response) =>
    void response.writeHead(status, { "content-type": "text/plain" }).end(text);

test("a token that the server takes is valid, and the token endpoint is not asked", async () => {
  mcp.answer(accepting(["canary-access"]));
  expect(await validate()).toMatchObject({ status: "valid", has_refresh_token: true, mcp_probe: null, refresh: null });
  expect(mcp.asked.map(({ body }) => (JSON.parse(body) as { method: string }).method)).toEqual([
    "initialize",
    "notifications/initialized",
    "tools/list",
  ]);
  expect(mcp.asked.at(-1)?.headers).toMatchObject({ "mcp-session-id": "s1", authorization: "Bearer canary-access" });
  expect(tokens.asked).toEqual([]);
});

test("a stream that never ends is an answer, too", async () => {
  mcp.answer((_asked, response) => void response.writeHead(200, { "content-type": "text/event-stream" }).write(": hello\n\n"));
  expect(await validate()).toMatchObject({ status: "valid", mcp_probe: null });
});

test("an old server is asked for its stream", async () => {
  mcp.answer(({ method, headers }, response) => {
    if (method === "POST") return void response.writeHead(405).end();
    if (headers.authorization !== "Bearer canary-access") return void response.writeHead(401).end();
    return void response.writeHead(200, { "content-type": "text/event-stream" }).write("event: endpoint\ndata: /m\n\n");
  });
  expect(await validate()).toMatchObject({ status: "valid", mcp_probe: null });
});

test.each(["initialize", "tools/list"])("a 401 at %s: refreshed, tried again, valid", async (method) => {
  mcp.answer(accepting(["access-1"], method));
  expect(await validate()).toMatchObject({
    status: "valid",
    mcp_probe: null,
    refresh: { status: "succeeded", http_response: null },
  });
  expect(tokens.asked).toHaveLength(1);
});

test("a 401 without a refresh token is invalid, with what the server said, scrubbed", async () => {
  mcp.answer(accepting([]));
  expect(await validate({ refresh: false })).toMatchObject({
    status: "invalid",
    has_refresh_token: false,
    mcp_probe: {
      method: "initialize",
      http_response: {
        status_code: 401,
        content_type: "application/json",
        body: '{"error":"invalid_token","got":"Bearer [redacted]"}',
        body_truncated: false,
      },
    },
    refresh: { status: "no_refresh_token", http_response: null },
  });
});

test("a 401 again with the new token is invalid", async () => {
  mcp.answer(accepting([]));
  const { status, mcp_probe, refresh } = await validate();
  expect({ status, refresh: refresh?.status, code: mcp_probe?.http_response?.status_code }).toEqual({
    status: "invalid",
    refresh: "succeeded",
    code: 401,
  });
});

describe("a 401, and the token endpoint", () => {
  beforeEach(() => mcp.answer(accepting([])));
  test("says that the grant is gone: invalid, with its answer", async () => {
    tokens.answer(({ body }, response) => sendJson(response, 400, { error: "invalid_grant", you_sent: body }));
    const { status, refresh } = await validate();
    expect({ status, refresh: refresh?.status }).toEqual({ status: "invalid", refresh: "failed" });
    expect(refresh?.http_response).toMatchObject({ status_code: 400, content_type: "application/json" });
    expect(refresh?.http_response?.body).toContain("invalid_grant");
  });
  test.each([500, 503, 429])("answers %s: unknown", async (code) => {
    tokens.answer(answering(code));
    expect(await validate()).toMatchObject({
      status: "unknown",
      refresh: { status: "failed", http_response: { status_code: code } },
    });
  });
  test("never answers: unknown", async () => {
    tokens.answer(() => undefined);
    expect(await validate()).toMatchObject({ status: "unknown", refresh: { status: "connect_error", http_response: null } });
  });
  test("answers HTML: invalid", async () => {
    tokens.answer((_asked, response) => void response.writeHead(200, { "content-type": "text/html" }).end("<p>canary-refresh"));
    expect(await validate()).toMatchObject({
      status: "invalid",
      refresh: { status: "failed", http_response: { body: "<p>[redacted]" } },
    });
  });
});

test.each<[number, string]>([
  [400, "invalid"],
  [403, "invalid"],
  [408, "unknown"],
  [429, "unknown"],
  [500, "unknown"],
  [503, "unknown"],
  [302, "unknown"],
])("an MCP server that answers %s: %s, and no refresh", async (code, status) => {
  mcp.answer(answering(code));
  expect(await validate()).toMatchObject({
    status,
    mcp_probe: { method: "initialize", http_response: { status_code: code, body: "no" } },
    refresh: null,
  });
  expect(tokens.asked).toEqual([]);
});

test.each<[string, Answerer]>([
  ["never answers", () => undefined],
  ["cuts the connection", (_asked, response) => void response.socket?.destroy()],
])("an MCP server that %s: unknown, without a response", async (_what, answerer) => {
  mcp.answer(answerer);
  expect(await validate()).toMatchObject({
    status: "unknown",
    mcp_probe: { method: "initialize", http_response: null },
    refresh: null,
  });
});

test("10 MB of error is cut", async () => {
  mcp.answer(answering(500, "canary-access ".repeat(750_000)));
  const { mcp_probe: probe } = await validate();
  expect(probe?.http_response?.body_truncated).toBe(true);
  expect(probe?.http_response?.body.length).toBeLessThanOrEqual(4_096);
});

test("what cannot be validated is a 400", async () => {
  await expect(validate({ auth: { type: "static_bearer", mcp_server_url: mcp.url, token: "t" } })).rejects.toMatchObject({
    status: 400,
    message: expect.stringContaining("static_bearer"),
  });
  const { id: vaultId } = await server.api.vaults.create(stage.workspaceId, { display_name: "v" });
  const { id } = await server.api.credentials.create(stage.workspaceId, vaultId, {
    auth: { type: "mcp_oauth", mcp_server_url: mcp.url, access_token: "t" },
  });
  await server.api.vaults.archive(stage.workspaceId, vaultId);
  await expect(server.api.credentials.validate(stage.workspaceId, vaultId, id)).rejects.toMatchObject({
    status: 400,
    message: expect.stringContaining("archived"),
  });
  await expect(server.api.credentials.validate(stage.workspaceId, vaultId, "vcrd_x")).rejects.toMatchObject({ status: 404 });
  expect(mcp.asked).toEqual([]);
});
