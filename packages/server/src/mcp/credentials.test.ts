import { textResult } from "@sandbox0/testkit";
import { expect, test } from "vitest";
import { bench, scripted } from "./connector.fixture.ts";
import type { McpRefresh } from "./credentials.ts";

const calm = () => new AbortController().signal;
const echo = { name: "echo" };
const cred = (token: string, refreshable = false, credentialId = "cred_1") => ({ credentialId, token, refreshable });

test("sends the credential, with both transports", async () => {
  for (const transport of ["streamable", "sse"] as const) {
    const server = await scripted({ transport, tools: [echo], tokens: ["token-one"] });
    const { vault, link } = bench();
    vault.credential = cred("token-one");
    expect(await (await link(server)).call("echo", {}, calm())).toMatchObject({ isError: false });
  }
});

test("without a credential: said, and how it would work", async () => {
  const server = await scripted({ tokens: ["token-one"] });
  expect(await bench().outage(server)).toMatchObject({
    kind: "authentication",
    message: expect.stringMatching(/no vault of the session has a credential for its URL/),
  });
});

test("an expired token is refreshed in the middle of a turn, and the call is made once", async () => {
  for (const transport of ["streamable", "sse"] as const) {
    const server = await scripted({ transport, tools: [echo], tokens: ["token-one"] });
    const { vault, link } = bench();
    vault.credential = cred("token-one", true);
    vault.refresh = async () => {
      vault.credential = cred("token-two", true);
      return { status: "succeeded", token: "token-two" };
    };
    const open = await link(server);
    server.setTokens(["token-two"]);
    expect(await open.call("echo", {}, calm())).toMatchObject({ isError: false });
    expect(server.calls).toHaveLength(1);
    expect(vault.refreshes).toEqual(["token-one"]);
  }
});

test("what somebody else has refreshed is not refreshed again", async () => {
  const server = await scripted({ tools: [echo], tokens: ["token-one"] });
  const { vault, link } = bench({ credentialFreshMs: 60_000 });
  vault.credential = cred("token-one", true);
  const open = await link(server);
  server.setTokens(["token-two"]);
  vault.credential = cred("token-two", true);
  expect(await open.call("echo", {}, calm())).toMatchObject({ isError: false });
  expect(vault.refreshes).toEqual([]);
});

test("calls side by side that are refused together: one new token for all, and nobody is refused for the old one", async () => {
  for (const refreshable of [true, false]) {
    const server = await scripted({ tools: [echo], tokens: ["token-one"] });
    const { vault, link } = bench({ credentialFreshMs: 60_000 });
    vault.credential = cred("token-one", refreshable);
    vault.refresh = async (stale) => {
      vault.credential = cred(`${stale}-new`, true);
      return { status: "succeeded", token: `${stale}-new` };
    };
    const open = await link(server);
    server.setTokens(["token-one-new"]);
    // Rotated by hand, where nothing can be refreshed.
    if (!refreshable) vault.credential = cred("token-one-new");
    const results = await Promise.all(Array.from({ length: 8 }, () => open.call("echo", {}, calm())));
    expect(results.every(({ isError }) => !isError)).toBe(true);
    expect(vault.refreshes.every((stale) => stale === "token-one")).toBe(true);
    expect(server.calls).toHaveLength(8);
  }
});

test("every way in which a refresh fails is an authentication failure, and the call did not run", async () => {
  const ways: [McpRefresh, RegExp][] = [
    [{ status: "failed", httpStatus: 400 }, /token endpoint refused/],
    [{ status: "connect_error" }, /could not be reached/],
    [{ status: "no_refresh_token" }, /no refresh token/],
    [{ status: "gone" }, /archived or deleted/],
    [{ status: "succeeded", token: "still-not-good" }, /401/],
  ];
  for (const transport of ["streamable", "sse"] as const) {
    for (const [refresh, message] of ways) {
      const server = await scripted({ transport, tools: [echo], tokens: ["token-one"] });
      const { vault, link } = bench();
      vault.credential = cred("token-one", true);
      const open = await link(server);
      server.setTokens(["never"]);
      vault.refresh = async () => refresh;
      await expect(open.call("echo", {}, calm())).rejects.toMatchObject({
        kind: "authentication",
        message: expect.stringMatching(message),
      });
      expect(server.calls).toEqual([]);
    }
  }
});

test("rotation reaches a session that runs; another credential has an MCP session of its own", async () => {
  const server = await scripted({ tools: [echo], tokens: ["token-one"] });
  const { vault, link } = bench();
  vault.credential = cred("token-one");
  const open = await link(server);
  server.setTokens(["token-two"]);
  vault.credential = cred("token-two");
  await open.call("echo", {}, calm());
  const initialized = () => server.requests.filter(({ rpcMethod }) => rpcMethod === "initialize").length;
  expect(initialized()).toBe(1);
  server.setTokens(["token-three"]);
  vault.credential = cred("token-three", false, "cred_2");
  await open.call("echo", {}, calm());
  expect(initialized()).toBe(2);
});

test("an archived credential is not sent any more", async () => {
  const server = await scripted({ tools: [echo], tokens: ["token-one"] });
  const { vault, link } = bench();
  vault.credential = cred("token-one");
  const open = await link(server);
  vault.credential = null;
  const before = server.requests.length;
  await expect(open.call("echo", {}, calm())).rejects.toMatchObject({ kind: "authentication" });
  const since = server.requests.slice(before).filter(({ httpMethod }) => httpMethod === "POST");
  expect(since.every(({ authorization }) => authorization === null)).toBe(true);
});

test("a server that repeats its own token tells it neither to the model nor to the log", async () => {
  const token = "canary-token-4711";
  const server = await scripted({
    tokens: [token],
    tools: [
      { name: "leak", description: `use ${token}`, run: () => textResult(`you are ${token}`) },
      { name: "throw", run: () => Promise.reject(new Error(`bad ${token}`)) },
    ],
  });
  const { vault, link } = bench();
  vault.credential = cred(token);
  const open = await link(server);
  const said = [open.tools, await open.call("leak", {}, calm()), await open.call("throw", {}, calm())];
  expect(JSON.stringify(said)).not.toContain(token);
  expect(JSON.stringify(said)).toContain("[redacted]");
});
