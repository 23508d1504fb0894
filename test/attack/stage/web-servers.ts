import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTcpServer, type Server } from "node:net";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { createServer as createTlsServer, TLSSocket } from "node:tls";
import type { Reached } from "./records.ts";

/** Where the pretend Internet listens, on every address there is: the web, and what attacks like to speak to. */
const WEB_PORTS = [80, 443, 853, 3000, 5432, 6379, 8080, 8443, 22, 25];
const UDP_PORTS = [123, 443, 9999];
const CHUNK = Buffer.alloc(256 * 1024, "x");
const TLS_HANDSHAKE = 0x16;

/** What a host of the pretend Internet does beyond the usual; `false`: not its request. */
export type Site = (request: IncomingMessage, response: ServerResponse, body: string) => Promise<boolean>;

/** Each port speaks TLS and plain HTTP, whatever comes, and records every connection and request. */
export async function startWebServers(
  tls: { cert: string; key: string },
  record: (reached: Reached) => void,
  options: { sites: readonly Site[]; freePorts: readonly number[] },
): Promise<void> {
  const { sites, freePorts } = options;
  const http = createHttpServer((request, response) => {
    answer(request, response, record, sites).catch((error: unknown) => response.destroy(error as Error));
  });
  http.on("upgrade", (request, socket) => {
    record(httpRecord(request, ""));
    socket.end("HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\n");
  });
  http.on("clientError", (_error, socket) => socket.destroy());
  const secure = createTlsServer({ ...tls, ALPNProtocols: ["http/1.1"] }, (socket) => http.emit("connection", socket));
  secure.on("tlsClientError", (_error, socket) => socket.destroy());
  await Promise.all(
    WEB_PORTS.filter((port) => !freePorts.includes(port)).map((port) => {
      const server = createTcpServer((socket) => {
        socket.on("error", () => undefined);
        record({ kind: "tcp", to: plain(socket.localAddress), port });
        socket.once("data", (first) => {
          socket.pause();
          socket.unshift(first);
          if (first[0] === TLS_HANDSHAKE) {
            secure.emit("connection", socket);
            return;
          }
          http.emit("connection", socket);
          // It takes what was read already once it flows again.
          process.nextTick(() => socket.resume());
        });
      });
      return listening(server, port);
    }),
  );
}

export async function startUdpServers(record: (reached: Reached) => void): Promise<void> {
  for (const port of UDP_PORTS) {
    const socket = createSocket("udp6");
    socket.on("message", (message) => record({ kind: "udp", port, text: message.toString("latin1") }));
    await new Promise<void>((done) => socket.bind(port, done));
  }
}

function listening(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => server.once("error", reject).listen(port, "::", resolve));
}

/**
 * `/echo` gives back the request, `/status/500` and what is below too and with that status, `/redirect?to=` leads elsewhere, `/bytes/n` is long, `/sink` takes all,
 * everything else is a greeting.
 */
async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  record: (reached: Reached) => void,
  sites: readonly Site[],
): Promise<void> {
  if (request.url === "/sink") {
    // Nothing is kept of what may be large.
    request.resume();
    await once(request, "end");
    response.end("taken");
    return;
  }
  const body = await text(request.setEncoding("latin1"));
  record(httpRecord(request, body));
  for (const site of sites) if (await site(request, response, body)) return;
  const url = new URL(request.url ?? "/", "http://pretend");
  const status = /^\/status\/(\d{3})(?:\/|$)/.exec(url.pathname)?.[1];
  if (url.pathname === "/echo" || status !== undefined) {
    const echo = JSON.stringify({ method: request.method, url: request.url, headers: request.rawHeaders, body });
    response.writeHead(Number(status ?? 200), {
      "content-type": "application/json",
      "x-echo": String(request.headers.authorization ?? ""),
    });
    response.end(echo);
  } else if (url.pathname === "/redirect") {
    response.writeHead(302, { location: url.searchParams.get("to") ?? "/" }).end();
  } else if (url.pathname.startsWith("/bytes/")) {
    const bytes = Number(url.pathname.slice("/bytes/".length));
    response.writeHead(200, { "content-length": bytes });
    await pipeline(Readable.from(chunks(bytes)), response);
  } else {
    response.end(`reached ${request.headers.host}`);
  }
}

function* chunks(bytes: number): Generator<Buffer> {
  for (let left = bytes; left > 0; left -= CHUNK.length) yield CHUNK.subarray(0, left);
}

function httpRecord(request: IncomingMessage, body: string): Reached {
  const socket = request.socket;
  const sni = socket instanceof TLSSocket ? (socket as TLSSocket & { servername?: string | false }).servername : undefined;
  return {
    kind: "http",
    to: plain(socket.localAddress),
    port: socket.localPort ?? 0,
    tls: socket instanceof TLSSocket,
    sni: sni || null,
    method: request.method ?? "",
    url: request.url ?? "",
    host: request.headers.host ?? "",
    headers: Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)])),
    body,
  };
}

/** IPv4 as such, also from a socket that listens on both. */
function plain(address: string | undefined): string {
  return (address ?? "").replace(/^::ffff:/, "");
}
