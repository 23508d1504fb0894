import { afterEach, beforeEach, expect, it, vi } from "vitest";
import {
  connectRequest,
  connectTo,
  createWorld,
  exchange,
  listenTcp,
  readAll,
  readBytes,
  readHead,
  type Upstream,
  type World,
} from "./gateway.fixture.ts";

const WAIT_MS = 60_000;
const ASK = "GET http://allowed.example/ HTTP/1.1\r\nHost: allowed.example\r\n\r\n";

let world: World;
let silent: Upstream;

beforeEach(async () => {
  world = await createWorld({ opens: true, limits: { handshakeMs: 2_000 } });
  silent = await listenTcp((socket) => socket.resume());
  world.listensAt.set(80, silent.port);
});

afterEach(async () => {
  await world.close();
  await silent.close();
  expect(world.bugs).toEqual([]);
});

it("closes a connection on which more requests wait than may, and forwards no more", async () => {
  for (const more of ["", "Expect: what\r\n", "Expect: 100-continue\r\nContent-Length: 0\r\n"]) {
    world.rows.length = 0;
    const socket = await connectTo(world.socketPath);
    socket.write(ASK.replace("\r\n\r\n", `\r\n${more}\r\n`).repeat(8_000));
    await readAll(socket);
    // One for each that was taken, which has ended with the connection, and one for the connection.
    await vi.waitFor(() => expect(world.rows).toHaveLength(17), WAIT_MS);
    expect(world.rows.filter(({ reason }) => reason === "too_many_requests")).toMatchObject([{ verdict: "denied", host: null }]);
  }
});

it("counts what waits behind a request that was refused", async () => {
  const socket = await connectTo(world.socketPath);
  socket.write(`${ASK}GET http://allowed.example/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n${ASK.repeat(8_000)}`);
  await readAll(socket);
  await vi.waitFor(() => expect(world.rows.map(({ reason }) => reason)).toContain("too_many_requests"), WAIT_MS);
});

it("ends the work for all that wait when the client goes", async () => {
  const socket = await connectTo(world.socketPath);
  socket.write(ASK.repeat(10));
  await vi.waitFor(() => expect(silent.connections).toBe(10), WAIT_MS);
  socket.destroy();
  await vi.waitFor(() => expect(world.rows).toHaveLength(10), WAIT_MS);
});

it("answers as many as may wait, in their order, again and again", async () => {
  const socket = await connectTo(world.socketPath);
  for (let round = 0; round < 3; round += 1) {
    for (let at = 0; at < 16; at += 1) socket.write(`GET /model/${round}/${at} HTTP/1.1\r\nHost: a\r\n\r\n`);
    for (let at = 0; at < 16; at += 1) {
      const length = Number(/content-length: (\d+)/i.exec(await readHead(socket))?.[1]);
      expect((await readBytes(socket, length)).toString()).toBe(`model sbx_test /model/${round}/${at}`);
    }
  }
  socket.destroy();
});

it.each([
  ["to the gateway", "GET /model/x HTTP/1.1\r\nHost: a\r\nX-"],
  ["through it", "GET http://allowed.example/ HTTP/1.1\r\nHost: allowed.example\r\nX-"],
  ["for a tunnel", "CONNECT allowed.example:443 HTTP/1.1\r\nX-"],
])("closes a head %s that never ends", async (_, head) => {
  const answer = exchange(world.socketPath, head);
  expect(await answer).toMatch(/^HTTP\/1.1 408 .*handshake_timeout/);
});

it("closes one that never ends inside a tunnel, and one that comes later", async () => {
  const inside = await connectTo(world.socketPath);
  inside.write(`${connectRequest("allowed.example:80")}`);
  expect(await readHead(inside)).toMatch(/^HTTP\/1.1 200 /);
  inside.write("GET / HTTP/1.1\r\nX-");
  expect((await readAll(inside)).toString()).toMatch(/^HTTP\/1.1 408 /);
  await world.close();
  world = await createWorld({ limits: { idleMs: 2_000 } });
  const later = await connectTo(world.socketPath);
  later.write("GET /model/x HTTP/1.1\r\nHost: a\r\n\r\nGET /model/y HTTP/1.1\r\nX-");
  expect((await readAll(later)).toString().match(/HTTP\/1.1/g)).toHaveLength(1);
});

it("leaves nothing open of a client that neither ends its head nor its side", async () => {
  await world.close();
  world = await createWorld({ limits: { handshakeMs: 2_000, connectionsPerSandboxMax: 1 } });
  const socket = await connectTo(world.socketPath);
  socket.write("GET /model/x HTTP/1.1\r\nX-");
  await vi.waitFor(
    async () => expect(await exchange(world.socketPath, "GET /model/x HTTP/1.0\r\n\r\n")).toMatch(/^HTTP\/1.1 200 /),
    { timeout: WAIT_MS, interval: 500 },
  );
  expect(socket.writable).toBe(true);
  socket.destroy();
}, 120_000);
