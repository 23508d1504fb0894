import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  connectTo,
  createWorld,
  exchange,
  limited,
  listenTcp,
  openTunnelTo,
  PLACEHOLDER,
  policyOf,
  readAll,
  readBytes,
  readHead,
  SECRET,
  type Upstream,
  type World,
} from "./gateway.fixture.ts";
import type { EgressLimits } from "./limits.ts";

const WAIT_MS = 60_000;

let world: World;
let upstream: Upstream;

/** Says what it was sent, as HTTP; upgrades when asked to. */
beforeEach(async () => {
  world = await createWorld();
  upstream = await listenTcp((socket) => {
    socket.once("data", (bytes: Buffer) => {
      if (!/upgrade: websocket/i.test(bytes.toString())) return socket.end("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nplain");
      socket.write("HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nfirst");
      socket.pipe(socket);
    });
  });
  world.listensAt.set(80, upstream.port);
});

afterEach(async () => {
  await world.close();
  await upstream.close();
  expect(world.bugs).toEqual([]);
});

const get = (url: string, host: string, more = ""): string =>
  `GET ${url} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n${more}\r\n`;

const reasonIn = (answer: string): string | undefined => /x-sandbox0-denied: (\w+)/.exec(answer)?.[1];

describe("a plain request", () => {
  it("is forwarded to where it names, in one way of writing it", async () => {
    expect(await exchange(world.socketPath, get("http://ALLOWED.example.:80/a?b=c", "allowed.example"))).toContain("forwarded");
    expect(await exchange(world.socketPath, get("http://allowed.example", "Allowed.example:80"))).toContain("forwarded");
    expect(await exchange(world.socketPath, get("http://allowed.example?q", "allowed.example"))).toContain("forwarded");
    expect(world.forwarded).toMatchObject([
      { url: "http://allowed.example/a?b=c", target: { host: "allowed.example", port: 80 }, secretsInClear: true },
      { url: "http://allowed.example/" },
      { url: "http://allowed.example/?q" },
    ]);
  });

  it("is checked each for itself on a connection that is kept", async () => {
    const socket = await connectTo(world.socketPath);
    socket.write(get("http://allowed.example/1", "allowed.example").replace("Connection: close\r\n", ""));
    expect(await readHead(socket)).toMatch(/^HTTP\/1.1 200 /);
    socket.write(get("http://other.example/2", "other.example"));
    const rest = (await readAll(socket)).toString();
    expect(rest).toContain("HTTP/1.1 403 Denied by sandbox0 egress: host_not_allowed");
    expect(world.rows).toMatchObject([{ verdict: "denied", reason: "host_not_allowed", host: "other.example", port: 80 }]);
  });

  it.each([
    ["http://other.example/", "other.example", "host_not_allowed"],
    ["http://evilallowed.example/", "evilallowed.example", "host_not_allowed"],
    ["http://allowed.example/", "other.example", "host_mismatch"],
    ["http://allowed.example/", "allowed.example:81", "host_mismatch"],
    ["http://other.example/", "allowed.example", "host_mismatch"],
    ["http://allowed.example:8080/", "allowed.example:8080", "port_not_allowed"],
    ["http://allowed.example:22/", "allowed.example:22", "port_not_allowed"],
    ["http://user@allowed.example/", "allowed.example", "malformed_request"],
    ["http://other.example#@allowed.example/", "allowed.example", "malformed_request"],
    ["http://other.example\\@allowed.example/", "allowed.example", "malformed_request"],
    ["https://allowed.example/", "allowed.example", "malformed_request"],
    ["ftp://allowed.example/", "allowed.example", "malformed_request"],
    ["http:///", "allowed.example", "malformed_request"],
    ["http://127.0.0.1/", "127.0.0.1", "host_not_allowed"],
    ["http://2130706433/", "2130706433", "host_not_allowed"],
  ])("to %s with Host %s is refused: %s", async (url, host, reason) => {
    const answer = await exchange(world.socketPath, get(url, host));
    expect(reasonIn(answer)).toBe(reason);
    expect(answer).toContain("sandbox0 egress gateway: ");
    expect(world.forwarded).toEqual([]);
    expect(world.rows).toMatchObject([{ verdict: "denied", reason }]);
  });

  it("does not reach private addresses, whatever name they have", async () => {
    world.names.set("allowed.example", [{ address: "169.254.169.254", family: 4 }]);
    expect(reasonIn(await exchange(world.socketPath, get("http://allowed.example/", "allowed.example")))).toBe(
      "address_not_public",
    );
  });

  it("goes nowhere without a policy", async () => {
    world.policy.current = null;
    expect(reasonIn(await exchange(world.socketPath, get("http://allowed.example/", "allowed.example")))).toBe("no_policy");
  });

  it("with a body that is refused leaves the connection in order", async () => {
    const socket = await connectTo(world.socketPath);
    socket.write("POST http://other.example/ HTTP/1.1\r\nHost: other.example\r\nContent-Length: 200000\r\n\r\n");
    socket.write(Buffer.alloc(200_000, "GET http://allowed.example/ HTTP/1.1\r\n"));
    socket.write(get("http://allowed.example/next", "allowed.example"));
    const answers = (await readAll(socket)).toString();
    expect(answers.match(/HTTP\/1.1 \d+/g)).toEqual(["HTTP/1.1 403", "HTTP/1.1 200"]);
    expect(world.forwarded).toMatchObject([{ url: "http://allowed.example/next" }]);
  });
});

describe("request smuggling", () => {
  const HEAD = "POST http://allowed.example/ HTTP/1.1\r\nHost: allowed.example\r\n";
  const HIDDEN = "GET http://allowed.example/hidden HTTP/1.1\r\nHost: allowed.example\r\n\r\n";

  it.each([
    ["two lengths", `${HEAD}Content-Length: 4\r\nContent-Length: 100\r\n\r\nabcd${HIDDEN}`],
    ["one length twice", `${HEAD}Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd${HIDDEN}`],
    ["a list of lengths", `${HEAD}Content-Length: 4, 4\r\n\r\nabcd${HIDDEN}`],
    ["a length with a sign", `${HEAD}Content-Length: +4\r\n\r\nabcd${HIDDEN}`],
    ["length and encoding", `${HEAD}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${HIDDEN}`],
    ["encoding and length", `${HEAD}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n${HIDDEN}`],
    ["two encodings", `${HEAD}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n${HIDDEN}`],
    ["an unknown encoding", `${HEAD}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${HIDDEN}`],
    ["an encoding before chunked", `${HEAD}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n${HIDDEN}`],
    ["an encoding with a space", `${HEAD}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n${HIDDEN}`],
    ["an encoding after a tab", `${HEAD}Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n${HIDDEN}`],
    ["a folded header", `${HEAD}X: a\r\n Content-Length: 4\r\n\r\n${HIDDEN}`],
    ["bare line feeds", `${HEAD.replaceAll("\r\n", "\n")}Content-Length: 4\n\nabcd${HIDDEN}`],
    ["a bare line feed after a header", `${HEAD}X: a\nContent-Length: 4\r\n\r\nabcd${HIDDEN}`],
    ["a bare carriage return", `${HEAD}X: a\rContent-Length: 4\r\n\r\nabcd${HIDDEN}`],
    ["a zero byte", `${HEAD}X: a\0b\r\n\r\n${HIDDEN}`],
    ["two hosts", `${HEAD}Host: other.example\r\n\r\n${HIDDEN}`],
    ["no host", `POST http://allowed.example/ HTTP/1.1\r\n\r\n${HIDDEN}`],
    ["a chunk of no size", `${HEAD}Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n${HIDDEN}`],
    ["a space in the target", `POST http://allowed.example/a b HTTP/1.1\r\nHost: allowed.example\r\n\r\n${HIDDEN}`],
    ["another version", `POST http://allowed.example/ HTTP/1.2\r\nHost: allowed.example\r\n\r\n${HIDDEN}`],
    ["HTTP/2 in the clear", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    ["headers without end", `${HEAD}X: ${"a".repeat(100_000)}`],
  ])("by %s ends the connection", async (_, bytes) => {
    const answer = await exchange(world.socketPath, bytes);
    expect(answer).not.toContain("hidden");
    expect(answer.match(/HTTP\/1.1 (\d+)/g) ?? []).toHaveLength(1);
    expect(answer).toMatch(/^HTTP\/1.1 (4\d\d|200) /);
    expect(world.forwarded.filter(({ url }) => url.includes("hidden"))).toEqual([]);
  });
});

describe("plain HTTP inside a tunnel", () => {
  it("is held against the tunnel's host, request by request", async () => {
    const socket = await openTunnelTo(world.socketPath, "allowed.example:80");
    socket.write("GET /a HTTP/1.1\r\nHost: allowed.example\r\n\r\n");
    expect(await readHead(socket)).toMatch(/^HTTP\/1.1 200 /);
    socket.write("GET /b HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n\r\n");
    expect((await readAll(socket)).toString()).toContain("host_mismatch");
    expect(world.forwarded).toMatchObject([{ url: "http://allowed.example/a", target: { host: "allowed.example", port: 80 } }]);
  });

  it.each([
    "GET http://other.example/ HTTP/1.1\r\nHost: allowed.example\r\n\r\n",
    "GET /a HTTP/1.0\r\n\r\n",
    "CONNECT other.example:443 HTTP/1.1\r\nHost: allowed.example\r\n\r\n",
    "SSH-2.0-OpenSSH_9.6\r\n",
    "\x05\x01\x00",
  ])("or is refused: %j", async (bytes) => {
    const socket = await openTunnelTo(world.socketPath, "allowed.example:80");
    socket.write(bytes);
    expect((await readAll(socket)).toString()).toMatch(/^HTTP\/1.1 4\d\d /);
    expect(world.forwarded).toEqual([]);
  });

  it("does not reach the model gateway", async () => {
    const socket = await openTunnelTo(world.socketPath, "allowed.example:80");
    socket.write("GET /model/v1/models HTTP/1.1\r\nHost: allowed.example\r\nConnection: close\r\n\r\n");
    expect((await readAll(socket)).toString()).not.toContain("model sbx_test");
  });
});

describe("an upgrade", () => {
  const ask = (host: string, more = ""): string =>
    `GET http://${host}/ws HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nProxy-Connection: x\r\n${more}\r\n`;
  const withCredential = (): void => {
    world.policy.current = policyOf({ type: "limited", allowedHosts: ["allowed.example"] }, [
      { id: "vcrd_1", placeholder: PLACEHOLDER, hosts: ["allowed.example"], inHeader: true, inBody: true },
    ]);
  };

  /** With the real interceptor: one path for WebSockets, in the clear or not. */
  const open = async (limits: Partial<EgressLimits> = {}): Promise<void> => {
    await world.close();
    world = await createWorld({ opens: true, limits });
    world.listensAt.set(80, upstream.port);
  };
  beforeEach(() => open());

  it("passes bytes both ways after the handshake, until the policy says no", async () => {
    const socket = await connectTo(world.socketPath);
    socket.write(`${ask("allowed.example")}early`);
    expect(await readHead(socket)).toMatch(/^HTTP\/1.1 101 /);
    expect((await readBytes(socket, 10)).toString()).toBe("firstearly");
    socket.write("hello");
    expect((await readBytes(socket, 5)).toString()).toBe("hello");
    world.policy.current = limited("other.example");
    await readAll(socket);
    await vi.waitFor(() => expect(world.rows).toMatchObject([{ verdict: "denied", reason: "host_not_allowed" }]), WAIT_MS);
  });

  it("is refused like any request", async () => {
    expect(reasonIn(await exchange(world.socketPath, ask("other.example")))).toBe("host_not_allowed");
    expect(upstream.connections).toBe(0);
  });

  it("gets a secret put in, and an echo of it is covered: in the answer's head and in its frames", async () => {
    withCredential();
    const asked: string[] = [];
    const talkative = await listenTcp((each) => {
      each.once("data", (bytes: Buffer) => {
        asked.push(bytes.toString());
        each.write("HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
        each.write(`X-Echo: ${SECRET}\r\n\r\n`);
        each.end(Buffer.concat([Buffer.from([0x81, SECRET.length]), Buffer.from(SECRET), Buffer.from([0x88, 0])]));
      });
    });
    world.listensAt.set(80, talkative.port);
    const answer = await exchange(world.socketPath, ask("allowed.example", `Authorization: Bearer ${PLACEHOLDER}\r\n`));
    await talkative.close();
    expect(asked[0]).toContain(`Authorization: Bearer ${SECRET}\r\n`);
    expect(asked[0]).not.toMatch(/proxy-connection/i);
    expect(answer).toMatch(/^HTTP\/1.1 101 /);
    expect(answer).toContain(`X-Echo: ${PLACEHOLDER}\r\n`);
    expect(answer).not.toContain(SECRET);
    await vi.waitFor(() => expect(world.rows).toMatchObject([{ verdict: "allowed", credentialIds: ["vcrd_1"] }]), WAIT_MS);
  });

  it("that is answered as an ordinary request is covered as well", async () => {
    withCredential();
    const refusing = await listenTcp((each) => {
      each.once("data", () => each.end(`HTTP/1.1 401 No\r\nConnection: close\r\n\r\nnot ${SECRET}`));
    });
    world.listensAt.set(80, refusing.port);
    const answer = await exchange(world.socketPath, ask("allowed.example", `Authorization: Bearer ${PLACEHOLDER}\r\n`));
    await refusing.close();
    expect(answer).toMatch(/^HTTP\/1.1 401 /);
    expect(answer).not.toContain(SECRET);
  });

  it("is closed when nothing moves on it", async () => {
    await open({ idleMs: 2_000 });
    const socket = await connectTo(world.socketPath);
    socket.write(ask("allowed.example"));
    expect(await readHead(socket)).toMatch(/^HTTP\/1.1 101 /);
    expect((await readAll(socket)).toString()).toBe("first");
  });

  it("to another protocol is an ordinary request", async () => {
    const answer = await exchange(
      world.socketPath,
      "GET http://allowed.example/ HTTP/1.1\r\nHost: allowed.example\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\n\r\n",
    );
    expect(answer).toMatch(/^HTTP\/1.1 200 [\s\S]*plain/);
  });
});

describe("a request to the gateway itself", () => {
  it("reaches the model gateway under /model/ and nothing else", async () => {
    world.policy.current = policyOf({ type: "limited", allowedHosts: [] });
    expect(await exchange(world.socketPath, get("/model/v1/messages", "127.0.0.1:3128"))).toContain(
      "model sbx_test /model/v1/messages",
    );
    for (const path of ["/", "/modelx", "/MODEL/v1", "//model/v1", "/%6dodel/v1", "/../model/v1", "/v1/sessions"]) {
      expect(await exchange(world.socketPath, get(path, "127.0.0.1:3128")), path).toMatch(/^HTTP\/1.1 404 .*not_a_proxy_request/);
    }
    expect(await exchange(world.socketPath, get("*", "127.0.0.1").replace("GET", "OPTIONS"))).toMatch(/^HTTP\/1.1 400 /);
  });
});

describe("a connection that stands still", () => {
  it("is closed when its first request does not come, byte by byte or not at all", async () => {
    await world.close();
    world = await createWorld({ limits: { handshakeMs: 300 } });
    const socket = await connectTo(world.socketPath);
    const drip = setInterval(() => socket.write("G"), 50);
    await readAll(socket).finally(() => clearInterval(drip));
  });

  it("is closed when nobody answers", async () => {
    await world.close();
    world = await createWorld({ opens: true, limits: { idleMs: 300 } });
    const silent = await listenTcp((each) => each.resume());
    world.listensAt.set(80, silent.port);
    const socket = await connectTo(world.socketPath);
    socket.write(get("http://allowed.example/", "allowed.example"));
    expect((await readAll(socket)).toString()).toBe("");
    await silent.close();
  });
});
