import { type ClientRequest, type IncomingMessage, request, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { AuditRow } from "../port.ts";
import type { Substitution } from "../substitution/substitution.ts";
import { admit, authorityOf, malformed, type Route } from "./admission.ts";
import { newAuditRow, recordAudit } from "./audit.ts";
import type { ClientExchange } from "./exchange.ts";
import { countBytes, fail, type Forwarding, outgoingHeaders, respond } from "./forward.ts";
import { createFrameCover } from "./frame-cover.ts";
import { endToEnd, type HeaderList, toHeaderList, without } from "./headers.ts";
import { createHttp1Exchange } from "./http1-exchange.ts";
import { toResponse } from "./http1-upstream.ts";
import { HEADER_BYTES_MAX, STREAM_LISTENERS_MAX } from "./limits.ts";
import type { WebSocketRequest } from "./port.ts";

const UPGRADE: HeaderList = [
  ["Connection", "Upgrade"],
  ["Upgrade", "websocket"],
];

/** How the upstream is reached, which serves nothing else. */
export type DialUpstream = () => Promise<Duplex>;

type Answer = { response: IncomingMessage; socket: Duplex | null; head: Buffer };

/** Is this an upgrade that we know? Any other is passed on as the ordinary request that it also is. */
export function asksForWebSocket(request: IncomingMessage): boolean {
  return request.method === "GET" && request.headers.upgrade?.toLowerCase() === "websocket";
}

/**
 * The handshake with its secrets, then frames both ways; over plain HTTP (`route.scheme`) just as over TLS. Records one audit
 * row. Never rejects.
 */
export async function forwardWebSocket(
  asked: WebSocketRequest,
  forwarding: Pick<Forwarding, "deps" | "route">,
  dial: DialUpstream,
): Promise<void> {
  const started = performance.now();
  const row = newAuditRow(forwarding.route.target);
  const exchange = exchangeOn(asked, forwarding.route.scheme === "http");
  if (!exchange) {
    asked.socket.destroy();
    const { verdict, reason } = malformed("request");
    return recordAudit(forwarding.deps.audit, { ...row, verdict, reason }, started);
  }
  let substitution: Substitution | null = null;
  try {
    substitution = await admit(forwarding.deps, forwarding.route, exchange, row);
    const answer = await handshake(exchange, forwarding.route, dial, substitution);
    try {
      if (answer.socket) await passFrames(asked, answer, answer.socket, substitution, row);
      else await respond(exchange, toResponse(answer.response), substitution, row);
    } catch (error) {
      // The client is told; the connection to the upstream serves nothing else.
      (answer.socket ?? answer.response).destroy();
      throw error;
    }
  } catch (error) {
    await fail(exchange, error, forwarding, row);
  } finally {
    row.credentialIds = substitution?.credentialIds() ?? [];
    recordAudit(forwarding.deps.audit, row, started);
  }
}

/** For an answer that is no WebSocket; the connection ends with it. `null`: an earlier request still waits for its own. */
function exchangeOn({ request: asked, socket }: WebSocketRequest, absolute: boolean): ClientExchange | null {
  const response = new ServerResponse(asked);
  response.shouldKeepAlive = false;
  try {
    response.assignSocket(socket as never);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_HTTP_SOCKET_ASSIGNED") return null;
    throw error;
  }
  response.once("finish", () => socket.end());
  return createHttp1Exchange(asked, response, { expectsContinue: false, absolute });
}

async function handshake(
  exchange: ClientExchange,
  route: Route,
  dial: DialUpstream,
  substitution: Substitution,
): Promise<Answer> {
  const headers = without(outgoingHeaders(exchange.headers, substitution), "host", "content-length", "expect");
  // Compressed frames could not be looked through.
  const sent = substitution.covers ? without(headers, "sec-websocket-extensions") : headers;
  const upstream = await dial();
  const client = request({
    createConnection: () => upstream,
    path: exchange.path,
    headers: [["Host", authorityOf(route)] as const, ...UPGRADE, ...sent].flat(),
    setHost: false,
    maxHeaderSize: HEADER_BYTES_MAX,
    signal: exchange.gone,
  });
  const answer = answerOf(client);
  client.end();
  return answer;
}

function answerOf(client: ClientRequest): Promise<Answer> {
  return new Promise((resolve, reject) => {
    client.once("upgrade", (response, socket, head) => resolve({ response, socket, head }));
    client.once("response", (response) => resolve({ response, socket: null, head: Buffer.alloc(0) }));
    client.on("error", reject);
    client.once("close", () => reject(new Error("closed before a response")));
  });
}

async function passFrames(asked: WebSocketRequest, answer: Answer, upstream: Duplex, substitution: Substitution, row: AuditRow) {
  // First: when it throws, the client's socket is as it was, for an answer.
  const headers = [...UPGRADE, ...substitution.responseHeaders(endToEnd(toHeaderList(answer.response.rawHeaders)))];
  const { socket } = asked;
  socket.setMaxListeners(STREAM_LISTENERS_MAX);
  upstream.setMaxListeners(STREAM_LISTENERS_MAX);
  if (asked.head.length > 0) socket.unshift(asked.head);
  if (answer.head.length > 0) upstream.unshift(answer.head);
  const lines = ["HTTP/1.1 101 Switching Protocols", ...headers.map(([name, value]) => `${name}: ${value}`), "", ""];
  socket.write(lines.join("\r\n"), "latin1");
  const replacements = substitution.responseReplacements();
  const cover = replacements.length > 0 ? [createFrameCover(replacements)] : [];
  const out = countBytes((bytes) => {
    row.bytesOut += bytes;
  });
  const back = countBytes((bytes) => {
    row.bytesIn += bytes;
  });
  // Either side's end is the end: WebSocket has a closing handshake of its own.
  try {
    await Promise.race([pipeline([socket, out, upstream]), pipeline([upstream, back, ...cover, socket])]);
  } finally {
    upstream.destroy();
    socket.destroy();
  }
}
