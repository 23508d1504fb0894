import { call, type OAuthMcpServer, say, startOAuthMcpServer, until } from "@sandbox0/testkit";
import { afterAll, beforeAll, expect } from "vitest";
import { conformanceServer } from "./fixture/conformance-server.ts";
import { allow, countOf, last, message, only, saidBy, textOf, type TestSession, waitingIds } from "./fixture/test-session.ts";
import { verifies } from "./fixture/verifies.ts";

/** Long enough for a session to begin with the first token, and short enough to wait for its end. */
const ACCESS_TOKEN_SECONDS = 25;
const EXPIRED = { timeoutMs: 60_000 };

const server = conformanceServer({ SANDBOX0_EGRESS_ALLOW_PRIVATE: "127.0.0.0/8" });
let mcp: OAuthMcpServer;
beforeAll(async () => {
  mcp = await startOAuthMcpServer({ accessTokenSeconds: ACCESS_TOKEN_SECONDS });
});
afterAll(() => mcp.close());

const tool = (name: string, input: Record<string, unknown> = {}) => call(`mcp__everything__${name}`, input);

async function openSession(vaultId: string): Promise<TestSession> {
  return server.createSession({
    agent: {
      make: {
        mcp_servers: [{ type: "url", name: "everything", url: mcp.url }],
        tools: [{ type: "mcp_toolset", mcp_server_name: "everything" }],
      },
    },
    vault_ids: [vaultId],
  });
}

const newest = (): string => mcp.accepted.at(-1) ?? "";
const refreshes = () => mcp.tokenRequests.filter(({ grantType }) => grantType === "refresh_token");

verifies("mcp.oauth", "expired in the middle of a turn, and again: refreshed, the call made, no token shown", async () => {
  const { accessToken, refreshToken } = await mcp.grant();
  const { client, tokenEndpoint, url } = mcp;
  const vault = await server.client.beta.vaults.create({ display_name: "oauth" });
  await server.client.beta.vaults.credentials.create(vault.id, {
    auth: {
      type: "mcp_oauth",
      mcp_server_url: url,
      access_token: accessToken,
      refresh: {
        client_id: client.id,
        refresh_token: refreshToken,
        token_endpoint: tokenEndpoint,
        token_endpoint_auth: { type: "client_secret_basic", client_secret: client.secret },
      },
    },
  });
  const session = await openSession(vault.id);
  await session.send(message(server.play(tool("echo", { message: "hello" }), tool("get-sum", { a: 40, b: 2 }), say("Done."))));
  const [echo = ""] = waitingIds(await session.rest());
  expect(mcp.accepted[0]).toBe(accessToken);
  // The session waits for its user for longer than the token lives.
  await until(async () => !(await mcp.isActive(accessToken)), EXPIRED);
  await session.send(allow(echo));
  const [sum = ""] = waitingIds(await session.rest());
  await session.send(allow(sum));
  const events = await session.rest();
  expect(only(events, "agent.mcp_tool_result").map(textOf)).toEqual(["Echo: hello", expect.stringContaining("42")]);
  expect(saidBy(events)).toEqual(["Done."]);

  // With what the first refresh brought: the authorization server takes each refresh token once.
  const second = newest();
  expect(second).not.toBe(accessToken);
  await until(async () => !(await mcp.isActive(second)), EXPIRED);
  await session.send(message(server.play(tool("echo", { message: "again" }), say("Still here."))));
  await session.send(allow(waitingIds(await session.rest())[0] ?? ""));
  const later = await session.rest();
  expect(textOf(last(later, "agent.mcp_tool_result"))).toBe("Echo: again");
  expect(countOf(later, "session.error")).toBe(0);
  expect(refreshes().length).toBeGreaterThanOrEqual(2);
  expect(refreshes().every(({ status }) => status === 200)).toBe(true);
  const log = JSON.stringify(await session.events());
  for (const token of [...mcp.accepted, refreshToken, client.secret]) expect(log).not.toContain(token);
});

verifies("mcp.oauth", "a grant that was taken back: an error on the log, and the session goes on without the tools", async () => {
  const { refreshToken } = await mcp.grant();
  const vault = await server.client.beta.vaults.create({ display_name: "revoked" });
  await server.client.beta.vaults.credentials.create(vault.id, {
    auth: {
      type: "mcp_oauth",
      mcp_server_url: mcp.url,
      access_token: "a-token-of-before",
      refresh: {
        client_id: mcp.client.id,
        // Somebody else has used it up, or the user has taken it back.
        refresh_token: `${refreshToken}x`,
        token_endpoint: mcp.tokenEndpoint,
        token_endpoint_auth: { type: "client_secret_basic", client_secret: mcp.client.secret },
      },
    },
  });
  const session = await openSession(vault.id);
  await session.send(message(server.play(say("Without tools."))));
  const events = await session.rest();
  expect(last(events, "session.error").error).toMatchObject({ type: "mcp_authentication_failed_error" });
  expect(saidBy(events)).toEqual(["Without tools."]);
});
