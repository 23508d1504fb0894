/** What Node refuses to send may come from either side at any time: it ends one request, and never this process. */
import { once } from "node:events";
import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2, createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { toHeaderList, valuesOf } from "./headers.ts";
import { createHttp2Exchange } from "./http2-exchange.ts";
import {
  createWorld,
  curl,
  HOST,
  openTunnel,
  PLACEHOLDER,
  serveHttp1,
  serveHttp2,
  textOf,
  type World,
} from "./opened.fixture.ts";

let world: World;
beforeEach(async () => {
  world = await createWorld();
});
afterEach(() => world.close());

const REPEATED = { strictSingleValueFields: false };

async function openHttp2(): Promise<ClientHttp2Session> {
  const tls = await openTunnel(world, ["h2"]);
  const session = connectHttp2(`https://${HOST}`, { createConnection: () => tls, ...REPEATED });
  world.closers.push(async () => session.destroy());
  return session;
}

interface Answer {
  status: number;
  denied: unknown;
  values(name: string): string[];
  trailers(name: string): string[];
  body: string;
}

async function answerOf(stream: ClientHttp2Stream): Promise<Answer> {
  let trailers: string[] = [];
  stream.on("trailers", (_headers: object, _flags: number, raw?: string[]) => {
    trailers = raw ?? [];
  });
  const [headers, , raw] = (await once(stream, "response")) as [Record<string, unknown>, number, string[]];
  const body = await text(stream);
  return {
    status: Number(headers[":status"]),
    denied: headers["x-sandbox0-denied"],
    values: (name) => valuesOf(toHeaderList(raw), name),
    trailers: (name) => valuesOf(toHeaderList(trailers), name),
    body,
  };
}

function postWithTrailers(session: ClientHttp2Session, trailers: Record<string, string | string[]>): ClientHttp2Stream {
  const stream = session.request({ ":method": "POST", ":path": "/" }, { waitForTrailers: true });
  stream.once("wantTrailers", () => stream.sendTrailers(trailers));
  stream.end("body");
  return stream;
}

test("HTTP/2: a client's trailers and headers may hold twice what is known to come once", async () => {
  const seen: string[][] = [];
  const server = await serveHttp2(world, (stream) => {
    stream.on("trailers", (_headers: object, _flags: number, raw?: string[]) => void seen.push(raw ?? []));
    stream.resume().once("end", () => {
      stream.respond({ ":status": 200 });
      stream.end("ok");
    });
  });
  server.on("session", (session) => session.on("error", () => session.destroy()));
  const session = await openHttp2();
  const stream = postWithTrailers(session, { range: ["bytes=0-1", "bytes=0-2"] });
  expect(await answerOf(stream)).toMatchObject({ status: 200, body: "ok" });
  expect(seen).toEqual([["range", "bytes=0-1", "range", "bytes=0-2"]]);
  const headers = session.request({ ":path": "/", ["range" as string]: ["bytes=0-1", "bytes=0-2"] });
  expect(await answerOf(headers)).toMatchObject({ status: 200 });
});

test("HTTP/2: an answer may hold twice what is known to come once, in its trailers as well", async () => {
  await serveHttp1(world, (_request, response) => {
    response.writeHead(200, ["ETag", '"a"', "ETag", '"b"', "X-Content-Type-Options", "nosniff", "X-Content-Type-Options", "x"]);
    response.write("whole");
    response.addTrailers([
      ["ETag", '"a"'],
      ["ETag", '"b"'],
      ["Keep-Alive", "timeout=5"],
      ["TE", "trailers"],
      ["TE", "Trailers"],
      ["X-Trailer", PLACEHOLDER],
    ]);
    response.end();
  });
  const session = await openHttp2();
  const answer = await answerOf(session.request({ ":path": "/" }));
  expect(answer).toMatchObject({ status: 200, body: "whole" });
  expect(answer.values("etag")).toEqual(['"a"', '"b"']);
  expect(answer.values("x-content-type-options")).toEqual(["nosniff", "x"]);
  expect(answer.trailers("etag")).toEqual(['"a"', '"b"']);
  expect(answer.trailers("keep-alive")).toEqual([]);
  expect(answer.trailers("x-trailer")).toEqual([PLACEHOLDER]);
});

test("a status that HTTP/2 does not know is a 502 there, and passes where it may", async () => {
  await serveHttp1(world, (_request, response) => response.writeHead(999).end("denied by a site"));
  const { stdout } = await curl(world, "--http1.1", "-i", `https://${HOST}/`);
  expect(stdout).toMatch(/^HTTP\/1.1 999 /);
  expect(stdout).toContain("denied by a site");
  const session = await openHttp2();
  const answer = await answerOf(session.request({ ":path": "/" }));
  expect(answer).toMatchObject({ status: 502, denied: "upstream_status" });
  expect(answer.body).toContain("sandbox0 egress gateway: ");
  await vi.waitFor(() => expect(world.rows).toHaveLength(2), { timeout: 30_000 });
  expect(world.rows[1]).toMatchObject({ verdict: "failed", reason: "upstream_status" });
});

const BELL = "bell\u0007and-more";
const REFUSED = { status: 502, denied: "secret_not_a_header_value" };

test("HTTP/2: a secret that no trailer can carry is a 502 that says so", async () => {
  world.secrets.set("vcrd_1", BELL);
  const server = await serveHttp2(world, (stream) => stream.on("error", () => stream.destroy()).resume());
  server.on("session", (session) => session.on("error", () => session.destroy()));
  const session = await openHttp2();
  expect(await answerOf(postWithTrailers(session, { "x-trailer": PLACEHOLDER }))).toMatchObject(REFUSED);
});

test("HTTP/1.1: a secret that no trailer can carry is a 502 that says so", async () => {
  world.secrets.set("vcrd_1", BELL);
  await serveHttp1(world, (request) => request.resume());
  const session = await openHttp2();
  expect(await answerOf(postWithTrailers(session, { "x-trailer": PLACEHOLDER }))).toMatchObject(REFUSED);
  const tls = await openTunnel(world, ["http/1.1"]);
  const head = `POST / HTTP/1.1\r\nHost: ${HOST}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n`;
  tls.write(`${head}1\r\nx\r\n0\r\nX-Trailer: ${PLACEHOLDER}\r\n\r\n`);
  const answer = await textOf(tls);
  expect(answer).toMatch(/^HTTP\/1.1 502 /);
  expect(answer).toContain("X-Sandbox0-Denied: secret_not_a_header_value");
});

test("HTTP/2: a server that says go on to a client that has just left", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  world.closers.push(async () => {
    server.close();
    await once(server, "close");
  });
  await once(server, "listening");
  const client = connectHttp2(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const asked = client.request({ ":method": "POST", ":path": "/", expect: "100-continue" });
  asked.on("error", () => undefined);
  const [stream, pseudo, , raw] = await once(server, "stream");
  const exchange = createHttp2Exchange(stream, pseudo, raw);
  stream.destroy();
  expect(exchange.gone.aborted).toBe(false);
  exchange.sendContinue();
  await vi.waitFor(() => expect(exchange.gone.aborted).toBe(true), { timeout: 30_000 });
  client.destroy();
});

test("a WebSocket that is asked for behind a request that still waits ends the connection", async () => {
  const asked: (string | undefined)[] = [];
  await serveHttp1(world, (request) => void asked.push(request.url));
  const tls = await openTunnel(world, ["http/1.1"]);
  const upgrade = `GET /chat HTTP/1.1\r\nHost: ${HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`;
  const closed = once(tls, "close");
  tls.on("error", () => undefined).resume();
  tls.write(`GET /slow HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
  await vi.waitFor(() => expect(asked).toEqual(["/slow"]), { timeout: 30_000 });
  tls.write(upgrade);
  await closed;
  await vi.waitFor(() => expect(world.rows).toHaveLength(2), { timeout: 30_000 });
  expect(world.rows.map(({ reason }) => reason).sort()).toEqual(["client_left", "malformed_request"]);
});
