import { spawn } from "node:child_process";
import { once } from "node:events";
import { Readable, type Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createWorld, HOST, openTunnel, serveHttp1, type World } from "./opened.fixture.ts";

const MIB = 1024 * 1024;
const STREAMED_BYTES = 200 * MIB;
/** Far below what is streamed; above what the collector lets lie about for a while. */
const GROWTH_BYTES_MAX = 150 * MIB;
/** Sockets' buffers, HTTP/2's windows and those of the streams between: what may be on the way when nobody reads. */
const UNREAD_BYTES_MAX = 32 * MIB;
const CHUNK = Buffer.alloc(64 * 1024, "0123456789abcdef");

let world: World;
beforeEach(async () => {
  world = await createWorld();
});
afterEach(() => world.close());

/** Runs `work`, and says by how much this process grew meanwhile. */
async function growthDuring(work: () => Promise<void>): Promise<number> {
  const before = process.memoryUsage().rss;
  let most = before;
  const timer = setInterval(() => {
    most = Math.max(most, process.memoryUsage().rss);
  }, 20);
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
