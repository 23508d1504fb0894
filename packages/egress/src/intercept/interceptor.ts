/** Opens the TLS of connections to hosts that a credential is bound to, and forwards what is inside. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { constants, performServerHandshake, type ServerHttp2Session } from "node:http2";
import type { Duplex } from "node:stream";
import { type SecureContext, TLSSocket } from "node:tls";
import { type Budget, createBudget } from "../budget.ts";
import { EgressError } from "../egress-error.ts";
import { parseHost } from "../host.ts";
import { type Breach, type RequestWatch, type ResponseWatch, watchRequests, watchResponses } from "../request-watch.ts";
import { authorityOf, malformed, type Route } from "./admission.ts";
import { newAuditRow, recordAudit } from "./audit.ts";
import type { Upstream } from "./exchange.ts";
import { type Forwarding, forward } from "./forward.ts";
import { createHttp1Exchange } from "./http1-exchange.ts";
import { createHttp1Upstream } from "./http1-upstream.ts";
import { createHttp2Exchange } from "./http2-exchange.ts";
import { SESSION_WINDOW_BYTES } from "./http2-upstream.ts";
import {
  BUFFERED_BODIES_BYTES_MAX,
  BUFFERED_BODIES_PER_SANDBOX_BYTES_MAX,
  CLIENT_HANDSHAKE_MS,
  CLIENT_STREAM_WINDOW_BYTES,
  CONCURRENT_STREAMS_MAX,
  FIRST_REQUEST_MS,
  HEADER_BYTES_MAX,
  HTTP2_CONNECTIONS_MAX,
  HTTP2_CONNECTIONS_PER_SANDBOX_MAX,
  HTTP2_FIELDS,
  HTTP2_FLOOD_BOUNDS,
  HTTP2_REQUESTS_MAX,
  IDLE_MS,
  PIPELINED_REQUESTS_MAX,
  PLAIN_UPSTREAMS_MAX,
} from "./limits.ts";
import { createNegotiatedUpstream } from "./negotiated-upstream.ts";
import type { Interceptor, InterceptorDeps, Target } from "./port.ts";
import { createUpstreamTrust, dialPlain, dialTls, type UpstreamTrust } from "./upstream-dial.ts";
import { asksForWebSocket, forwardWebSocket } from "./web-socket.ts";

/** Fatal alert `unrecognized_name` (RFC 6066 §3). */
const TLS_UNRECOGNIZED_NAME = Buffer.from([21, 3, 3, 0, 2, 2, 112]);
const BAD_REQUEST = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/** A client connection whose TLS ends here. */
interface Opened {
  forwarding: Forwarding;
  socket: TLSSocket;
}

interface OpenedHttp1 extends Opened {
  watch: ResponseWatch;
}

const HTTP1_BOUNDS = { requestsMax: PIPELINED_REQUESTS_MAX, firstHeadMs: FIRST_REQUEST_MS, nextHeadMs: IDLE_MS };
const HTTP2_BOUNDS = { ...HTTP1_BOUNDS, requestsMax: HTTP2_REQUESTS_MAX };

export function createInterceptor(deps: InterceptorDeps): Interceptor {
  const trust = createUpstreamTrust(deps.extraCas ?? []);
  const budget = createBudget(BUFFERED_BODIES_BYTES_MAX, BUFFERED_BODIES_PER_SANDBOX_BYTES_MAX);
  const http2Connections = createBudget(HTTP2_CONNECTIONS_MAX, HTTP2_CONNECTIONS_PER_SANDBOX_MAX);
  const opened = new Set<TLSSocket>();
  const plain = new WeakMap<Duplex, Map<string, Upstream>>();
  const serveHttp1 = createHttp1Door(deps, trust);

  const serve = (socket: TLSSocket, target: Target): void => {
    const route: Route = { target, scheme: "https", putsSecretsIn: true };
    const isHttp2 = socket.alpnProtocol === "h2";
    const upstream = isHttp2
      ? createNegotiatedUpstream(target, trust, authorityOf(route))
      : createHttp1Upstream(() => dialTls(target, trust, ["http/1.1"]));
    const connection: Opened = { forwarding: { deps, route, upstream, budget }, socket };
    opened.add(socket);
    socket.once("close", () => {
      opened.delete(socket);
      upstream.close();
    });
    if (isHttp2) serveHttp2(connection);
    else serveHttp1(connection);
  };
  return {
    async intercept(client, target) {
      const started = performance.now();
      const problem = await openTls(client, target, deps, http2Connections, serve);
      if (problem === null) return;
      recordAudit(deps.audit, { ...newAuditRow(target), verdict: problem.verdict, reason: problem.reason }, started);
    },
    async forwardPlain(request, response, target, secretsInClear) {
      const route: Route = { target, scheme: "http", putsSecretsIn: secretsInClear };
      const { upstream, release } = plainUpstream(plain, request, target);
      const expectsContinue = request.headers.expect?.toLowerCase() === "100-continue";
      const exchange = createHttp1Exchange(request, response, { expectsContinue, absolute: true });
      await forward(exchange, { deps, route, upstream, budget }).finally(release);
    },
    forwardPlainWebSocket: (asked, target, secretsInClear) =>
      forwardWebSocket(asked, { deps, route: { target, scheme: "http", putsSecretsIn: secretsInClear } }, () =>
        dialPlain(target),
      ),
    async close() {
      for (const socket of opened) socket.destroy();
    },
  };
}

/** Ends the client's TLS. Resolves when the connection is over, with what was wrong if no request could be read on it. */
function openTls(
  client: Duplex,
  target: Target,
  deps: InterceptorDeps,
  http2Connections: Budget,
  serve: (socket: TLSSocket, target: Target) => void,
): Promise<EgressError | null> {
  return deps.ca.leafFor(target.host).then(
    ({ context }) => handshake(client, target, { context, http2Connections }, serve),
    () => {
      client.destroy();
      return new EgressError("failed", "certificate", "No certificate could be made for this host.");
    },
  );
}

function handshake(
  client: Duplex,
  target: Target,
  { context: secureContext, http2Connections }: { context: SecureContext; http2Connections: Budget },
  serve: (socket: TLSSocket, target: Target) => void,
): Promise<EgressError | null> {
  return new Promise((resolve) => {
    let problem: EgressError | null = new EgressError("failed", "client_tls", "The client ended the TLS handshake.");
    const asHttp2 = http2Connections.take(target.sandboxId, 1);
    const socket = new TLSSocket(client, {
      isServer: true,
      secureContext,
      ALPNProtocols: asHttp2 ? ["h2", "http/1.1"] : ["http/1.1"],
      SNICallback(name, done) {
        if (parseHost(name)?.text === target.host) return done(null, secureContext);
        problem = new EgressError("denied", "sni_mismatch", "The TLS handshake names another host.");
        client.write(TLS_UNRECOGNIZED_NAME);
        done(problem);
      },
    });
    socket.setTimeout(CLIENT_HANDSHAKE_MS, () => socket.destroy());
    // What went wrong is in `problem`, or in the rows of the requests; its text is the client's.
    socket.on("error", () => socket.destroy());
    client.on("error", () => socket.destroy());
    socket.once("close", () => {
      client.destroy();
      asHttp2?.();
      resolve(problem);
    });
    socket.once("secure", () => {
      problem = null;
      if (socket.alpnProtocol !== "h2") asHttp2?.();
      socket.setTimeout(IDLE_MS);
      // As tls.Server does with its sockets; HTTP/2 would wait for it.
      Object.assign(socket, { secureConnecting: false });
      serve(socket, target);
    });
    if (client.destroyed) socket.destroy();
  });
}

/** Ends a connection that is not used as it should be, and says so in an audit row, unless it was merely left alone. */
function endForBreach(breach: Breach, { socket, forwarding }: Opened): void {
  socket.destroy();
  if (breach === "idle") return;
  const verdict = breach === "too_many_requests" ? "denied" : "failed";
  recordAudit(forwarding.deps.audit, { ...newAuditRow(forwarding.route.target), verdict, reason: breach }, performance.now());
}

/** Serves HTTP/1.1 on connections that are opened: Node's server parses and never listens. */
function createHttp1Door(deps: InterceptorDeps, trust: UpstreamTrust): (connection: Opened) => void {
  const opened = new WeakMap<Duplex, OpenedHttp1>();
  const server = createParser();
  const onRequest = (request: IncomingMessage, response: ServerResponse, expectsContinue: boolean): void => {
    const connection = opened.get(request.socket);
    // Only sockets that are in the map are given to this server.
    if (!connection) return void response.destroy();
    if (!connection.watch.begin(response)) return;
    void forward(createHttp1Exchange(request, response, { expectsContinue, absolute: false }), connection.forwarding);
  };
  server.on("request", (request, response) => onRequest(request, response, false));
  server.on("checkContinue", (request, response) => onRequest(request, response, true));
  // Node would answer by itself, and uncounted.
  server.on("checkExpectation", (request, response) => onRequest(request, response, false));
  server.on("upgrade", (request, socket, head) => {
    const connection = opened.get(socket);
    connection?.watch.stop();
    if (!connection) return void socket.destroy();
    const { forwarding } = connection;
    const dial = () => dialTls(forwarding.route.target, trust, ["http/1.1"]);
    void forwardWebSocket({ request, socket, head }, forwarding, dial);
  });
  const refuse = (socket: Duplex): void => {
    const connection = opened.get(socket);
    const { verdict, reason } = malformed("request");
    if (connection)
      recordAudit(deps.audit, { ...newAuditRow(connection.forwarding.route.target), verdict, reason }, performance.now());
    if (socket.writable) socket.end(BAD_REQUEST, () => socket.destroy());
    else socket.destroy();
  };
  server.on("connect", (_request, socket) => refuse(socket));
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    // The parser's own codes; others are of the connection, which is over.
    if (error.code?.startsWith("HPE_")) refuse(socket);
    else socket.destroy();
  });
  return (connection) => {
    const { socket } = connection;
    const watch = watchResponses(socket, HTTP1_BOUNDS, (breach) => endForBreach(breach, connection));
    opened.set(socket, { ...connection, watch });
    server.emit("connection", socket);
  };
}

function createParser(): Server {
  const server = createServer({
    insecureHTTPParser: false,
    maxHeaderSize: HEADER_BYTES_MAX,
    // We say ourselves what is wrong with Host, and leave a row.
    requireHostHeader: false,
    shouldUpgradeCallback: asksForWebSocket,
    noDelay: true,
  });
  server.timeout = IDLE_MS;
  server.keepAliveTimeout = IDLE_MS;
  return server;
}

function serveHttp2(connection: Opened): void {
  const { socket, forwarding } = connection;
  const session: ServerHttp2Session = performServerHandshake(socket, {
    ...HTTP2_FLOOD_BOUNDS,
    ...HTTP2_FIELDS,
    settings: {
      enablePush: false,
      initialWindowSize: CLIENT_STREAM_WINDOW_BYTES,
      maxConcurrentStreams: CONCURRENT_STREAMS_MAX,
      maxHeaderListSize: HEADER_BYTES_MAX,
    },
  });
  const watch: RequestWatch = watchRequests(HTTP2_BOUNDS, (breach) => {
    session.destroy(undefined, constants.NGHTTP2_ENHANCE_YOUR_CALM);
    endForBreach(breach, connection);
  });
  session.setLocalWindowSize(SESSION_WINDOW_BYTES);
  // The session reads past the socket, which would look idle.
  socket.setTimeout(0);
  session.setTimeout(IDLE_MS, () => session.destroy());
  session.on("stream", (stream, pseudo, _flags, rawHeaders: readonly string[] | undefined) => {
    // Its end is told to the exchange by `close`.
    stream.on("error", () => stream.destroy());
    if (!watch.begin()) return;
    // Counted until its work has ended, also when the client has reset it before.
    void forward(createHttp2Exchange(stream, pseudo, rawHeaders ?? []), forwarding).finally(() => watch.end());
  });
  session.on("error", () => session.destroy());
  session.once("close", () => {
    watch.stop();
    socket.destroy();
  });
}

/** Connections for plain requests live as long as the client's own. */
function plainUpstream(kept: WeakMap<Duplex, Map<string, Upstream>>, request: IncomingMessage, target: Target) {
  const mine = kept.get(request.socket) ?? keepFor(kept, request.socket);
  const key = `${target.host} ${target.port}`;
  const known = mine.get(key);
  if (known) return { upstream: known, release: () => undefined };
  const upstream = createHttp1Upstream(() => dialPlain(target));
  if (mine.size >= PLAIN_UPSTREAMS_MAX || request.socket.destroyed) return { upstream, release: () => upstream.close() };
  mine.set(key, upstream);
  return { upstream, release: () => undefined };
}

function keepFor(kept: WeakMap<Duplex, Map<string, Upstream>>, client: Duplex): Map<string, Upstream> {
  const upstreams = new Map<string, Upstream>();
  kept.set(client, upstreams);
  client.once("close", () => {
    for (const upstream of upstreams.values()) upstream.close();
  });
  return upstreams;
}
