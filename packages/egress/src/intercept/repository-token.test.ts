import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { RepositoryRule } from "../port.ts";
import {
  createWorld,
  curl,
  HOST,
  openTunnel,
  PLACEHOLDER,
  policyWith,
  rememberHttp1,
  rule,
  serveHttp2,
  textOf,
  type World,
} from "./opened.fixture.ts";

const TOKEN = "ghp_canary-5e7d-token/of+a=repository";
const AUTHORIZATION = `Basic ${Buffer.from(`x-access-token:${TOKEN}`).toString("base64")}`;
const repository = (change: Partial<RepositoryRule> = {}): RepositoryRule => ({
  id: "sesrsc_1",
  host: HOST,
  port: 443,
  path: "/owner/name",
  ...change,
});

let world: World;
/** The row of a request comes behind its answer. */
const rowsCome = () => vi.waitFor(() => expect(world.rows).toHaveLength(1), { timeout: 30_000 });

beforeEach(async () => {
  world = await createWorld();
  world.policy = { ...policyWith(), repositories: [repository()] };
  world.secrets.set("sesrsc_1", TOKEN);
});
afterEach(async () => {
  await world.close();
  expect(JSON.stringify(world.rows)).not.toContain(TOKEN);
});

/** The host is none that the environment allows. */
const closeHost = (): void => {
  world.policy = {
    ...policyWith(),
    repositories: [repository()],
    networking: { type: "limited", allowedHosts: ["other.example"] },
  };
};

/** A request as it is, byte by byte. */
async function say(head: string): Promise<string> {
  const tls = await openTunnel(world, ["http/1.1"]);
  // Not ended: whoever ends is gone, and nothing of it goes on.
  tls.write(head.includes("\r\n\r\n") ? head : `${head}\r\nConnection: close\r\n\r\n`);
  return textOf(tls);
}

const GIT: [method: string, path: string][] = [
  ["GET", "/owner/name/info/refs?service=git-upload-pack"],
  ["GET", "/owner/name/info/refs?service=git-receive-pack"],
  ["GET", "/owner/name.git/info/refs?service=git-upload-pack"],
  ["GET", "/owner/name.git/info/refs?service=git-receive-pack"],
  ["POST", "/owner/name/git-upload-pack"],
  ["POST", "/owner/name/git-receive-pack"],
  ["POST", "/owner/name.git/git-upload-pack"],
  ["POST", "/owner/name.git/git-receive-pack"],
];

describe.each([
  ["an allowed host", () => undefined],
  ["a host that is open for git only", closeHost],
])("git with the repository, at %s", (_name, prepare) => {
  beforeEach(prepare);

  test.each(GIT)("%s %s", async (method, path) => {
    const seen = await rememberHttp1(world);
    expect(await say(`${method} ${path} HTTP/1.1\r\nHost: ${HOST}`)).toMatch(/^HTTP\/1[.]1 200 [\s\S]*ok/);
    expect(seen.map(({ request }) => [request.method, request.url, request.headers.authorization])).toEqual([
      [method, path, AUTHORIZATION],
    ]);
    expect(world.rows).toMatchObject([{ verdict: "allowed", credentialIds: ["sesrsc_1"] }]);
  });
});

/** What looks like git with the repository to somebody, and is not. */
const OTHERS: [method: string, path: string][] = [
  ["GET", "/"],
  ["GET", "/owner/name"],
  ["GET", "/owner/name.git"],
  ["GET", "/owner/name/info/refs"],
  ["GET", "/owner/name/info/refs?service=git-upload-archive"],
  ["GET", "/owner/name/info/refs?service=git-upload-pack&service=git-upload-pack"],
  ["GET", "/owner/name/info/refs?service=git-upload-pack&x=1"],
  ["GET", "/owner/name/info/refs?x=1&service=git-upload-pack"],
  ["GET", "/owner/name/info/refs?service=git-upload-pack#/owner/other"],
  ["GET", "/owner/name/info/refs?service=git%2Dupload-pack"],
  ["GET", "/owner/name/info/refs;x?service=git-upload-pack"],
  ["GET", "/owner/name/info/refs/?service=git-upload-pack"],
  ["GET", "/owner/name/info//refs?service=git-upload-pack"],
  ["GET", "//owner/name/info/refs?service=git-upload-pack"],
  ["GET", "/owner/name/../other/info/refs?service=git-upload-pack"],
  ["GET", "/owner/other/../name/info/refs?service=git-upload-pack"],
  ["GET", "/owner/name/%2e%2e/other/info/refs?service=git-upload-pack"],
  ["GET", "/owner/name/..%2fother/info/refs?service=git-upload-pack"],
  ["GET", "/owner/name%2f../other/info/refs?service=git-upload-pack"],
  ["GET", "/owner/name\\..\\other/info/refs?service=git-upload-pack"],
  ["GET", "/owner/./name/info/refs?service=git-upload-pack"],
  ["GET", "/owner%2fname/info/refs?service=git-upload-pack"],
  ["GET", "/owner/nam%65/info/refs?service=git-upload-pack"],
  ["GET", "/owner/name%00/info/refs?service=git-upload-pack"],
  ["GET", "/OWNER/NAME/info/refs?service=git-upload-pack"],
  ["GET", "/owner/name.git.git/info/refs?service=git-upload-pack"],
  ["GET", "/owner/name.wiki.git/info/refs?service=git-upload-pack"],
  ["GET", "/owner/names/info/refs?service=git-upload-pack"],
  ["GET", "/owner/other/info/refs?service=git-upload-pack"],
  ["GET", "/other/name/info/refs?service=git-upload-pack"],
  ["GET", "/x/owner/name/info/refs?service=git-upload-pack"],
  ["GET", "/owner/name/raw/main/secret?service=git-upload-pack"],
  ["GET", "/owner/name/git-upload-pack"],
  ["POST", "/owner/name/info/refs?service=git-upload-pack"],
  ["POST", "/owner/name/git-upload-pack?x=1"],
  ["POST", "/owner/name/git-upload-pack/"],
  ["POST", "/owner/name/git-upload-archive"],
  ["POST", "/owner/name.git/info/lfs/objects/batch"],
  ["POST", "/owner/other/git-receive-pack"],
  ["PUT", "/owner/name/git-receive-pack"],
  ["HEAD", "/owner/name/info/refs?service=git-upload-pack"],
  ["OPTIONS", "/owner/name/git-upload-pack"],
];

describe("anything else at the host", () => {
  test.each(OTHERS)("gets no token: %s %s", async (method, path) => {
    const seen = await rememberHttp1(world);
    await say(`${method} ${path} HTTP/1.1\r\nHost: ${HOST}`);
    expect(seen.map(({ request }) => request.headers.authorization).filter((value) => value !== undefined)).toEqual([]);
    expect(world.rows.flatMap(({ credentialIds }) => credentialIds)).toEqual([]);
  });

  test.each(OTHERS)("does not go out where the host is open for git only: %s %s", async (method, path) => {
    closeHost();
    const seen = await rememberHttp1(world);
    const answer = await say(`${method} ${path} HTTP/1.1\r\nHost: ${HOST}`);
    expect(answer).toMatch(/^HTTP\/1[.]1 40[03] /);
    expect(seen).toEqual([]);
    expect(world.rows.filter(({ verdict }) => verdict !== "denied")).toEqual([]);
  });

  test.each([
    [
      "an upgrade to WebSocket",
      "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA",
    ],
    ["an upgrade to HTTP/2", "Connection: Upgrade, close\r\nUpgrade: h2c"],
  ])("gets none as %s either", async (_name, headers) => {
    const seen = await rememberHttp1(world);
    await say(`GET /owner/name/info/refs?service=git-upload-pack HTTP/1.1\r\nHost: ${HOST}\r\n${headers}`);
    expect(seen.map(({ request }) => request.headers.authorization).filter((value) => value !== undefined)).toEqual([]);
  });

  test("a method or path in a header or in the body is only that", async () => {
    const seen = await rememberHttp1(world);
    const url = "/owner/name/info/refs?service=git-upload-pack";
    const headers = [`X-HTTP-Method-Override: GET`, `X-Original-URL: ${url}`, `X-Rewrite-URL: ${url}`].join("\r\n");
    await say(
      `POST /owner/other HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n${headers}\r\nContent-Length: ${url.length}\r\n\r\n${url}`,
    );
    expect(seen[0]?.request.headers).not.toHaveProperty("authorization");
  });
});

test("the order of requests on one connection makes no difference", async () => {
  const seen = await rememberHttp1(world);
  const [git, other] = ["/owner/name/info/refs?service=git-upload-pack", "/owner/other"].map((path) => `https://${HOST}${path}`);
  await curl(world, git ?? "", other ?? "", git ?? "");
  expect(seen.map(({ request }) => request.headers.authorization)).toEqual([AUTHORIZATION, undefined, AUTHORIZATION]);
});

test("over HTTP/2, on both sides", async () => {
  const seen: unknown[] = [];
  await serveHttp2(world, (stream, headers) => {
    seen.push([headers[":path"], headers.authorization]);
    stream.respond({ ":status": 200, "x-echo": String(headers.authorization) });
    stream.end(headers.authorization ?? "none");
  });
  const tls = await openTunnel(world, ["h2"]);
  const session = connectHttp2(`https://${HOST}`, { createConnection: () => tls });
  world.closers.push(async () => session.destroy());
  const ask = async (path: string): Promise<string> => {
    const stream = session.request({ ":method": "GET", ":path": path });
    const [head] = await once(stream, "response");
    return `${JSON.stringify(head)} ${await textOf(stream)}`;
  };
  expect(await ask("/owner/name.git/info/refs?service=git-receive-pack")).toMatch(/sandbox0_hidden[\s\S]* sandbox0_hidden/);
  expect(await ask("/owner/name.git/info/refs?service=other")).toMatch(/undefined[\s\S]* none/);
  expect(seen).toEqual([
    ["/owner/name.git/info/refs?service=git-receive-pack", AUTHORIZATION],
    ["/owner/name.git/info/refs?service=other", undefined],
  ]);
});

test("a request that brings its own authorization keeps it, and its credentials are put in", async () => {
  world.policy = { ...policyWith(rule()), repositories: [repository()] };
  const seen = await rememberHttp1(world);
  await curl(world, "-u", `me:${PLACEHOLDER}`, `https://${HOST}/owner/name/info/refs?service=git-upload-pack`);
  expect(seen[0]?.request.headers.authorization).toBe(
    `Basic ${Buffer.from(`me:${world.secrets.get("vcrd_1")}`).toString("base64")}`,
  );
  await rowsCome();
  expect(world.rows).toMatchObject([{ credentialIds: ["vcrd_1"] }]);
});

test("each repository has its own token, one without has none", async () => {
  world.policy = {
    ...policyWith(),
    repositories: [
      repository(),
      repository({ id: "sesrsc_2", path: "/owner/second" }),
      repository({ id: "sesrsc_3", path: "/a/b" }),
    ],
  };
  world.secrets.set("sesrsc_2", "the-second-token");
  const seen = await rememberHttp1(world);
  for (const path of ["/owner/second", "/a/b"]) await curl(world, "-d", "x", `https://${HOST}${path}/git-upload-pack`);
  expect(seen.map(({ request }) => request.headers.authorization)).toEqual([
    `Basic ${Buffer.from("x-access-token:the-second-token").toString("base64")}`,
    undefined,
  ]);
});

test("of one repository at two places, the token of the one that has one is put in", async () => {
  world.policy = { ...policyWith(), repositories: [repository({ id: "sesrsc_0" }), repository()] };
  const seen = await rememberHttp1(world);
  await curl(world, "-d", "x", `https://${HOST}/owner/name/git-upload-pack`);
  expect(seen[0]?.request.headers.authorization).toBe(AUTHORIZATION);
  await rowsCome();
  expect(world.rows).toMatchObject([{ credentialIds: ["sesrsc_1"] }]);
});

test("a new token is put into the next request of an open connection", async () => {
  const seen = await rememberHttp1(world, (response) => response.end("ok"));
  const tls = await openTunnel(world, ["http/1.1"]);
  for (const [index, token] of ["token-before", "token-after"].entries()) {
    world.secrets.set("sesrsc_1", token);
    tls.write(`POST /owner/name/git-upload-pack HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 0\r\n\r\n`);
    await vi.waitFor(() => expect(seen).toHaveLength(index + 1), 60_000);
  }
  tls.destroy();
  expect(seen.map(({ request }) => Buffer.from(String(request.headers.authorization).slice(6), "base64").toString())).toEqual([
    "x-access-token:token-before",
    "x-access-token:token-after",
  ]);
});

test("a token that cannot be read fails the request", async () => {
  world.failing = new Error(`no key for ${TOKEN}`);
  const seen = await rememberHttp1(world);
  const answer = await say(`POST /owner/name/git-upload-pack HTTP/1.1\r\nHost: ${HOST}`);
  expect(answer).toMatch(/^HTTP\/1[.]1 503 /);
  expect(answer).not.toContain(TOKEN);
  expect(seen).toEqual([]);
});

test("what shows the token shows none, whichever request of the host it answers", async () => {
  await rememberHttp1(world, (response, { request }) => {
    const said = `${request.headers.authorization} ${TOKEN} ${encodeURIComponent(TOKEN)} ${JSON.stringify({ TOKEN })}`;
    response.setHeader("X-Echo", said);
    response.end(said);
  });
  for (const path of ["/owner/name/info/refs?service=git-upload-pack", "/elsewhere"]) {
    const { stdout } = await curl(world, "-i", `https://${HOST}${path}`);
    expect(stdout).not.toContain(TOKEN);
    expect(stdout).not.toContain(encodeURIComponent(TOKEN));
    expect(stdout).not.toContain(AUTHORIZATION.slice(6, -4));
    expect(stdout).toContain("sandbox0_hidden_repository_token");
  }
});

test("a redirect is the client's to follow, and what it asks for then is another request", async () => {
  const seen = await rememberHttp1(world, (response, { request }) => {
    if (request.url?.startsWith("/owner/name/")) response.writeHead(301, { location: `https://${HOST}/owner/moved/info/refs` });
    response.end();
  });
  await curl(world, "-L", `https://${HOST}/owner/name/info/refs?service=git-upload-pack`);
  expect(seen.map(({ request }) => [request.url, request.headers.authorization])).toEqual([
    ["/owner/name/info/refs?service=git-upload-pack", AUTHORIZATION],
    ["/owner/moved/info/refs", undefined],
  ]);
});

test("the repository of another host is another repository", async () => {
  world.policy = { ...policyWith(), repositories: [repository({ host: "git.example" })] };
  const seen = await rememberHttp1(world);
  await curl(world, `https://${HOST}/owner/name/info/refs?service=git-upload-pack`);
  expect(seen[0]?.request.headers).not.toHaveProperty("authorization");
});
