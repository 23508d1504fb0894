import { once } from "node:events";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, expect, test, vi } from "vitest";
import { createGatewayStage, type GatewayStage } from "./model-gateway.fixture.ts";
import { MODEL_GATEWAY_LIMITS } from "./limits.ts";

const MIB = 1024 * 1024;
const { requestsPerSandboxMax, heldAnswersBytesPerSandboxMax } = MODEL_GATEWAY_LIMITS;
/** Of this process besides what is counted: buffers of the sockets, and of the test itself. */
const SLACK_BYTES = 64 * MIB;
/** Of each answer, without an end: all together are four times what one sandbox may have held. */
const ANSWER_BYTES = (4 * heldAnswersBytesPerSandboxMax) / requestsPerSandboxMax;

let provider: Server;
let stage: GatewayStage;
afterEach(async () => {
  await stage.close();
  provider.closeAllConnections();
  await new Promise((resolve) => provider.close(resolve));
});

/** A provider that somebody who means no good has named in a vault. */
async function start(type: string, answer: (res: ServerResponse) => Promise<void>): Promise<void> {
  provider = createServer((req, res) => {
    req.resume();
    res.writeHead(200, { "content-type": type }).flushHeaders();
    // Ends with the connection.
    answer(res).catch(() => res.destroy());
  });
  provider.listen(0, "127.0.0.1");
  await once(provider, "listening");
  stage = await createGatewayStage({ baseUrl: `http://127.0.0.1:${(provider.address() as AddressInfo).port}` });
}

const endless = (chunk: Buffer): Readable =>
  Readable.from(
    (function* () {
      for (;;) yield chunk;
    })(),
  );

/** What this process really keeps: the collector has been. */
function bytesKept(): number {
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** Holds that this process keeps so little more when so many answers have come as far as `bytes`. None of them ends before. */
async function expectGrowth(growthMax: number, requests: number, bytes: number): Promise<void> {
  const before = bytesKept();
  const open: AsyncIterator<unknown>[] = [];
  const readOne = async (): Promise<void> => {
    const answer = await stage.post("/model/v1/messages", { model: "claude-test", max_tokens: 1, messages: [] });
    const parts = (answer.body as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
    open.push(parts);
    for (let read = 0; read < bytes; ) {
      const { value, done } = await parts.next();
      if (done) throw new Error(`the answer ended after ${read} bytes`);
      read += value.length;
    }
  };
  await Promise.all(Array.from({ length: requests }, readOne));
  // What is kept no more is freed beside us.
  await vi.waitFor(() => expect(bytesKept() - before).toBeLessThan(growthMax), { timeout: 60_000 });
  await Promise.all(open.map((parts) => parts.return?.()));
}

test.each(["text/event-stream", "application/json"])(
  "endless answers (%s) of a sandbox are held up to its budget",
  async (type) => {
    const chunk = Buffer.alloc(64 * 1024, "x");
    await start(type, (res) => pipeline(endless(chunk), res));
    await expectGrowth(heldAnswersBytesPerSandboxMax + SLACK_BYTES, requestsPerSandboxMax, ANSWER_BYTES);
  },
);

test("what is held takes about its own length, however small its pieces", async () => {
  const chunk = Buffer.from("1\r\nx\r\n".repeat(10_000));
  await start("text/event-stream", async ({ socket }) => {
    if (socket) await pipeline(endless(chunk), socket);
  });
  const bytes = 2 * MIB;
  await expectGrowth(4 * bytes + SLACK_BYTES, 1, bytes);
});
