import { afterEach, beforeEach, expect, test, vi } from "vitest";
import {
  createWorld,
  curl,
  HOST,
  openTunnel,
  PLACEHOLDER,
  policyWith,
  rememberHttp1,
  rule,
  SECRET,
  textOf,
  type World,
} from "./opened.fixture.ts";

let world: World;
beforeEach(async () => {
  world = await createWorld();
});
afterEach(() => world.close());

const URL = `https://${HOST}/a`;
const rowsCome = (count: number) => vi.waitFor(() => expect(world.rows).toHaveLength(count), { timeout: 30_000 });
const basic = (text: string): string => `Basic ${Buffer.from(text).toString("base64")}`;

/** Sends these bytes through TLS and reads to the end. */
async function exchangeRaw(text: string): Promise<string> {
  const tls = await openTunnel(world, ["http/1.1"]);
  tls.write(text);
  return textOf(tls);
}

for (const version of ["--http1.1", "--http2"]) {
  test(`curl ${version}: a header gets the secret, and what comes back of it is covered`, async () => {
    const seen = await rememberHttp1(world, (response, { request }) => {
      response.setHeader("X-Echo", String(request.headers.authorization));
      response.statusCode = 404;
      response.end(JSON.stringify(request.headers));
    });
    const { stdout } = await curl(
      world,
      version,
      "-i",
      `${URL}?key=${PLACEHOLDER}`,
      "-H",
      `Authorization: Bearer ${PLACEHOLDER}`,
    );
    expect(seen[0]?.request.headers.authorization).toBe(`Bearer ${SECRET}`);
    // The URL is neither header nor body.
    expect(seen[0]?.request.url).toBe(`/a?key=${PLACEHOLDER}`);
    expect(stdout).not.toContain(SECRET);
    expect(stdout).toMatch(new RegExp(`x-echo: Bearer ${PLACEHOLDER}\r`, "i"));
    expect(stdout).toMatch(/^HTTP\/\S+ 404/);
    await rowsCome(1);
    expect(world.rows[0]).toMatchObject({
      ...{ verdict: "allowed", reason: null, host: HOST, port: 443, workspaceId: "wrkspc_1", sessionId: "sesn_1" },
      credentialIds: ["vcrd_1"],
    });
    expect(world.rows[0]?.bytesIn).toBeGreaterThan(100);
  });
}

test("inside Basic, and the Basic that an echo shows is the sandbox's own", async () => {
  const seen = await rememberHttp1(world, (response, { request }) => response.end(request.headers.authorization));
  const { stdout } = await curl(world, URL, "-u", `user:${PLACEHOLDER}`);
  expect(seen[0]?.request.headers.authorization).toBe(basic(`user:${SECRET}`));
  expect(stdout).not.toContain(Buffer.from(SECRET).toString("base64").slice(8, 40));
  expect(stdout.startsWith(basic(`user:${PLACEHOLDER}`).replace(/=+$/, ""))).toBe(true);
});

test("only in the locations of the credential", async () => {
  world.policy = policyWith(rule({ inBody: false }));
  const seen = await rememberHttp1(world);
  await curl(world, URL, "-H", `X-Key: ${PLACEHOLDER}`, "-d", PLACEHOLDER);
  world.policy = policyWith(rule({ inHeader: false }));
  await curl(world, URL, "-H", `X-Key: ${PLACEHOLDER}`, "-d", PLACEHOLDER);
  expect(seen.map(({ request, body }) => [request.headers["x-key"], body])).toEqual([
    [SECRET, PLACEHOLDER],
    [PLACEHOLDER, SECRET],
  ]);
});

test("only for the hosts of the credential; elsewhere the placeholder goes out as it is", async () => {
  world.policy = policyWith(rule({ hosts: ["other.example.com", "*.api.example.com"] }));
  const seen = await rememberHttp1(world);
  await curl(world, URL, "-H", `X-Key: ${PLACEHOLDER}`);
  expect(seen[0]?.request.headers["x-key"]).toBe(PLACEHOLDER);
  await rowsCome(1);
  expect(world.rows[0]?.credentialIds).toEqual([]);
});

test("rotation, archive and policy reach a connection that is open", async () => {
  const seen = await rememberHttp1(world);
  const tls = await openTunnel(world, ["http/1.1"]);
  const answers: string[] = [];
  tls.on("data", (chunk: Buffer) => answers.push(chunk.toString().toLowerCase()));
  const ask = async (count: number): Promise<void> => {
    tls.write(`GET / HTTP/1.1\r\nHost: ${HOST}\r\nX-Key: ${PLACEHOLDER}\r\n\r\n`);
    await rowsCome(count);
  };
  await ask(1);
  world.secrets.set("vcrd_1", "a-rotated-secret");
  await ask(2);
  world.secrets.delete("vcrd_1");
  await ask(3);
  expect(seen.map(({ request }) => request.headers["x-key"])).toEqual([SECRET, "a-rotated-secret", PLACEHOLDER]);
  // One connection of the client, one to the upstream.
  expect(world.dials).toBe(1);
  world.policy = { ...policyWith(rule()), networking: { type: "limited", allowedHosts: [] } };
  await ask(4);
  await vi.waitFor(() => expect(answers.join("")).toContain("x-sandbox0-denied: host_not_allowed"), { timeout: 30_000 });
  expect(world.rows[3]).toMatchObject({ verdict: "denied", reason: "host_not_allowed" });
  world.policy = null;
  await ask(5);
  expect(world.rows[4]).toMatchObject({ verdict: "denied", sessionId: null });
  expect(seen).toHaveLength(3);
});

test("a request for another host on this connection is refused", async () => {
  const seen = await rememberHttp1(world);
  for (const header of ["Host: other.example.com", `Host: ${HOST}.evil.io`, `Host: ${HOST}:8443`]) {
    const { stdout } = await curl(world, "--http1.1", "-i", URL, "-H", header);
    expect(stdout).toMatch(/^HTTP\/1.1 421 /);
  }
  const { stdout } = await curl(world, "--http2", "-i", URL, "-H", "Host: other.example.com");
  expect(stdout).toMatch(/^HTTP\/2 421 /);
  await rowsCome(4);
  expect(world.rows.every(({ verdict, reason }) => verdict === "denied" && reason === "host_mismatch")).toBe(true);
  expect(seen).toHaveLength(0);
  expect((await curl(world, "--http1.1", URL, "-H", "Host: API.Example.com.:443")).stdout).toBe("ok");
});

const smuggled: [string, string][] = [
  ["two Hosts", `GET / HTTP/1.1\r\nHost: ${HOST}\r\nHost: ${HOST}\r\n\r\n`],
  ["no Host", "GET / HTTP/1.1\r\nConnection: close\r\n\r\n"],
  ["absolute form", `GET https://other.example.com/ HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`],
  ["two lengths", `POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde`],
  ["length and chunks", `POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ["another coding", `POST / HTTP/1.1\r\nHost: ${HOST}\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`],
  ["no number", `POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: +4\r\n\r\nabcd`],
  ["a space before the colon", `GET / HTTP/1.1\r\nHost : ${HOST}\r\n\r\n`],
  ["a folded header", `GET / HTTP/1.1\r\nHost: ${HOST}\r\nX-A: b\r\n c\r\n\r\n`],
  ["CONNECT", `CONNECT other.example.com:443 HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`],
  ["no HTTP", "hello\r\n\r\n"],
];
for (const [name, text] of smuggled) {
  test(`not passed on as it is written: ${name}`, async () => {
    const seen = await rememberHttp1(world);
    const close = text.includes("Connection:") ? text : text.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    const answer = await exchangeRaw(close);
    await rowsCome(1);
    expect(answer).toMatch(/^HTTP\/1.1 (?:400|421) /);
    expect(world.rows[0]?.verdict).toBe("denied");
    expect(seen).toHaveLength(0);
  });
}

test("headers of one hop stay here, and those that Connection names", async () => {
  const seen = await rememberHttp1(world);
  const hop = [
    "Connection: X-Hop, close",
    "X-Hop: 1",
    "Keep-Alive: 5",
    "Proxy-Authorization: Basic eA==",
    "Upgrade: h2c",
    "X-End: 2",
  ];
  await exchangeRaw(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n${hop.join("\r\n")}\r\n\r\n`);
  expect(Object.keys(seen[0]?.request.headers ?? {}).sort()).toEqual(["accept-encoding", "connection", "host", "x-end"]);
});

test("what the policy source cannot say means no way out, and its words go nowhere", async () => {
  const seen = await rememberHttp1(world);
  world.failing = new Error(`cannot decrypt ${SECRET}`);
  const { stdout } = await curl(world, "-i", URL, "-H", `X-Key: ${PLACEHOLDER}`);
  expect(stdout).toMatch(/^HTTP\/2 503/);
  await rowsCome(1);
  expect(world.rows[0]).toMatchObject({ verdict: "failed", reason: "secret_unavailable" });
  expect(stdout + JSON.stringify(world.rows)).not.toContain(SECRET);
  expect(seen).toHaveLength(0);
});

for (const version of ["--http1.1", "--http2"]) {
  test(`${version}: headers that secrets would make longer than headers may be are not sent`, async () => {
    const seen = await rememberHttp1(world);
    world.secrets.set("vcrd_1", "s".repeat(12_000));
    const many = Array.from({ length: 8 }, (_, index) => ["-H", `X-${index}: ${PLACEHOLDER}`]).flat();
    const { stdout } = await curl(world, version, "-i", URL, ...many);
    expect(stdout).toMatch(/^HTTP\/\S+ 431 /);
    expect(stdout).toMatch(/x-sandbox0-denied: headers_too_large/i);
    expect(stdout).toContain("larger than 65536 bytes");
    await curl(world, version, URL, "-H", `X-Key: ${PLACEHOLDER}`);
    expect(seen.map(({ request }) => request.headers["x-key"]?.length)).toEqual([12_000]);
  });
}

test("a secret that would begin a header of its own is not sent, nor shown", async () => {
  const seen = await rememberHttp1(world);
  world.secrets.set("vcrd_1", `${SECRET}\r\nX-Injected: 1`);
  for (const version of ["--http1.1", "--http2"]) {
    const { stdout } = await curl(world, version, "-i", URL, "-H", `X-Key: ${PLACEHOLDER}`);
    expect(stdout).toMatch(/^HTTP\/\S+ 502/);
    expect(stdout).not.toContain(SECRET);
  }
  await rowsCome(2);
  expect(world.rows[0]).toMatchObject({ verdict: "failed", reason: "secret_not_a_header_value" });
  expect(seen).toHaveLength(0);
});

test("an upstream without a trusted certificate gets nothing", async () => {
  const seen = await rememberHttp1(world);
  world.distrust();
  const { stdout } = await curl(world, "-i", URL, "-H", `X-Key: ${PLACEHOLDER}`);
  expect(stdout).toMatch(/^HTTP\/2 502/);
  await rowsCome(1);
  expect(world.rows[0]).toMatchObject({ verdict: "failed", reason: "upstream_tls", credentialIds: ["vcrd_1"] });
  expect(seen).toHaveLength(0);
});

test("a handshake that names another host is refused with an alert", async () => {
  await expect(openTunnel(world, ["h2"], { servername: "other.example.com" })).rejects.toThrow(/unrecognized.name/i);
  await rowsCome(1);
  expect(world.rows[0]).toMatchObject({ verdict: "denied", reason: "sni_mismatch" });
});

test("a client that does not trust us leaves a row", async () => {
  await expect(curl(world, "--cacert", "/dev/null", URL)).rejects.toThrow();
  await rowsCome(1);
  expect(world.rows[0]).toMatchObject({ verdict: "failed", reason: "client_tls" });
});

test("an address has a certificate of its own", async () => {
  world.policy = policyWith(rule({ hosts: ["127.0.0.1"] }));
  const seen = await rememberHttp1(world);
  await curl(world, "https://127.0.0.1/", "-H", `X-Key: ${PLACEHOLDER}`);
  expect(seen[0]?.request.headers).toMatchObject({ host: "127.0.0.1", "x-key": SECRET });
});
