import { createHash, randomBytes } from "node:crypto";
import { CONCURRENT_STREAMS_MAX } from "./limits.ts";
import { once } from "node:events";
import type { Socket } from "node:net";
import { type ClientHttp2Session, connect as connectHttp2, type ClientHttp2Stream } from "node:http2";
import { text } from "node:stream/consumers";
import { ProxyAgent, fetch } from "undici";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import {
  createWorld,
  curl,
  HOST,
  openTunnel,
  PLACEHOLDER,
  rememberHttp1,
  SECRET,
  serveHttp1,
  serveHttp2,
  type World,
} from "./opened.fixture.ts";

let world: World;
beforeEach(async () => {
  world = await createWorld();
});
afterEach(() => world.close());

const COVERED = PLACEHOLDER.padEnd(SECRET.length, "*");

async function openHttp2(): Promise<ClientHttp2Session> {
  const tls = await openTunnel(world, ["h2"]);
  const session = connectHttp2(`https://${HOST}`, { createConnection: () => tls });
  world.closers.push(async () => session.destroy());
  return session;
}

test("fetch of undici, through its proxy agent", async () => {
  const seen = await rememberHttp1(world, (response, { body }) => response.end(body));
  const dispatcher = new ProxyAgent({
    uri: `http://127.0.0.1:${world.proxyPort}`,
    proxyTunnel: true,
    requestTls: { ca: world.ca.certificatePem },
  });
  world.closers.push(() => dispatcher.destroy());
  for (const round of [1, 2, 3]) {
    const response = await fetch(`https://${HOST}/${round}`, { dispatcher, method: "POST", body: `key=${PLACEHOLDER}` });
    expect(await response.text()).toBe(`key=${COVERED}`);
    expect(seen.at(-1)?.body).toBe(`key=${SECRET}`);
  }
  expect(world.dials).toBe(1);
});

test("HTTP/2 on both sides: headers, body, trailers both ways, many at once on one connection", async () => {
  const seen: string[] = [];
  await serveHttp2(world, (stream, headers) => {
    let trailer = "";
    stream.on("trailers", (trailers) => {
      trailer = String(trailers["x-trailer"]);
    });
    void text(stream).then((body) => {
      seen.push(`${headers[":authority"]} ${headers["x-key"]} ${body} ${trailer} ${headers.te}`);
      stream.respond({ ":status": 201, "set-cookie": ["a=1", "b=2"], "x-echo": SECRET }, { waitForTrailers: true });
      stream.once("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0", "x-echo": SECRET }));
      stream.end(body);
    });
  });
  const session = await openHttp2();
  const ask = async (index: number) => {
    const stream = session.request(
      { ":method": "POST", ":path": `/${index}`, "x-key": PLACEHOLDER, te: "trailers" },
      { waitForTrailers: true },
    );
    stream.once("wantTrailers", () => stream.sendTrailers({ "x-trailer": PLACEHOLDER }));
    const heads = Promise.all([once(stream, "response"), once(stream, "trailers")]);
    stream.end(`${index} ${PLACEHOLDER}`);
    const body = await text(stream);
    const [[head], [trailers]] = await heads;
    expect(head).toMatchObject({ ":status": 201, "set-cookie": ["a=1", "b=2"], "x-echo": PLACEHOLDER });
    expect(trailers).toMatchObject({ "grpc-status": "0", "x-echo": PLACEHOLDER });
    expect(body).toBe(`${index} ${COVERED}`);
  };
  await Promise.all(Array.from({ length: CONCURRENT_STREAMS_MAX }, (_, index) => ask(index)));
  expect(seen).toHaveLength(CONCURRENT_STREAMS_MAX);
  expect(seen.every((line) => /^\S+ (\S+) \d+ \1 \1 trailers$/.test(line) && line.includes(SECRET))).toBe(true);
  expect(world.dials).toBe(1);
});

test("HTTP/2 to a server of HTTP/1.1: cookies in one field, connections kept", async () => {
  const seen = await rememberHttp1(world);
  const session = await openHttp2();
  for (const path of ["/1", "/2", "/3"]) {
    const stream = session.request({ ":path": path, cookie: ["a=1", "b=2"], "x-key": PLACEHOLDER });
    expect(await text(stream)).toBe("ok");
  }
  expect(seen.map(({ request }) => [request.headers.cookie, request.headers["x-key"], request.headers.host])).toEqual(
    Array.from({ length: 3 }, () => ["a=1; b=2", SECRET, HOST]),
  );
  expect(world.dials).toBe(1);
});

test("HTTP/2: a request that contradicts itself about its host is refused", async () => {
  const seen = await rememberHttp1(world);
  const session = await openHttp2();
  const wrong: Record<string, string>[] = [
    { ":authority": "other.example.com" },
    { ":authority": HOST, host: "other.example.com" },
    { ":authority": `${HOST}:8443` },
  ];
  for (const headers of wrong) {
    const [head] = await once(session.request({ ":path": "/", ...headers }), "response");
    expect(head[":status"]).toBe(421);
  }
  const odd = session.request({ ":path": "/ HTTP/1.1\r\nHost: other.example.com\r\n\r\nGET /" });
  const ended = await Promise.race([once(odd, "response"), once(odd, "close")]).catch((error: Error) => [error]);
  expect(ended[0]?.[":status"] ?? 400).toBeGreaterThanOrEqual(400);
  expect(seen).toHaveLength(0);
});

test("an upstream that closes between two requests is dialled again", async () => {
  const kept: { close(): void }[] = [];
  const server = await serveHttp2(world, (stream) => {
    stream.respond({ ":status": 200 });
    stream.end("two");
  });
  server.on("session", (session) => kept.push({ close: () => session.close() }));
  const session = await openHttp2();
  expect(await text(session.request({ ":path": "/" }))).toBe("two");
  kept[0]?.close();
  await vi.waitFor(async () => expect(await text(session.request({ ":path": "/" })).catch(() => "")).toBe("two"), {
    timeout: 30_000,
  });
  await vi.waitFor(() => expect(world.dials).toBeGreaterThanOrEqual(2), { timeout: 30_000 });

  // HTTP/1.1 has no goodbye: the connection is found dead when the next request goes out.
  const sockets: Socket[] = [];
  await serveHttp1(world, (request, response) => {
    sockets.push(request.socket);
    if (sockets.length > 1 && request.socket === sockets[0]) return void request.socket.destroy();
    response.end("one");
  });
  const other = await openTunnel(world, ["http/1.1"]);
  let got = "";
  other.setEncoding("latin1").on("data", (chunk: string) => {
    got += chunk;
  });
  for (const count of [1, 2]) {
    other.write(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
    await vi.waitFor(() => expect(got.split("200 OK")).toHaveLength(count + 1), { timeout: 30_000 });
  }
  expect(sockets).toHaveLength(3);
});

test("HTTP/2 both ways at once: each message is answered before the next is sent", async () => {
  await serveHttp2(world, (stream) => {
    stream.respond({ ":status": 200 });
    stream.pipe(stream);
  });
  const session = await openHttp2();
  const stream: ClientHttp2Stream = session.request({ ":method": "POST", ":path": "/" });
  let got = "";
  stream.setEncoding("latin1").on("data", (chunk: string) => {
    got += chunk;
  });
  let expected = "";
  // The last one ends as a placeholder begins.
  for (const message of ["one", PLACEHOLDER, "two", PLACEHOLDER.slice(0, 5)]) {
    stream.write(message);
    expected += message === PLACEHOLDER ? COVERED : message;
    await vi.waitFor(() => expect(got).toBe(expected), { timeout: 30_000 });
  }
  stream.end();
  await once(stream, "close");
});

for (const version of ["1.1", "2"]) {
  test(`server-sent events come one by one (HTTP/${version})`, async () => {
    const next: (() => void)[] = [];
    const events = async (write: (text: string) => void, end: () => void): Promise<void> => {
      for (const name of ["first", SECRET, "last"]) {
        write(`data: ${name}\n\n`);
        await new Promise<void>((resolve) => next.push(resolve));
      }
      end();
    };
    const type = { "content-type": "text/event-stream" };
    if (version === "2") {
      await serveHttp2(world, (stream) => {
        stream.respond({ ":status": 200, ...type });
        void events(
          (chunk) => stream.write(chunk),
          () => stream.end(),
        );
      });
    } else {
      await serveHttp1(world, (_request, response) => {
        response.writeHead(200, type);
        void events(
          (chunk) => response.write(chunk),
          () => response.end(),
        );
      });
    }
    const session = await openHttp2();
    const stream = session.request({ ":path": "/events" });
    let got = "";
    stream.setEncoding("latin1").on("data", (chunk: string) => {
      got += chunk;
    });
    for (const [index, name] of ["first", COVERED, "last"].entries()) {
      await vi.waitFor(() => expect(got.endsWith(`data: ${name}\n\n`)).toBe(true), { timeout: 30_000 });
      await vi.waitFor(() => expect(next).toHaveLength(index + 1), { timeout: 30_000 });
      next[index]?.();
    }
    await once(stream, "close");
  });
}

const acceptOf = (key: string): string =>
  createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");

/** A frame as servers send it. */
const frame = (payload: string): Buffer => {
  const body = Buffer.from(payload);
  const length = body.length < 126 ? Buffer.from([body.length]) : Buffer.from([126, body.length >> 8, body.length & 255]);
  return Buffer.concat([Buffer.from([0x81]), length, body]);
};

test("a WebSocket: its handshake gets the secret, its frames pass, an echo in them is covered", async () => {
  const asked: NodeJS.Dict<string | string[]>[] = [];
  let came = Buffer.alloc(0);
  const server = await serveHttp1(world, (_request, response) => response.writeHead(400).end("not a websocket"));
  server.on("upgrade", (request, socket) => {
    asked.push(request.headers);
    const accept = acceptOf(String(request.headers["sec-websocket-key"]));
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    socket.write(frame(`your token is ${SECRET}`));
    // Ends as a secret begins: nobody waits for more.
    socket.write(frame(`c${"x".repeat(300)}c`));
    socket.on("data", (chunk: Buffer) => {
      came = Buffer.concat([came, chunk]);
      if (came.includes("bye")) socket.end();
    });
  });
  const key = randomBytes(16).toString("base64");
  const tls = await openTunnel(world, ["http/1.1"]);
  const head = [
    "GET /chat HTTP/1.1",
    `Host: ${HOST}`,
    "Connection: keep-alive, Upgrade",
    "Upgrade: websocket",
    `Sec-WebSocket-Key: ${key}`,
  ];
  const more = [
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Extensions: permessage-deflate",
    `Authorization: Bearer ${PLACEHOLDER}`,
  ];
  tls.write([...head, ...more, "", "early"].join("\r\n"));
  let got = Buffer.alloc(0);
  tls.on("data", (chunk: Buffer) => {
    got = Buffer.concat([got, chunk]);
  });
  const expected = Buffer.concat([frame(`your token is ${COVERED}`), frame(`c${"x".repeat(300)}c`)]);
  await vi.waitFor(() => expect(got.includes(expected)).toBe(true), { timeout: 30_000 });
  expect(got.toString("latin1")).toMatch(/^HTTP\/1.1 101 /);
  expect(got.toString("latin1")).toContain(`Sec-WebSocket-Accept: ${acceptOf(key)}`);
  expect(asked[0]).toMatchObject({ authorization: `Bearer ${SECRET}`, connection: "Upgrade", upgrade: "websocket" });
  expect(asked[0]?.["sec-websocket-extensions"]).toBeUndefined();
  tls.write("bye");
  await once(tls, "close");
  expect(came.toString()).toBe("earlybye");
  await vi.waitFor(() => expect(world.rows).toHaveLength(1), { timeout: 30_000 });
  expect(world.rows[0]).toMatchObject({ verdict: "allowed", bytesOut: 8, bytesIn: expected.length, credentialIds: ["vcrd_1"] });
});

for (const status of ["101 Switching Protocols", "200 OK"]) {
  test(`a WebSocket's answer (${status}) that cannot be shown fails, and leaves no connection to the server open`, async () => {
    world.secrets.set("vcrd_1", "8-bytes.");
    const closed = Promise.withResolvers<void>();
    const server = await serveHttp1(world, (_request, response) => response.end());
    server.on("upgrade", (_request, socket) => {
      socket.on("error", () => undefined).once("close", () => closed.resolve());
      const large = ["A", "B", "C"].map((name) => `X-${name}: ${"8-bytes.".repeat(2_000)}\r\n`).join("");
      const upgrade = status.startsWith("101") ? "Connection: Upgrade\r\nUpgrade: websocket\r\n" : "Content-Length: 5\r\n";
      socket.write(`HTTP/1.1 ${status}\r\n${upgrade}${large}\r\n`);
      socket.resume();
    });
    const upgrade = ["-H", "Connection: Upgrade", "-H", "Upgrade: websocket"];
    const { stdout } = await curl(world, "--http1.1", "-i", `https://${HOST}/`, ...upgrade);
    expect(stdout).toMatch(/^HTTP\/1.1 502 /);
    expect(stdout).toMatch(/x-sandbox0-denied: headers_too_large/i);
    await closed.promise;
    await vi.waitFor(() => expect(world.rows).toMatchObject([{ verdict: "failed", reason: "headers_too_large" }]));
  });
}

test("a WebSocket that the server or the policy refuses is an ordinary answer", async () => {
  await serveHttp1(world, (request, response) => response.writeHead(401).end(request.headers.authorization));
  const upgrade = ["-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "-H", `Authorization: ${PLACEHOLDER}`];
  const refused = await curl(world, "--http1.1", "-i", `https://${HOST}/`, ...upgrade);
  expect(refused.stdout).toMatch(/^HTTP\/1.1 401 /);
  expect(refused.stdout).toContain(COVERED);
  world.policy = null;
  const denied = await curl(world, "--http1.1", "-i", `https://${HOST}/`, ...upgrade);
  expect(denied.stdout).toMatch(/^HTTP\/1.1 403 /);
  await vi.waitFor(() => expect(world.rows).toHaveLength(2), { timeout: 30_000 });
  expect(world.rows.map(({ verdict }) => verdict)).toEqual(["allowed", "denied"]);
});
