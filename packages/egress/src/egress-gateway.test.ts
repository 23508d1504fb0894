import { once } from "node:events";
import { readdir } from "node:fs/promises";
import type { Socket } from "node:net";
import { dirname } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  connectTo,
  createWorld,
  exchange,
  limited,
  listenTcp,
  listenTls,
  LOOPBACK,
  openTunnelTo,
  policyOf,
  readAll,
  readBytes,
  readHead,
  SANDBOX,
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

const connectRequest = (authority: string): string => `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`;

/** Asks for a tunnel that must be refused; returns the reason. */
const refusedBy = async (authority: string): Promise<string | undefined> => {
  const answer = await exchange(world.socketPath, connectRequest(authority));
  expect(answer).toMatch(/^HTTP\/1.1 4\d\d /);
  return /x-sandbox0-denied: (\w+)/.exec(answer)?.[1];
};

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
    const hello = await new Promise<Buffer>((resolve) => {
      void listenTcp((socket) => socket.once("data", resolve)).then(async (trap) => {
        const { connect } = await import("node:tls");
        const client = connect({ port: trap.port, host: "127.0.0.1", servername: "allowed.example" });
        client.on("error", () => client.destroy());
        client.once("close", () => void trap.close());
        setTimeout(() => client.destroy(), 500);
      });
    });
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

  it("ends when it is idle", async () => {
    await world.close();
    world = await createWorld({ limits: { idleMs: 300 } });
    world.listensAt.set(443, upstream.port);
    await replaceUpstream(await listenTls(world.ca, "allowed.example", (socket) => socket.resume()));
    const tls = await tlsOver(await openTunnelTo(world.socketPath, "allowed.example:443"), world.ca, "allowed.example");
    await readAll(tls);
    await rowsLeft(1);
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
    expect(await refusedBy(authority)).toBe("host_not_allowed");
    expect(upstream.connections).toBe(0);
  });

  it.each([22, 25, 53, 853, 3128, 5432, 6379, 8080])("is refused to port %i of an allowed host", async (port) => {
    expect(await refusedBy(`allowed.example:${port}`)).toBe("port_not_allowed");
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
    expect(await refusedBy(target)).toBe("malformed_request");
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

  it("must come in time", async () => {
    await world.close();
    world = await createWorld({ limits: { handshakeMs: 200 } });
    world.listensAt.set(443, upstream.port);
    const socket = await openTunnelTo(world.socketPath, "allowed.example:443");
    socket.write(Buffer.from([22, 3]));
    await closedBy(socket);
    await rowsLeft(1);
    expect(world.rows).toMatchObject([{ verdict: "failed", reason: "handshake_timeout" }]);
    await closedBy(await connectTo(world.socketPath));
  });
});

describe("addresses", () => {
  it("are checked although the name is allowed", async () => {
    for (const address of ["10.0.0.1", "169.254.169.254", "192.168.1.1"]) {
      world.names.set("allowed.example", [{ address, family: 4 }]);
      expect(await refusedBy("allowed.example:443")).toBe("address_not_public");
    }
  });

  it("of loopback are shut unless opened", async () => {
    await world.close();
    world = await createWorld({ allowPrivate: [] });
    world.listensAt.set(443, upstream.port);
    world.policy.current = policyOf({ type: "unrestricted", blockedHosts: [] });
    for (const host of [
      "allowed.example",
      "127.0.0.1",
      "2130706433",
      "0x7f.1",
      "[::1]",
      "[::ffff:127.0.0.1]",
      "[64:ff9b::7f00:1]",
      "0.0.0.0",
    ]) {
      expect(await refusedBy(`${host}:443`), host).toBe("address_not_public");
    }
    expect(upstream.connections).toBe(0);
  });

  it("of our own ports stay shut when the range is opened", async () => {
    world.forbidden.push({ address: "0.0.0.0", port: 443 });
    expect(await refusedBy("allowed.example:443")).toBe("address_not_public");
  });

  it("that nobody answers at are a failure that says so", async () => {
    await upstream.close();
    const answer = await exchange(world.socketPath, connectRequest("allowed.example:443"));
    expect(answer).toMatch(/^HTTP\/1.1 502 Failed by sandbox0 egress: connection_refused\r\n/);
    expect(world.rows).toMatchObject([{ verdict: "failed", reason: "connection_refused" }]);
    world.names.delete("allowed.example");
    expect(await exchange(world.socketPath, connectRequest("allowed.example:443"))).toMatch(/^HTTP\/1.1 502 .*name_not_found/);
    upstream = await listenTcp(() => undefined);
  });
});

describe("the policy", () => {
  it("lets nothing out when there is none, or nobody can say", async () => {
    world.policy.current = null;
    expect(await refusedBy("allowed.example:443")).toBe("no_policy");
    world.policy.current = new Error("the database is away");
    expect(await refusedBy("allowed.example:443")).toBe("no_policy");
    expect(world.bugs.splice(0)).toHaveLength(1);
  });

  it("without limits leaves out only what the operator blocks", async () => {
    world.policy.current = policyOf({ type: "unrestricted", blockedHosts: ["blocked.example", "*.bad.example"] });
    await tlsOver(await openTunnelTo(world.socketPath, "allowed.example:443"), world.ca, "allowed.example");
    expect(await refusedBy("BLOCKED.example.:443")).toBe("host_blocked");
    expect(await refusedBy("a.bad.example:443")).toBe("host_blocked");
    expect(await refusedBy("allowed.example:25")).toBe("port_not_allowed");
  });

  it("cuts what is open when it changes, and when the session has gone", async () => {
    for (const next of [limited("other.example"), null]) {
      world.rows.length = 0;
      world.policy.current = limited("allowed.example");
      const tls = await tlsOver(await openTunnelTo(world.socketPath, "allowed.example:443"), world.ca, "allowed.example");
      world.policy.current = next;
      await readAll(tls);
      await rowsLeft(1);
      expect(world.rows).toMatchObject([{ verdict: "denied", reason: next ? "host_not_allowed" : "no_policy" }]);
    }
  });

  it("has connections opened that a credential is for, and cuts those that were not", async () => {
    const credential = { id: "vcrd_1", placeholder: "p", hosts: ["allowed.example"], inHeader: true, inBody: true };
    const tls = await tlsOver(await openTunnelTo(world.socketPath, "allowed.example:443"), world.ca, "allowed.example");
    world.policy.current = policyOf({ type: "limited", allowedHosts: ["*.example", "allowed.example"] }, [credential]);
    await readAll(tls);
    const socket = await openTunnelTo(world.socketPath, "Allowed.example.:443");
    tlsOver(socket, world.ca, "allowed.example").catch(() => undefined);
    await vi.waitFor(
      () => expect(world.intercepted).toMatchObject([{ sandboxId: SANDBOX, host: "allowed.example", port: 443 }]),
      WAIT_MS,
    );
    world.policy.current = limited("other.example");
    await readAll(socket);
    // Not for another host, and not before the handshake has named this one.
    world.policy.current = policyOf({ type: "unrestricted", blockedHosts: [] }, [credential]);
    world.names.set("other.example", LOOPBACK);
    await tlsOver(await openTunnelTo(world.socketPath, "other.example:443"), world.ca, "other.example");
    await expect(
      tlsOver(await openTunnelTo(world.socketPath, "allowed.example:443"), world.ca, "evil.example"),
    ).rejects.toThrow();
    expect(world.intercepted).toHaveLength(1);
  });
});

describe("the socket of a sandbox", () => {
  it("takes only so many connections at once", async () => {
    await world.close();
    world = await createWorld({ limits: { connectionsPerSandboxMax: 2 } });
    const open = [await connectTo(world.socketPath), await connectTo(world.socketPath)];
    expect(await exchange(world.socketPath, "GET / HTTP/1.1\r\n")).toMatch(/^HTTP\/1.1 503 .*too_many_connections/);
    open[0]?.destroy();
    await vi.waitFor(
      async () => expect(await exchange(world.socketPath, connectRequest("x.example:443"))).toMatch(/ 403 /),
      WAIT_MS,
    );
    open[1]?.destroy();
  });

  it("is gone when it is closed, with all that came through it", async () => {
    const tls = await tlsOver(await openTunnelTo(world.socketPath, "allowed.example:443"), world.ca, "allowed.example");
    await world.listener.close();
    await readAll(tls);
    expect(await readdir(dirname(world.socketPath))).not.toContain("egress.sock");
    await expect(connectTo(world.socketPath)).rejects.toThrow();
  });
});
