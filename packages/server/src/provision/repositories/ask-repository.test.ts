import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { EgressError } from "@sandbox0/egress";
import { afterEach, expect, test } from "vitest";
import { askRepository } from "./ask-repository.ts";

const TOKEN = "canary-8c11-token";
let server: Server | undefined;
const never = new AbortController().signal;

afterEach(async () => {
  server?.closeAllConnections();
  if (server) await new Promise((resolve) => server?.close(resolve));
  server = undefined;
});

async function ask(answer: RequestListener, token: string | null = TOKEN) {
  server = createServer(answer).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const remote = { url: `http://127.0.0.1:${port}/owner/name`, host: "127.0.0.1", port, path: "/owner/name" };
  return askRepository(fetch, { remote, token }, never);
}

const advertisement: RequestListener = (_request, response) => {
  response
    .writeHead(200, { "content-type": "application/x-git-upload-pack-advertisement" })
    .end("001e# service=git-upload-pack\n");
};

test("asks as git does, with the token, and finds nothing in the way", async () => {
  const seen: unknown[] = [];
  const failure = await ask((request, response) => {
    seen.push([request.method, request.url, request.headers.authorization, request.headers["git-protocol"]]);
    advertisement(request, response);
  });
  expect(failure).toBeNull();
  const authorization = `Basic ${Buffer.from(`x-access-token:${TOKEN}`).toString("base64")}`;
  expect(seen).toEqual([["GET", "/owner/name/info/refs?service=git-upload-pack", authorization, "version=2"]]);
});

test("without a token asks as anybody", async () => {
  const failure = await ask((request, response) => {
    if (request.headers.authorization === undefined) advertisement(request, response);
    else response.writeHead(500).end();
  }, null);
  expect(failure).toBeNull();
});

test.each([
  [401, {}, "repository_authentication_error", "does not take the authorization_token"],
  [403, {}, "repository_forbidden_error", "403"],
  [404, {}, "repository_not_found_error", "404"],
  [410, {}, "repository_not_found_error", "410"],
  [301, { location: "https://elsewhere.example/owner/new" }, "repository_not_found_error", "has moved"],
  [429, {}, "repository_clone_error", "429"],
  [500, {}, "repository_clone_error", "500"],
  [200, { "content-type": "text/html" }, "repository_clone_error", "does not speak"],
])("%s is %s, and what the server says beside it is not passed on", async (status, headers, problem, why) => {
  const failure = await ask((request, response) => {
    response.writeHead(status, headers as Record<string, string>).end(`you sent ${request.headers.authorization}`);
  });
  expect(failure).toMatchObject({ problem, why: expect.stringContaining(why) });
  expect(failure?.why).not.toMatch(/you sent|elsewhere[.]example|canary/);
});

test("401 without a token says that one is needed", async () => {
  expect(await ask((_request, response) => response.writeHead(401).end(), null)).toMatchObject({
    problem: "repository_authentication_error",
    why: expect.stringContaining("wants an authorization_token"),
  });
});

test("follows no redirect", async () => {
  const urls: (string | undefined)[] = [];
  await ask((request, response) => {
    urls.push(request.url);
    response.writeHead(302, { location: "/owner/other/info/refs?service=git-upload-pack" }).end();
  });
  expect(urls).toHaveLength(1);
});

test("a server that cannot be reached, or may not be", async () => {
  const remote = { url: "https://git.example/a/b", host: "git.example", port: 443, path: "/a/b" };
  const failing = (error: Error) => askRepository(() => Promise.reject(error), { remote, token: TOKEN }, never);
  const denied = new EgressError("denied", "address_not_public", "git.example resolves to no public address");
  expect(await failing(denied)).toMatchObject({
    problem: "repository_clone_error",
    why: expect.stringContaining(denied.message),
  });
  const refused = new TypeError(`fetch failed with ${TOKEN}`, { cause: Object.assign(new Error("x"), { code: "ECONNREFUSED" }) });
  expect(await failing(refused)).toMatchObject({ why: "its server could not be asked: ECONNREFUSED" });
});
