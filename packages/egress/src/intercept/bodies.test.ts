import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { dirname, join } from "node:path";
import { brotliCompressSync, constants, gzipSync, zstdCompressSync } from "node:zlib";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import {
  createWorld,
  curl,
  dial,
  HOST,
  listen,
  openTunnel,
  PLACEHOLDER,
  policyWith,
  rememberHttp1,
  rule,
  SECRET,
  serveHttp1,
  textOf,
  type World,
} from "./opened.fixture.ts";
import { BUFFERED_BODY_BYTES_MAX } from "./limits.ts";

let world: World;
beforeEach(async () => {
  world = await createWorld();
});
afterEach(() => world.close());

const URL = `https://${HOST}/a`;
const lastRow = (count = 1) =>
  vi.waitFor(
    () => {
      expect(world.rows).toHaveLength(count);
      return world.rows.at(-1);
    },
    { timeout: 30_000 },
  );

/** A file of the world's own that curl sends. */
async function fileOf(content: Buffer | string): Promise<string> {
  const path = join(dirname(world.caFile), "body");
  await writeFile(path, content);
  return path;
}

for (const version of ["--http1.1", "--http2"]) {
  test(`${version}: a body of known length has the right length afterwards`, async () => {
    const seen = await rememberHttp1(world);
    await curl(world, version, URL, "-d", `{"key":"${PLACEHOLDER}","again":"${PLACEHOLDER}"}`);
    const body = `{"key":"${SECRET}","again":"${SECRET}"}`;
    expect(seen[0]?.body).toBe(body);
    expect(seen[0]?.request.headers["content-length"]).toBe(String(body.length));
    expect(await lastRow()).toMatchObject({ bytesOut: body.length, bytesIn: 2, credentialIds: ["vcrd_1"] });
  });

  test(`${version}: a larger one goes out in chunks, in constant memory`, async () => {
    const seen = await rememberHttp1(world);
    const filler = "x".repeat(BUFFERED_BODY_BYTES_MAX);
    const file = await fileOf(filler + PLACEHOLDER + filler);
    await curl(world, version, URL, "-T", file);
    expect(seen[0]?.body === filler + SECRET + filler).toBe(true);
    expect(seen[0]?.request.headers).toMatchObject({ "transfer-encoding": "chunked" });
    expect(seen[0]?.request.headers["content-length"]).toBeUndefined();
  });

  test(`${version}: 100-continue is the server's to say, unless the body is read as a whole`, async () => {
    const seen = await rememberHttp1(world);
    world.policy = policyWith(rule({ inBody: false }));
    await curl(world, version, URL, "-d", PLACEHOLDER, "-H", "Expect: 100-continue");
    world.policy = policyWith(rule());
    await curl(world, version, URL, "-d", PLACEHOLDER, "-H", "Expect: 100-continue");
    expect(seen.map(({ request, body }) => [request.headers.expect, body])).toEqual([
      ["100-continue", PLACEHOLDER],
      [undefined, SECRET],
    ]);
  });
}

test("chunks stay chunks, and a placeholder across their border is found", async () => {
  const seen = await rememberHttp1(world);
  const tls = await openTunnel(world, ["http/1.1"]);
  const [head, tail] = [PLACEHOLDER.slice(0, 9), PLACEHOLDER.slice(9)];
  const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;
  tls.write(`GET / HTTP/1.1\r\nHost: ${HOST}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n${chunk(`a${head}`)}`);
  tls.write(`${chunk(`${tail}b`)}0\r\n\r\n`);
  expect(await textOf(tls)).toContain("200 OK");
  expect(seen[0]?.body).toBe(`a${SECRET}b`);
  expect(seen[0]?.request.headers["transfer-encoding"]).toBe("chunked");
});

test("a compressed body passes as it is", async () => {
  const seen = await rememberHttp1(world);
  const zipped = gzipSync(PLACEHOLDER);
  await curl(world, URL, "--data-binary", `@${await fileOf(zipped)}`, "-H", "Content-Encoding: gzip");
  expect(Buffer.from(seen[0]?.body ?? "", "latin1").equals(zipped)).toBe(true);
});

test("a request without a body has none afterwards, and an empty one is empty", async () => {
  const seen = await rememberHttp1(world);
  await curl(world, "--http1.1", URL);
  await curl(world, "--http1.1", URL, "-X", "POST");
  await curl(world, "--http1.1", URL, "-d", "");
  const framing = seen.map(({ request }) => [request.headers["content-length"], request.headers["transfer-encoding"]]);
  expect(framing).toEqual([
    [undefined, undefined],
    ["0", undefined],
    ["0", undefined],
  ]);
});

test("what the server compressed all the same is opened and covered", async () => {
  const plain = `before ${SECRET} after`;
  const coded = { gzip: gzipSync(plain), br: brotliCompressSync(plain), zstd: zstdCompressSync(plain) };
  let coding: keyof typeof coded = "gzip";
  const seen = await rememberHttp1(world, (response) => {
    response.writeHead(200, { "Content-Encoding": coding, "Content-Length": coded[coding].length });
    response.end(coded[coding]);
  });
  for (coding of ["gzip", "br", "zstd"] as const) {
    const { stdout } = await curl(world, URL, "-H", "Accept-Encoding: gzip, br, zstd");
    expect(stdout).toBe(`before ${PLACEHOLDER.padEnd(SECRET.length, "*")} after`);
  }
  expect(seen[0]?.request.headers["accept-encoding"]).toBe("identity");
});

test("what takes much memory to open is not opened", async () => {
  const params = { [constants.ZSTD_c_windowLog]: 27 };
  const bomb = zstdCompressSync(Buffer.alloc(130 * 1024 * 1024), { params });
  await rememberHttp1(world, (response) => response.writeHead(200, { "Content-Encoding": "zstd" }).end(bomb));
  await expect(curl(world, "--output", "/dev/null", URL)).rejects.toThrow("stream 1 was not closed cleanly");
  expect(await lastRow()).toMatchObject({ verdict: "failed", reason: "content_encoding" });
}, 60_000);

test("what cannot be opened is not shown", async () => {
  await rememberHttp1(world, (response) => response.writeHead(200, { "Content-Encoding": "secret-sauce" }).end(SECRET));
  const { stdout } = await curl(world, "-i", URL);
  expect(stdout).toMatch(/^HTTP\/2 502/);
  expect(stdout).not.toContain(SECRET);
  expect(await lastRow()).toMatchObject({ verdict: "failed", reason: "content_encoding" });
});

test("an echo in JSON, in a URL, in trailers, in an error page and across chunks is covered; lengths stay", async () => {
  const secret = 'canary/with "quotes" & more';
  world.secrets.set("vcrd_1", secret);
  const spellings = [secret, JSON.stringify(secret), JSON.stringify(secret).replaceAll("/", "\\/"), encodeURIComponent(secret)];
  const page = spellings.join("\n");
  await serveHttp1(world, (request, response) => {
    if (request.url === "/sized") return void response.writeHead(500, { "Content-Length": page.length }).end(page);
    response.writeHead(403, { Trailer: "X-Trailer", "X-Echo": secret });
    for (const character of page) response.write(character);
    response.addTrailers({ "X-Trailer": secret });
    response.end();
  });
  for (const path of ["/sized", "/chunked"]) {
    const tls = await openTunnel(world, ["http/1.1"]);
    tls.write(`GET ${path} HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`);
    const answer = (await textOf(tls)).replaceAll(/\r\n[0-9a-f]+\r\n/g, "");
    for (const spelling of spellings) expect(answer).not.toContain(spelling);
    expect(answer).toContain(PLACEHOLDER.slice(0, 10));
    if (path === "/sized") expect(answer.split("\r\n\r\n")[1]).toHaveLength(page.length);
    else expect(answer).toContain(`X-Trailer: ${PLACEHOLDER}`);
  }
});

test("a HEAD keeps the length that a GET would have, a 204 and a 304 have no body", async () => {
  await serveHttp1(world, (request, response) => {
    if (request.method === "HEAD") return void response.writeHead(200, { "Content-Length": 1234 }).end();
    response.writeHead(Number(request.url?.slice(1)), { ETag: '"x"' }).end();
  });
  expect((await curl(world, "-I", URL)).stdout).toMatch(/content-length: 1234/i);
  for (const status of [204, 304]) {
    expect((await curl(world, "-i", `https://${HOST}/${status}`)).stdout).toMatch(
      new RegExp(`^HTTP/2 ${status}[^]*etag: "x"`, "i"),
    );
  }
});

for (const version of ["--http1.1", "--http2"]) {
  test(`${version}: an answer before the body ends the request`, async () => {
    // One that closed with the rest of the body unread would reset the connection, and its answer could be lost on the way.
    await serveHttp1(world, (request, response) => {
      request.resume();
      response.writeHead(413).end("too large");
    });
    const file = await fileOf("x".repeat(8 * BUFFERED_BODY_BYTES_MAX));
    // Without a length: after such an answer curl 7.88 ends an HTTP/2 request short of the length that it has announced, which
    // is an error of the protocol, and sees the answer cut when that is found before its end.
    const { stdout } = await curl(world, version, "-i", URL, "-T", file, "-H", "Expect:", "-H", "Transfer-Encoding: chunked");
    expect(stdout).toMatch(/HTTP\/\S+ 413/);
    expect(await lastRow()).toMatchObject({ verdict: "allowed" });
  });

  test(`${version}: an answer that breaks off is seen to break off`, async () => {
    await serveHttp1(world, (_request, response) => {
      response.writeHead(200, { "Content-Length": 1000 });
      response.write("half", () => response.destroy());
    });
    await expect(curl(world, version, URL)).rejects.toThrow(/curl: \((?:18|56|92)\)/);
    expect(await lastRow()).toMatchObject({ verdict: "failed", reason: "upstream_broke_off" });
  });

  test(`${version}: no answer is a 502 that says so`, async () => {
    await serveHttp1(world, (request) => request.socket.destroy());
    const { stdout } = await curl(world, version, "-i", URL, "-d", PLACEHOLDER);
    expect(stdout).toMatch(/HTTP\/\S+ 502/);
    expect(stdout).toContain(`No answer from ${HOST}:443: ECONNRESET`);
    expect(await lastRow()).toMatchObject({ verdict: "failed", reason: "upstream_failed" });
  });

  test(`${version}: a client that leaves ends the request at the server`, async () => {
    let closed = false;
    await serveHttp1(world, (request, response) => {
      response.write("begun");
      request.socket.once("close", () => {
        closed = true;
      });
    });
    // Leaves when it cannot write what has come, however long that took.
    await expect(curl(world, version, URL, "--no-buffer", "-o", "/dev/full")).rejects.toThrow(/curl: \(23\)/);
    expect(await lastRow()).toMatchObject({ verdict: "allowed", reason: "client_left" });
    await vi.waitFor(() => expect(closed).toBe(true), { timeout: 30_000 });
  });
}

test("plain HTTP: secrets go only where they may be read on the way", async () => {
  const seen: string[] = [];
  const upstream = createServer((request, response) => {
    void textOf(request).then((body) => {
      seen.push(`${request.url} ${request.headers["x-key"]} ${body}`);
      // Whatever it was sent, it knows the secret.
      response.end(`${PLACEHOLDER} ${SECRET}`);
    });
  });
  world.upstreamPort = await listen(world, upstream);
  for (const secretsInClear of [false, true]) {
    const proxy = createServer((request, response) => {
      const target = { sandboxId: "sbx_1", host: HOST, port: 80, dial: () => dial(world) };
      void world.interceptor.forwardPlain(request, response, target, secretsInClear);
    });
    const port = await listen(world, proxy);
    const args = ["-H", `X-Key: ${PLACEHOLDER}`, "-d", PLACEHOLDER, `http://${HOST}/p?q`];
    const { stdout } = await curl(world, "--proxy", `http://127.0.0.1:${port}`, ...args);
    expect(stdout).toContain(PLACEHOLDER);
    expect(stdout).not.toContain(SECRET);
  }
  expect(seen).toEqual([`/p?q ${PLACEHOLDER} ${PLACEHOLDER}`, `/p?q ${SECRET} ${SECRET}`]);
  expect(world.rows.map(({ credentialIds, port }) => [credentialIds, port])).toEqual([
    [[], 80],
    [["vcrd_1"], 80],
  ]);
});

test("a download comes as it is", async () => {
  const content = Buffer.alloc(5_000_000, "0123456789abcdefghijklmnopqrstuvwxyz\n");
  await serveHttp1(world, (_request, response) => response.writeHead(200, { "Content-Length": content.length }).end(content));
  const { stdout } = await curl(world, URL);
  expect(createHash("sha256").update(stdout).digest("hex")).toBe(createHash("sha256").update(content).digest("hex"));
});
