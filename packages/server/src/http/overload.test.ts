import { randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";
import { gzipSync } from "node:zlib";
import { until } from "@sandbox0/testkit";
import { fastify } from "fastify";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { TEST_KEY, type TestServer, startTestServer } from "./http-server.fixture.ts";
import { addJsonParser } from "./json-body.ts";
import { addOverloadGuard, BODY_BYTES_IN_FLIGHT_MAX } from "./overload.ts";
import { BODY_BYTES_MAX } from "./request-errors.ts";

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(async () => {
  expect(server.bugs.splice(0)).toEqual([]);
  await server.close();
});

const BODIES_MAX = BODY_BYTES_IN_FLIGHT_MAX / BODY_BYTES_MAX;
const AGENT = { name: "a", model: "claude-sonnet-5-5" };
/** The number of requests that the server answers, as it says itself. */
const inFlight = async (): Promise<number> => {
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  return Number(/^sandbox0_http_requests_in_flight (\d+)$/m.exec(metrics)?.[1]);
};

async function holdBodies(count: number, bytes: number, encoding: string): Promise<Socket[]> {
  const head = `POST /v1/agents HTTP/1.1\r\nhost: x\r\nx-api-key: ${TEST_KEY}\r\ncontent-type: application/json\r\n`;
  const sockets = Array.from({ length: count }, () => {
    const socket = connect(Number(new URL(server.url).port), "127.0.0.1");
    socket.write(`${head}content-encoding: ${encoding}\r\ncontent-length: ${bytes}\r\n\r\n`);
    return socket;
  });
  onTestFinished(() => letGo(sockets));
  await until(async () => (await inFlight()) === count);
  return sockets;
}

async function letGo(sockets: readonly Socket[]): Promise<void> {
  for (const socket of sockets) socket.destroy();
  await until(async () => (await inFlight()) === 0);
}

const create = (body: Buffer | object, headers: Record<string, string> = {}) =>
  server.request("POST", "/v1/agents", { body, headers });

test.each([
  ["gzip", 33_000],
  ["deflate", 33_000],
  ["br", 30],
])("bodies in %s count as what they may become, and one too many is a typed overload", async (encoding, bytes) => {
  const sockets = await holdBodies(BODIES_MAX, bytes, encoding);
  for (const refused of [await create(AGENT), await create(gzipSync(JSON.stringify(AGENT)), { "content-encoding": "gzip" })]) {
    const { status, headers, body } = refused;
    expect([status, body.error?.type, headers.get("retry-after")]).toEqual([529, "overloaded_error", "1"]);
  }
  // What brings no body is served all the same, whatever it says of one.
  expect((await server.request("GET", "/v1/agents", { headers: { "content-encoding": "gzip" } })).status).toBe(200);
  await letGo(sockets);
  expect((await create(gzipSync(JSON.stringify(AGENT)), { "content-encoding": "gzip" })).status).toBe(200);
});

test("bodies as they are count as they are, and so do many small ones in gzip", async () => {
  await holdBodies(BODIES_MAX, 33_000, "identity");
  const small = gzipSync(JSON.stringify(AGENT));
  const answers = await Promise.all(Array.from({ length: 30 }, () => create(small, { "content-encoding": "gzip" })));
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
});

test("a small body in gzip that becomes a large one is read whole", async () => {
  const large = JSON.stringify({ ...AGENT, name: "large" }) + " ".repeat(30 * 1024 * 1024);
  expect((await create(gzipSync(large), { "content-encoding": "gzip" })).body.name).toBe("large");
});

test("a body in gzip counts as what it became once it is decoded, for as long as its request takes", async () => {
  const app = fastify();
  onTestFinished(() => app.close());
  addJsonParser(app);
  addOverloadGuard(app, () => false);
  const { promise: end, resolve: letEnd } = Promise.withResolvers<string>();
  let running = 0;
  app.post("/", () => {
    running += 1;
    return end;
  });
  const payload = gzipSync(JSON.stringify(randomBytes(40_000).toString("hex")));
  const headers = { "content-type": "application/json", "content-encoding": "gzip" };
  const answers: Promise<{ statusCode: number }>[] = [];
  let answered = 0;
  for (let n = 1; n <= BODIES_MAX + 4; n++) {
    answers.push(app.inject({ method: "POST", url: "/", headers, payload }).finally(() => (answered += 1)));
    await until(() => running + answered === n);
  }
  letEnd("");
  expect((await Promise.all(answers)).map(({ statusCode }) => statusCode)).toEqual(answers.map(() => 200));
});
