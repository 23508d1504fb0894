import { once } from "node:events";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { afterEach, expect, test } from "vitest";
import { createProviderHttp, PROVIDER_TIMEOUTS, type ProviderHttp } from "./provider-http.ts";

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

async function listen(
  handler: (response: ServerResponse, count: number) => void,
): Promise<{ url: string; server: Server; sockets: Set<Socket> }> {
  let count = 0;
  const sockets = new Set<Socket>();
  const server = createServer((request, response) => {
    request.resume().on("end", () => handler(response, ++count));
  });
  server.on("connection", (socket) => sockets.add(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closing.push(() => {
    server.close();
    server.closeAllConnections();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, server, sockets };
}

function http(timeouts: Partial<typeof PROVIDER_TIMEOUTS> = {}): ProviderHttp {
  const created = createProviderHttp({ ...PROVIDER_TIMEOUTS, ...timeouts });
  closing.push(() => created.close());
  return created;
}

const never = new AbortController().signal;
const post = { method: "POST", body: "{}" };

test("keeps connections, and takes a kept one again", async () => {
  const { url, sockets } = await listen((response) => response.end("ok"));
  const pool = http();
  for (let turn = 0; turn < 5; turn++) {
    const call = pool.call(never);
    expect(await (await call.fetch(url, post)).text()).toBe("ok");
    call.end();
  }
  expect(sockets.size).toBe(1);
});

test("sends again, once, when the provider had just closed a kept connection", async () => {
  const { url, sockets } = await listen((response, count) => {
    if (count === 2) response.socket?.resetAndDestroy();
    else response.end(`answer ${count}`);
  });
  const pool = http();
  expect(await (await pool.call(never).fetch(url, post)).text()).toBe("answer 1");
  const call = pool.call(never);
  expect(await (await call.fetch(url, post)).text()).toBe("answer 3");
  expect(call.failure).toBeNull();
  expect(sockets.size).toBe(2);
});

test("says how a request failed: refused, cut, too slow", async () => {
  // A request that is given up soon may not even arrive: what it meets depends on its path, and not on how many there were.
  const { url, server } = await listen((response) => {
    const path = response.req.url;
    if (path === "/cut") response.destroy();
    else if (path === "/half-cut") response.write("half", () => response.destroy());
    else if (path === "/half") response.write("half");
  });
  const fails = async (path: string, timeouts: Partial<typeof PROVIDER_TIMEOUTS> = {}): Promise<unknown> => {
    const call = http(timeouts).call(never);
    await expect(call.fetch(`${url}${path}`, post).then((response) => response.text())).rejects.toThrow();
    return call.failure;
  };
  expect(await fails("cut")).toMatchObject({ type: "network" });
  expect(await fails("half-cut")).toMatchObject({ type: "network" });
  expect(await fails("silent", { firstByteMs: 500 })).toEqual({ type: "timeout", what: "first byte", ms: 500 });
  expect(await fails("half", { idleMs: 500 })).toEqual({ type: "timeout", what: "idle", ms: 500 });
  expect(await fails("silent", { totalMs: 500 })).toEqual({ type: "timeout", what: "total", ms: 500 });
  server.close();
  server.closeAllConnections();
  expect(await fails("closed")).toEqual({ type: "network", message: "ECONNREFUSED" });
});

test("reads the error answer, and when to come back", async () => {
  const answers: [number, Record<string, string>][] = [
    [429, { "retry-after": "3" }],
    [429, { "retry-after-ms": "250", "retry-after": "3" }],
    [503, { "retry-after": new Date(Date.now() + 3_600_000).toUTCString() }],
    [500, { "retry-after": "soon" }],
  ];
  const { url } = await listen((response, count) => {
    const [status, headers] = answers[count - 1] ?? [500, {}];
    response.writeHead(status, headers).end("said");
  });
  const waits: unknown[] = [];
  for (const [status] of answers) {
    const call = http().call(never);
    const response = await call.fetch(url, post);
    expect([response.status, await response.text()]).toEqual([status, "said"]);
    expect(call.failure).toMatchObject({ type: "status", status, body: "said" });
    if (call.failure?.type === "status") waits.push(call.failure.retryAfterMs);
  }
  expect(waits).toEqual([3_000, 250, expect.any(Number), null]);
  expect(waits[2]).toBeGreaterThan(3_000_000);
});

test("follows no redirect: the key goes to no other host", async () => {
  const { url } = await listen((response) => response.writeHead(307, { location: "http://example.com/" }).end());
  const call = http().call(never);
  expect((await call.fetch(url, post)).status).toBe(307);
  expect(call.failure).toMatchObject({ type: "status", status: 307 });
});

test("an abort cuts the connection, before and in the middle of the answer", async () => {
  const arrived = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const closed: Promise<unknown>[] = [];
  const { url } = await listen((response, count) => {
    closed.push(once(response, "close"));
    if (count === 2) response.write("half", () => arrived[1]?.resolve());
    else arrived[0]?.resolve();
  });
  for (const { promise } of arrived) {
    const controller = new AbortController();
    const text = http()
      .call(controller.signal)
      .fetch(url, post)
      .then((response) => response.text());
    await promise;
    controller.abort();
    await expect(text).rejects.toThrow();
  }
  await Promise.all(closed);
  expect(closed.length).toBe(2);
});

test("a reader that gives up does not hold the connection", async () => {
  const closed = Promise.withResolvers<void>();
  const { url } = await listen((response) => {
    response.on("close", () => closed.resolve());
    response.write("half");
  });
  const call = http().call(never);
  await call.fetch(url, post);
  call.end();
  await closed.promise;
});
