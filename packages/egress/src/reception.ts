import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { endWithError, sendError } from "./denial-response.ts";
import { EgressError } from "./egress-error.ts";
import { inspectFirstBytes } from "./first-bytes.ts";
import { parseAuthority } from "./host.ts";
import { asksForWebSocket } from "./intercept/web-socket.ts";
import type { EgressLimits } from "./limits.ts";
import { forwardRequest, forwardUpgrade, smugglingIn, type Door } from "./plain-http.ts";
import { type Breach, type ResponseWatch, watchResponses } from "./request-watch.ts";
import { acceptSocks, readSocksRequest, refuseSocks, SOCKS_VERSION } from "./socks.ts";
import { openTunnel, type WayOut } from "./tunnel.ts";

/** Answers the requests of a sandbox to `/model/...`. Owns the response; never throws. */
export type ModelHandler = (request: IncomingMessage, response: ServerResponse, sandboxId: string) => void;

export interface Reception {
  /** Takes over a new connection of a sandbox. */
  receive(socket: Socket, sandboxId: string): void;
}

const MODEL_PATH = /^\/model(?:[/?]|$)/;
const NOT_A_PROXY_REQUEST =
  "this is the way out of the sandbox. Use it as an HTTP or SOCKS5 proxy (HTTP_PROXY, HTTPS_PROXY and ALL_PROXY are set), " +
  "or for the model under /model/.";
const READ_BUFFER_BYTES = 64 * 1024;

/** Tells the protocols of new connections apart by their first bytes, and leads each to its part of the gateway. */
export const createReception = (
  out: WayOut,
  model: ModelHandler,
  onBug: (error: unknown, sandboxId: string) => void,
): Reception => {
  const serveHttp = createHttpDoor(out, model, onBug);
  const receive = async (socket: Socket, sandboxId: string): Promise<void> => {
    try {
      const first = await inspectFirstBytes(socket, { bytesMax: 1, timeoutMs: out.limits.handshakeMs }, (bytes) => bytes[0]);
      if (first !== SOCKS_VERSION) return void serveHttp(socket, { sandboxId, tunnel: null, ended: false });
      const asked = await readSocksRequest(socket, out.limits);
      await openTunnel(out, {
        sandboxId,
        socket,
        ...asked,
        accept: () => acceptSocks(socket),
        refuse: (error) => refuseSocks(socket, error),
        servePlainHttp: () => serveHttp(socket, { sandboxId, tunnel: asked, ended: false }),
      });
    } catch (error) {
      if (!(error instanceof EgressError)) throw error;
      if (error.verdict === "denied") recordMalformed(out, sandboxId, error);
      // What was answered still goes out.
      if (!socket.writableEnded) socket.destroy();
    }
  };
  return {
    receive: (socket, sandboxId) => {
      receive(socket, sandboxId).catch((error: unknown) => {
        onBug(error, sandboxId);
        socket.destroy();
      });
    },
  };
};

/** Serves HTTP on sockets that come from elsewhere: Node's server parses and never listens. */
const createHttpDoor = (out: WayOut, model: ModelHandler, onBug: (error: unknown, sandboxId: string) => void) => {
  const doors = new WeakMap<Socket, { door: Door; watch: ResponseWatch }>();
  const parser = createParser(out.limits);
  const serve = (socket: Socket, door: Door): void => {
    const watch = watchResponses(socket, boundsOf(out.limits), (breach) => endForBreach(out, door, socket, breach));
    doors.set(socket, { door, watch });
    parser.emit("connection", socket);
    socket.resume();
  };
  /** Nothing that a client does may end as an unhandled rejection, nor leave its connection open. */
  const at = (socket: Socket, work: (door: Door) => Promise<void> | void): void => {
    const door = doors.get(socket)?.door;
    const fault = (error: unknown): void => {
      onBug(error, door?.sandboxId ?? "");
      socket.destroy();
    };
    if (door?.ended) return;
    if (door) Promise.try(() => work(door)).catch(fault);
    else fault(new Error("a request on a connection that nobody received"));
  };
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    if (doors.get(request.socket)?.watch.begin(response) === false) return;
    at(request.socket, (door) => {
      if (door.tunnel || !request.url?.startsWith("/")) return forwardRequest(out, door, request, response);
      const smuggling = smugglingIn(request);
      if (smuggling) return endDoor(out, door, response, smuggling);
      if (!MODEL_PATH.test(request.url)) return sendError(response, notAProxyRequest());
      // Models think for long: the model gateway knows how long.
      request.socket.setTimeout(0);
      return model(request, response, door.sandboxId);
    });
  };
  /** What follows the request is no request. */
  const leave = (socket: Socket, work: (door: Door) => Promise<void> | void): void => {
    doors.get(socket)?.watch.stop();
    at(socket, work);
  };
  parser.on("request", answer);
  parser.on("checkContinue", answer);
  // Node would answer by itself, and uncounted.
  parser.on("checkExpectation", answer);
  parser.on("connect", (request, socket: Socket, head) =>
    leave(socket, (door) => {
      socket.setTimeout(0);
      if (head.length > 0) socket.unshift(head);
      return connect(out, door, request, socket, (tunnel) => serve(socket, { sandboxId: door.sandboxId, tunnel, ended: false }));
    }),
  );
  parser.on("upgrade", (request, socket: Socket, head) =>
    leave(socket, (door) => {
      // Node's server has let go of the socket, and of its timer.
      socket.setTimeout(out.limits.idleMs, () => socket.destroy());
      return forwardUpgrade(out, door, request, socket, head);
    }),
  );
  parser.on("clientError", (_, socket: Socket) => {
    const error = new EgressError("denied", "malformed_request", "this is not a request that this proxy can read", 400);
    if (socket.writable) {
      at(socket, (door) => {
        door.ended = true;
        recordMalformed(out, door.sandboxId, error);
      });
    }
    endWithError(socket, error);
  });
  return serve;
};

const boundsOf = ({ pipelinedRequestsMax, handshakeMs, idleMs }: EgressLimits) => ({
  requestsMax: pipelinedRequestsMax,
  firstHeadMs: handshakeMs,
  nextHeadMs: idleMs,
});

const endForBreach = (out: WayOut, door: Door, socket: Socket, breach: Breach): void => {
  door.ended = true;
  if (breach === "no_request") {
    const error = new EgressError("failed", "handshake_timeout", "the client sent no whole request in time", 408);
    return void endWithError(socket, error);
  }
  // It cannot be told why: the answers that were asked for come first.
  socket.destroy();
  if (breach !== "too_many_requests") return;
  recordMalformed(out, door.sandboxId, new EgressError("denied", breach, "too many requests wait on one connection", 429));
};

const endDoor = (out: WayOut, door: Door, response: ServerResponse, message: string): void => {
  const error = new EgressError("denied", "malformed_request", message, 400);
  door.ended = true;
  recordMalformed(out, door.sandboxId, error);
  sendError(response, error);
};

const connect = async (
  out: WayOut,
  { sandboxId, tunnel }: Door,
  request: IncomingMessage,
  socket: Socket,
  servePlainHttp: (tunnel: NonNullable<Door["tunnel"]>) => void,
): Promise<void> => {
  const asked = parseAuthority(request.url ?? "");
  const hasBody = request.headers["content-length"] !== undefined || request.headers["transfer-encoding"] !== undefined;
  if (!asked || tunnel || hasBody || smugglingIn(request)) {
    const message = tunnel ? "a tunnel inside a tunnel is not served" : "CONNECT names host:port, and has no body";
    const error = new EgressError("denied", "malformed_request", message, 400);
    recordMalformed(out, sandboxId, error);
    return endWithError(socket, error);
  }
  // What is sent from here on goes through the tunnel, and is no request.
  await openTunnel(out, {
    sandboxId,
    socket,
    ...asked,
    accept: () => void socket.write("HTTP/1.1 200 Connection established\r\n\r\n"),
    refuse: (error) => endWithError(socket, error),
    servePlainHttp: () => servePlainHttp(asked),
  });
};

const notAProxyRequest = (): EgressError => new EgressError("denied", "not_a_proxy_request", NOT_A_PROXY_REQUEST, 404);

const createParser = (limits: EgressLimits): Server => {
  const parser = createServer({
    insecureHTTPParser: false,
    // We say ourselves what is wrong with it, and leave a row.
    requireHostHeader: false,
    maxHeaderSize: limits.requestHeaderBytesMax,
    keepAliveTimeout: limits.idleMs,
    shouldUpgradeCallback: asksForWebSocket,
    highWaterMark: READ_BUFFER_BYTES,
  });
  parser.timeout = limits.idleMs;
  return parser;
};

/** What cannot be read has no host and, as nothing was decided for it, no session. */
const recordMalformed = (out: WayOut, sandboxId: string, { verdict, reason }: EgressError): void =>
  out.audit.record({
    workspaceId: null,
    sessionId: null,
    sandboxId,
    at: new Date(),
    durationMs: 0,
    host: null,
    port: null,
    verdict,
    reason,
    bytesOut: 0,
    bytesIn: 0,
    credentialIds: [],
  });
