import { once } from "node:events";
import type { Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  connectRequest,
  connectTo,
  createWorld,
  exchange,
  helloWithEch,
  limited,
  listenTcp,
  listenTls,
  openTunnelTo,
  policyOf,
  readAll,
  readBytes,
  readHead,
  realHello,
  refusedBy,
  tlsOver,
  type Upstream,
  type World,
} from "./gateway.fixture.ts";

const WAIT_MS = 60_000;

let world: World;
let upstream: Upstream;

beforeEach(async () => {
  world = await createWorld();
  upstream = await listenTls(world.ca, "allowed.example", (socket) => socket.pipe(socket));
  world.listensAt.set(443, upstream.port);
});

afterEach(async () => {
  await world.close();
  await upstream.close();
  expect(world.bugs).toEqual([]);
});

const rowsLeft = (count: number) => vi.waitFor(() => expect(world.rows.length).toBeGreaterThanOrEqual(count), WAIT_MS);

const replaceUpstream = async (next: Upstream, port = 443): Promise<void> => {
  await upstream.close();
  upstream = next;
  world.listensAt.set(port, next.port);
};

describe("a TLS tunnel", () => {
  it("passes bytes both ways, ends on both sides, and leaves an audit row", async () => {
    const tls = await tlsOver(await openTunnelTo(world.socketPath, "allowed.example:443"), world.ca, "allowed.example");
    tls.end("hello");
    expect((await readAll(tls)).toString()).toBe("hello");
    await rowsLeft(1);
    expect(world.rows).toMatchObject([
      { verdict: "allowed", reason: null, host: "allowed.example", port: 443, sessionId: "sesn_1", credentialIds: [] },
    ]);
    expect(world.rows[0]?.bytesIn).toBeGreaterThan(5);
    expect(world.rows[0]?.bytesOut).toBeGreaterThan(5);
  });

  it("may be named in any spelling, on either side", async () => {
    for (const [host, name] of [
      ["ALLOWED.example", "allowed.example"],
      ["allowed.example.", "Allowed.Example"],
    ] as const) {
      const tls = await tlsOver(await openTunnelTo(world.socketPath, `${host}:443`), world.ca, name);
      tls.end("hello");
      expect((await readAll(tls)).toString()).toBe("hello");
    }
  });

  it("may be asked for in HTTP/1.0, without Host", async () => {
    const socket = await connectTo(world.socketPath);
    socket.write("CONNECT allowed.example:443 HTTP/1.0\r\n\r\n");
    expect(await readHead(socket)).toMatch(/^HTTP\/1.1 200 /);
    await tlsOver(socket, world.ca, "allowed.example");
    socket.destroy();
  });

  it("takes bytes that a client sends before it is told to", async () => {
    const plain = await listenTcp((socket) => socket.pipe(socket));
    const hello = await realHello("allowed.example");
    await replaceUpstream(plain);
    const socket = await connectTo(world.socketPath);
    socket.write(Buffer.concat([Buffer.from(connectRequest("allowed.example:443")), hello]));
    expect(await readHead(socket)).toMatch(/^HTTP\/1.1 200 /);
    expect(await readBytes(socket, hello.length)).toEqual(hello);
    socket.destroy();
  });

  it("moves a large body both ways at once, only as fast as it is read", async () => {
    const bytes = 64 * 1024 * 1024;
    const tls = await tlsOver(await openTunnelTo(world.socketPath, "allowed.example:443"), world.ca, "allowed.example");
    const chunk = Buffer.alloc(1024 * 1024, 7);
    let back = 0;
    tls.on("data", (data: Buffer) => {
      back += data.length;
    });
    for (let sent = 0; sent < bytes; sent += chunk.length) {
      if (!tls.write(chunk)) await once(tls, "drain");
    }
    tls.end();
    await once(tls, "end");
    expect(back).toBe(bytes);
    tls.destroy();
  });

  it("outlives a server that breaks before the client has spoken, by saying so", async () => {
    const reached = Promise.withResolvers<Socket>();
    await replaceUpstream(await listenTcp(reached.resolve));
    const socket = await openTunnelTo(world.socketPath, "allowed.example:443");
    const theirs = await reached.promise;
    theirs.resetAndDestroy();
    await once(theirs, "close");
    await expect(tlsOver(socket, world.ca, "allowed.example")).rejects.toThrow();
    await rowsLeft(1);
  });

  it("holds no more of a body than the buffers of its sockets when nobody reads", async () => {
    let received = 0;
    await replaceUpstream(
      await listenTls(world.ca, "allowed.example", (socket) => {
        socket.once("data", (bytes: Buffer) => {
          received += bytes.length;
          socket.pause();
        });
      }),
    );
    const tls = await tlsOver(await openTunnelTo(world.socketPath, "allowed.example:443"), world.ca, "allowed.example");
    const chunk = Buffer.alloc(256 * 1024);
    let sent = 0;
    tls.write(chunk);
    await vi.waitFor(() => expect(received).toBeGreaterThan(0), WAIT_MS);
    // Until a whole second has passed in which nothing more was taken.
    for (;;) {
      const room =
        tls.write(chunk) || (await Promise.race([once(tls, "drain").then(() => true), pause(1_000).then(() => false)]));
      if (!room) break;
      sent += chunk.length;
      expect(sent).toBeLessThan(64 * 1024 * 1024);
    }
    tls.destroy();
  });

  it("ends when it is idle", async () => {
    await world.close();
    world = await createWorld({ limits: { idleMs: 2_000 } });
    world.listensAt.set(443, upstream.port);
    await replaceUpstream(await listenTls(world.ca, "allowed.example", (socket) => socket.resume()));
    const startedMs = performance.now();
    const tunnel = await openTunnelTo(world.socketPath, "allowed.example:443");
    // On a machine that stands still it may be idle before TLS is up.
    await tlsOver(tunnel, world.ca, "allowed.example")
      .then(readAll)
      .catch(() => undefined);
    await rowsLeft(1);
    // Timers count from the last look at the clock.
    expect(performance.now() - startedMs).toBeGreaterThan(1_900);
    expect(world.rows).toMatchObject([{ verdict: "allowed" }]);
  });

  it("is refused to a host that is not allowed, with words that an agent can act on", async () => {
    const answer = await exchange(world.socketPath, connectRequest("other.example:443"));
    expect(answer).toMatch(/^HTTP\/1.1 403 Denied by sandbox0 egress: host_not_allowed\r\n/);
    expect(answer).toContain("\r\nx-sandbox0-denied: host_not_allowed\r\n");
    expect(answer).toContain('add "other.example" to config.networking.allowed_hosts');
    expect(world.rows).toMatchObject([{ verdict: "denied", reason: "host_not_allowed", host: "other.example", port: 443 }]);
  });

  it.each([
    "evilallowed.example:443",
    "allowed.example.evil.io:443",
    "sub.allowed.example:443",
    "xn--llowed-cua.example:443",
    "example:443",
    "127.0.0.1:443",
    "2130706433:443",
    "0177.0.0.1:443",
    "[::1]:443",
    "[::ffff:127.0.0.1]:443",
  ])("is refused to %s, which is not the allowed host", async (authority) => {
    expect(await refusedBy(world.socketPath, authority)).toBe("host_not_allowed");
    expect(upstream.connections).toBe(0);
  });

  it.each([22, 25, 53, 853, 3128, 5432, 6379, 8080])("is refused to port %i of an allowed host", async (port) => {
    expect(await refusedBy(world.socketPath, `allowed.example:${port}`)).toBe("port_not_allowed");
  });

  it.each([
    "allowed.example",
    "allowed.example:",
    ":443",
    "http://allowed.example/",
    "allowed.example:443/x",
    "a@allowed.example:443",
    "/",
  ])("is refused to %j, which names no host and port", async (target) => {
    expect(await refusedBy(world.socketPath, target)).toBe("malformed_request");
  });

  it.each(["Content-Length: 5", "Transfer-Encoding: chunked"])("is refused to a request with %s", async (header) => {
    const answer = await exchange(
      world.socketPath,
      `CONNECT allowed.example:443 HTTP/1.1\r\nHost: allowed.example\r\n${header}\r\n\r\nhello`,
    );
    expect(answer).toMatch(/^HTTP\/1.1 400 /);
    expect(upstream.connections).toBe(0);
  });
});

describe("the handshake inside a tunnel", () => {
  const closedBy = async (socket: Socket): Promise<Buffer> => readAll(socket);

  it.each(["other.example", "allowed.example.evil.io", "sub.allowed.example"])("may not name %s", async (name) => {
    const socket = await openTunnelTo(world.socketPath, "allowed.example:443");
    await expect(tlsOver(socket, world.ca, name)).rejects.toThrow();
    await rowsLeft(1);
    expect(world.rows).toMatchObject([{ verdict: "denied", reason: "sni_mismatch", host: "allowed.example" }]);
  });

  it("must name the host", async () => {
    const socket = await openTunnelTo(world.socketPath, "allowed.example:443");
    await expect(tlsOver(socket, world.ca, "")).rejects.toThrow();
    await rowsLeft(1);
    expect(world.rows).toMatchObject([{ verdict: "denied", reason: "sni_mismatch" }]);
  });

  it("names nothing when the host is an address", async () => {
    world.policy.current = limited("127.0.0.1");
    const tls = await tlsOver(await openTunnelTo(world.socketPath, "127.0.0.1:443"), world.ca, "");
    tls.end("hello");
    expect((await readAll(tls)).toString()).toBe("hello");
    await expect(tlsOver(await openTunnelTo(world.socketPath, "127.0.0.1:443"), world.ca, "other.example")).rejects.toThrow();
    await rowsLeft(2);
    expect(world.rows).toMatchObject([{ verdict: "allowed" }, { verdict: "denied", reason: "sni_mismatch" }]);
  });

  it("must be TLS at port 443", async () => {
    await replaceUpstream(await listenTcp((socket) => socket.pipe(socket)));
    const socket = await openTunnelTo(world.socketPath, "allowed.example:443");
    socket.write("GET / HTTP/1.1\r\nHost: allowed.example\r\n\r\n");
    expect((await closedBy(socket)).toString()).toBe("");
    await rowsLeft(1);
    expect(world.rows).toMatchObject([{ verdict: "denied", reason: "not_tls", bytesOut: 0 }]);
  });

  it("must be one that can be read, and not too large", async () => {
    for (const [bytes, reason] of [
      [Buffer.from([22, 3, 1, 0, 4, 2, 0, 0, 0]), "invalid_client_hello"],
      [
        Buffer.concat([Buffer.from([22, 3, 1, 64, 0]), Buffer.from([1, 255, 255, 255]), Buffer.alloc(80_000)]),
        "handshake_too_large",
      ],
    ] as const) {
      world.rows.length = 0;
      const socket = await openTunnelTo(world.socketPath, "allowed.example:443");
      socket.write(bytes);
      await closedBy(socket);
      await rowsLeft(1);
      expect(world.rows).toMatchObject([{ reason, bytesOut: 0 }]);
    }
  });

  it("may hide no other under limited networking, where nobody could say what it names", async () => {
    const received: Buffer[] = [];
    await replaceUpstream(await listenTcp((socket) => socket.on("data", (bytes: Buffer) => received.push(bytes))));
    const hidden = await helloWithEch("allowed.example");
    const refused = await openTunnelTo(world.socketPath, "allowed.example:443");
    refused.write(hidden);
    // The alert access_denied.
    expect(await closedBy(refused)).toEqual(Buffer.from([21, 3, 3, 0, 2, 2, 49]));
    await rowsLeft(1);
    expect(world.rows).toMatchObject([{ verdict: "denied", reason: "encrypted_client_hello", bytesOut: 0 }]);
    expect(received).toEqual([]);
    world.policy.current = policyOf({ type: "unrestricted", blockedHosts: [] });
    const passed = await openTunnelTo(world.socketPath, "allowed.example:443");
    passed.write(hidden);
    await vi.waitFor(() => expect(Buffer.concat(received)).toEqual(hidden), WAIT_MS);
    passed.destroy();
  });

  it("may hide what it likes where it is opened: it ends there", async () => {
    const credential = { id: "vcrd_1", placeholder: "p", hosts: null, inHeader: true, inBody: true };
    world.policy.current = policyOf({ type: "limited", allowedHosts: ["allowed.example"] }, [credential]);
    const socket = await openTunnelTo(world.socketPath, "allowed.example:443");
    socket.write(await helloWithEch("allowed.example"));
    await vi.waitFor(() => expect(world.intercepted).toHaveLength(1), WAIT_MS);
    socket.destroy();
  });

  it("must come in time", async () => {
    await world.close();
    world = await createWorld({ limits: { handshakeMs: 2_000 } });
    world.listensAt.set(443, upstream.port);
    const socket = await openTunnelTo(world.socketPath, "allowed.example:443");
    socket.write(Buffer.from([22, 3]));
    await closedBy(socket);
    await rowsLeft(1);
    expect(world.rows).toMatchObject([{ verdict: "failed", reason: "handshake_timeout" }]);
    await closedBy(await connectTo(world.socketPath));
  });
});
