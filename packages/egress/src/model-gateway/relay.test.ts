import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { until } from "@sandbox0/testkit";
import { afterEach, expect, test } from "vitest";
import { createGatewayStage, type GatewayStage, PROVIDER_KEY } from "./model-gateway.fixture.ts";

let provider: Server;
let stage: GatewayStage;
afterEach(async () => {
  await stage.close();
  provider.closeAllConnections();
  await new Promise((resolve) => provider.close(resolve));
});

/** A gateway before a provider that answers like this. */
async function start(answer: (...request: Parameters<RequestListener>) => unknown, query = ""): Promise<GatewayStage> {
  provider = createServer((req, res) => {
    // A fault of the stage is an answer that breaks off.
    Promise.try(() => answer(req, res)).catch((error: Error) => res.destroy(error));
  });
  provider.listen(0, "127.0.0.1");
  await once(provider, "listening");
  stage = await createGatewayStage({ baseUrl: `http://127.0.0.1:${(provider.address() as AddressInfo).port}${query}` });
  return stage;
}

const ask = () => stage.post("/model/v1/messages", { model: "claude-test", max_tokens: 1, messages: [] });
const EVENT = { "content-type": "text/event-stream" };

test("a client that reads nothing stops the provider, and then gets all of it", async () => {
  const [chunk, chunks] = [Buffer.from(`: ${"x".repeat(65_532)}\n\n`), 2_000];
  let sent = 0;
  let lastSentAt = performance.now();
  await start(async (_req, res) => {
    res.writeHead(200, EVENT);
    for (; sent < chunks; sent += 1) {
      lastSentAt = performance.now();
      if (!res.write(chunk)) await once(res, "drain");
    }
    res.end();
  });
  const answer = await ask();
  await until(() => sent > 0 && performance.now() - lastSentAt > 1_000);
  expect(sent).toBeLessThan(chunks / 4);
  let bytes = 0;
  for await (const part of answer.body ?? []) bytes += (part as Uint8Array).length;
  expect(bytes).toBe(chunk.length * chunks);
});

test("the key is taken out wherever the network cuts it", async () => {
  const text = `data: {"echo":"${PROVIDER_KEY}"}\n\n`;
  await start(async (_req, res) => {
    res.writeHead(200, EVENT);
    for (const byte of Buffer.from(text)) {
      res.write(Buffer.from([byte]));
      await new Promise(setImmediate);
    }
    res.end(PROVIDER_KEY.slice(0, -1));
  });
  expect(await (await ask()).text()).toBe(`data: {"echo":"[redacted]"}\n\n${PROVIDER_KEY.slice(0, -1)}`);
});

test("only the headers a harness needs come back, without the key", async () => {
  await start((_req, res) => {
    const headers = { "request-id": "req_1", "x-request-id": `of ${PROVIDER_KEY}`, "anthropic-ratelimit-requests-limit": "7" };
    const others = {
      "set-cookie": "a=b",
      "anthropic-organization-id": "org",
      "x-key": PROVIDER_KEY,
      connection: "close",
      server: "s",
    };
    res.writeHead(400, { "content-type": "application/json", "retry-after": "3", ...headers, ...others }).end("{}");
  });
  const answer = await ask();
  const names = [...answer.headers.keys()].sort();
  expect(names).toEqual([
    "anthropic-ratelimit-requests-limit",
    "connection",
    "content-type",
    "date",
    "keep-alive",
    "request-id",
    "retry-after",
    "transfer-encoding",
    "x-request-id",
  ]);
  expect(answer.headers.get("x-request-id")).toBe("of [redacted]");
  await answer.text();
});

test("a redirect is not followed, wherever it leads", async () => {
  let asked = 0;
  await start((req, res) => {
    asked += 1;
    res.writeHead(307, { location: `http://${req.headers.host}/v1/elsewhere` }).end();
  });
  const answer = await ask();
  expect([answer.status, await answer.text()]).toEqual([502, expect.stringContaining("redirect")]);
  expect(asked).toBe(1);
});

test("an answer that cannot be read, as it is compressed, does not go through", async () => {
  await start((_req, res) => res.writeHead(200, { "content-encoding": "gzip" }).end(PROVIDER_KEY));
  const answer = await ask();
  expect([answer.status, await answer.text()]).toEqual([502, expect.stringContaining("encoding")]);
});

test("a provider that speaks no HTTP is a 502", async () => {
  await start(() => undefined);
  provider.removeAllListeners("connection");
  provider.on("connection", (socket) => socket.end("SSH-2.0-OpenSSH_9.9\r\n", () => socket.destroySoon()));
  expect((await ask()).status).toBe(502);
});

test.each([
  ["", "?beta=true", "?beta=true"],
  ["", "", ""],
  ["", "?model=other&beta=true&key=k&x-portkey-custom-host=evil.example", "?beta=true"],
  ["", "?beta=false&beta=true%26key=k", ""],
  ["", "?", ""],
  ["?api-version=1", "?beta=true&api-version=2", "?api-version=1"],
])("before a provider with the query %j, of the query %j is passed on %j", async (own, sent, passed) => {
  const urls: (string | undefined)[] = [];
  await start((req, res) => {
    urls.push(req.url);
    res.writeHead(200, { "content-type": "application/json" }).end("{}");
  }, own);
  const body = { model: "claude-test", max_tokens: 1, messages: [] };
  expect((await stage.post(`/model/v1/messages${sent}`, body)).status).toBe(200);
  expect(urls).toEqual([`/v1/messages${passed}`]);
});
