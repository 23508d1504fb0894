import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { afterEach, expect, test } from "vitest";
import type { Dial } from "./guarded-agents.ts";
import { createProviderHttp, PROVIDER_TIMEOUTS } from "./provider-http.ts";

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

const never = new AbortController().signal;
const post = { method: "POST", body: "{}" };

async function provider(): Promise<{ port: number; sockets: Socket[] }> {
  const sockets: Socket[] = [];
  const server = createServer((request, response) => request.resume().on("end", () => response.end(request.headers.host)));
  server.on("connection", (socket) => sockets.push(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closing.push(() => {
    server.close();
    server.closeAllConnections();
  });
  return { port: (server.address() as AddressInfo).port, sockets };
}

function http(dial?: Dial) {
  const created = createProviderHttp(PROVIDER_TIMEOUTS, dial);
  closing.push(() => created.close());
  return created;
}

test("a guarded request resolves and connects through the guard, and keeps its connection", async () => {
  const { port, sockets } = await provider();
  const dialled: string[] = [];
  const pool = http(async (host, asked) => {
    dialled.push(`${host}:${asked}`);
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    return socket;
  });
  for (let i = 0; i < 3; i++) {
    const call = pool.call(never, true);
    expect(await (await call.fetch("http://provider.example:81/v1", post)).text()).toBe("provider.example:81");
    call.end();
  }
  expect(dialled).toEqual(["provider.example:81"]);
  expect(sockets).toHaveLength(1);
});

test("it does not take a connection that was opened without the guard", async () => {
  const { port } = await provider();
  const url = `http://127.0.0.1:${port}/`;
  const pool = http(() => Promise.reject(Object.assign(new Error("refused by the guard"), { code: "denied" })));
  expect((await pool.call(never).fetch(url, post)).status).toBe(200);
  const call = pool.call(never, true);
  await expect(call.fetch(url, post)).rejects.toThrow("refused by the guard");
  expect(call.failure).toEqual({ type: "network", message: "denied" });
});

test("without a guard there is no guarded request", async () => {
  const { port, sockets } = await provider();
  await expect(http().call(never, true).fetch(`http://127.0.0.1:${port}/`, post)).rejects.toThrow("no guard");
  expect(sockets).toEqual([]);
});

test("https speaks TLS on the connection that the guard has opened", async () => {
  const { port, sockets } = await provider();
  const hosts: string[] = [];
  const pool = http(async (host, asked) => {
    hosts.push(`${host}:${asked}`);
    return connect(port, "127.0.0.1");
  });
  const call = pool.call(never, true);
  // The server speaks no TLS: what matters is that the client did, and sent nothing before.
  await expect(call.fetch("https://provider.example/v1", post)).rejects.toThrow();
  expect(hosts).toEqual(["provider.example:443"]);
  expect(sockets).toHaveLength(1);
});
