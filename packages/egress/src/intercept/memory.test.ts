import { spawn } from "node:child_process";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { Readable, type Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { STREAM_WINDOW_BYTES } from "./http2-upstream.ts";
import { CONCURRENT_STREAMS_MAX, HTTP2_CONNECTIONS_PER_SANDBOX_MAX } from "./limits.ts";
import { createWorld, HOST, openTunnel, PLACEHOLDER, serveHttp1, serveHttp2, type World } from "./opened.fixture.ts";

const MIB = 1024 * 1024;
const STREAMED_BYTES = 200 * MIB;
/** Far below what is streamed; what is on the way is a small part of it. */
const GROWTH_BYTES_MAX = 150 * MIB;
/** Sockets' buffers, HTTP/2's windows and those of the streams between: what may be on the way when nobody reads. */
const UNREAD_BYTES_MAX = 32 * MIB;
const CHUNK = Buffer.alloc(64 * 1024, "0123456789abcdef");

let world: World;
beforeEach(async () => {
  world = await createWorld();
});
afterEach(() => world.close());

/** What this process really keeps: the collector has been. */
function bytesKept(): number {
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** Runs `work`, and says by how much more this process kept meanwhile. */
async function growthDuring(work: () => Promise<void>): Promise<number> {
  const before = bytesKept();
  let most = before;
  const timer = setInterval(() => {
    most = Math.max(most, bytesKept());
  }, 500);
  await work();
  clearInterval(timer);
  return most - before;
}

/** Not in memory: made as it is read. */
const manyBytes = (): Readable =>
  Readable.from(
    (function* () {
      for (let sent = 0; sent < STREAMED_BYTES; sent += CHUNK.length) yield CHUNK;
    })(),
  );

for (const version of ["--http1.1", "--http2"]) {
  test(`${version}: 200 MB each way, looked through, in bounded memory`, async () => {
    let received = 0;
    await serveHttp1(world, (request, response) => {
      if (request.method === "GET") return void pipeline(manyBytes(), response);
      request.on("data", (chunk: Buffer) => {
        received += chunk.length;
      });
      request.once("end", () => response.end("ok"));
    });
    // The client is a process of its own: its memory is not ours.
    const client = async (...args: string[]): Promise<void> => {
      const through = ["-sS", "--proxy", `http://127.0.0.1:${world.proxyPort}`, "--cacert", world.caFile, version];
      const child = spawn("curl", [...through, "-o", "/dev/null", `https://${HOST}/`, ...args], {
        stdio: ["pipe", "ignore", "inherit"],
      });
      if (args.length > 0) await pipeline(manyBytes(), child.stdin);
      else child.stdin.end();
      const [code] = child.exitCode === null ? await once(child, "exit") : [child.exitCode];
      expect(code).toBe(0);
    };
    expect(await growthDuring(() => client())).toBeLessThan(GROWTH_BYTES_MAX);
    expect(await growthDuring(() => client("-T", "-"))).toBeLessThan(GROWTH_BYTES_MAX);
    expect(received).toBe(STREAMED_BYTES);
    await vi.waitFor(() => expect(world.rows).toHaveLength(2), { timeout: 30_000 });
    expect(world.rows.map(({ bytesIn, bytesOut }) => Math.max(bytesIn, bytesOut))).toEqual([STREAMED_BYTES, STREAMED_BYTES]);
  }, 300_000);
}

/** Writes without end; resolves with how much it took when it has taken nothing for a while. */
async function writeUntilStuck(into: Writable): Promise<number> {
  let taken = 0;
  let before = -1;
  const write = (): void => {
    while (!into.destroyed && taken < STREAMED_BYTES && into.write(CHUNK)) taken += CHUNK.length;
  };
  into.on("drain", write);
  write();
  await vi.waitFor(
    () => {
      const stuck = taken === before;
      before = taken;
      expect(stuck).toBe(true);
    },
    { interval: 1_000, timeout: 60_000 },
  );
  return taken;
}

test("a server is held back when the client does not read, a client when the server does not", async () => {
  let taken: Promise<number> | null = null;
  await serveHttp1(world, (request, response) => {
    if (request.method === "GET") taken = writeUntilStuck(response);
  });
  const reader = await openTunnel(world, ["http/1.1"]);
  reader.pause();
  reader.write(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
  await vi.waitFor(() => expect(taken).not.toBeNull(), { timeout: 30_000 });
  expect(await taken).toBeLessThan(UNREAD_BYTES_MAX);
  const writer = await openTunnel(world, ["http/1.1"]);
  writer.write(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: ${STREAMED_BYTES}\r\n\r\n`);
  expect(await writeUntilStuck(writer)).toBeLessThan(UNREAD_BYTES_MAX);
});

for (const framing of ["length", "chunks"]) {
  test(`a body of nothing but a long secret's placeholder (${framing}) is made as the server reads it`, async () => {
    const secretBytes = 64 * 1024;
    const count = 5_000;
    world.secrets.set("vcrd_1", "s".repeat(secretBytes));
    const asked = Promise.withResolvers<IncomingMessage>();
    await serveHttp1(world, (request, response) => {
      if (request.method === "GET") return void response.end("warm");
      asked.resolve(request);
      request.once("end", () => response.end("ok"));
    });
    const tls = await openTunnel(world, ["http/1.1"]);
    // What is loaded for the first request of all is not of this one.
    tls.write(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
    await once(tls, "data");
    const before = bytesKept();
    const body = PLACEHOLDER.repeat(count);
    const head = `POST / HTTP/1.1\r\nHost: ${HOST}\r\n`;
    if (framing === "length") tls.write(`${head}Content-Length: ${body.length}\r\n\r\n${body}`);
    else tls.write(`${head}Transfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`);
    const request = await asked.promise;
    expect(request.headers["content-length"]).toBe(framing === "length" ? String(count * secretBytes) : undefined);
    let received = 0;
    let most = 0;
    for await (const chunk of request as AsyncIterable<Buffer>) {
      // Now and then: it takes time.
      if (received % (32 * MIB) < chunk.length) most = Math.max(most, bytesKept() - before);
      received += chunk.length;
    }
    expect(received).toBe(count * secretBytes);
    expect(most).toBeLessThan(UNREAD_BYTES_MAX);
  });
}

test("HTTP/2: all connections of a sandbox, with all their streams and none of them read, hold their windows and no more", async () => {
  let taken = 0;
  const server = await serveHttp2(world, (stream) => {
    stream.on("error", () => stream.destroy());
    stream.respond({ ":status": 200 });
    const write = (): void => {
      do taken += CHUNK.length;
      while (stream.write(CHUNK));
    };
    stream.on("drain", write);
    write();
  });
  server.on("session", (session) => session.on("error", () => session.destroy()));
  const before = bytesKept();
  for (let at = 0; at < HTTP2_CONNECTIONS_PER_SANDBOX_MAX; at += 1) {
    const socket = await openTunnel(world, ["h2"]);
    const session = connectHttp2(`https://${HOST}`, { createConnection: () => socket });
    session.on("error", () => session.destroy());
    world.closers.push(async () => session.destroy());
    for (let stream = 0; stream < CONCURRENT_STREAMS_MAX; stream += 1) {
      // Paused: nobody listens to its data.
      session.request({ ":path": "/" }).on("error", () => undefined);
    }
  }
  let last = -1;
  await vi.waitFor(
    () => {
      const stuck = taken === last;
      last = taken;
      expect(stuck).toBe(true);
    },
    { interval: 2_000, timeout: 120_000 },
  );
  const streams = HTTP2_CONNECTIONS_PER_SANDBOX_MAX * CONCURRENT_STREAMS_MAX;
  expect(taken).toBeGreaterThan(streams * STREAM_WINDOW_BYTES);
  // Besides the window, what the streams between keep, and the two ends that are this test's. It is freed beside us.
  await vi.waitFor(() => expect(bytesKept() - before).toBeLessThan(streams * 4 * STREAM_WINDOW_BYTES), { timeout: 60_000 });
}, 300_000);
