import { request as httpRequest, type IncomingMessage, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { endWithError, responseOn, sendError } from "./denial-response.ts";
import { EgressError } from "./egress-error.ts";
import { hostInUrl, parseAuthority, type Host } from "./host.ts";
import type { AuditRow, SandboxPolicy } from "./port.ts";
import { splice } from "./splice.ts";
import type { WayOut } from "./tunnel.ts";

/** The connection of a sandbox that requests come through. */
export interface Door {
  sandboxId: string;
  /** Where its tunnel leads, when the requests come inside one. */
  tunnel: { host: Host; port: number } | null;
  /** Something on it could not be trusted: nothing that follows is a request. */
  ended: boolean;
}

interface Destination {
  host: Host;
  port: number;
  path: string;
}

const HTTP_PORT = 80;

/** Forwards one plain request, if it may go. Never rejects for what either side does. */
export const forwardRequest = async (
  out: WayOut,
  door: Door,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> => {
  const admitted = await admit(out, door, readDestination(request, door));
  if (admitted.error) return sendError(response, admitted.error);
  const { host, port, path } = admitted.destination;
  request.url = `http://${hostInUrl(host.text)}${port === HTTP_PORT ? "" : `:${port}`}${path}`;
  const cut = (denial: EgressError | null): void => (denial ? sendError(response, denial) : void response.destroy());
  const remove = out.ways.add({ sandboxId: door.sandboxId, host: host.text, port, unread: false, cut });
  try {
    const target = { sandboxId: door.sandboxId, host: host.text, port, dial: () => out.dial(door.sandboxId, host.text, port) };
    await out.interceptor.forwardPlain(request, response, target, admitted.private);
  } finally {
    remove();
  }
};

type Admitted = { error: EgressError } | { error: null; destination: Destination; private: boolean; policy: SandboxPolicy };

/** Holds a request against the policy and the addresses; a denial leaves its audit row here. */
const admit = async (out: WayOut, door: Door, asked: Destination | EgressError): Promise<Admitted> => {
  const at = new Date();
  const started = performance.now();
  const policy = await out.policyOf(door.sandboxId);
  const destination = asked instanceof EgressError ? null : asked;
  try {
    if (asked instanceof EgressError) throw asked;
    const denial = out.denialOf(policy, asked.host.text, asked.port);
    if (denial || !policy) throw denial;
    const addresses = await out.check(asked.host.text, asked.port);
    return { error: null, destination: asked, private: addresses.every(({ opened }) => opened), policy };
  } catch (error) {
    if (!(error instanceof EgressError)) throw error;
    out.audit.record({
      ...rowOf(policy, door, destination),
      at,
      durationMs: performance.now() - started,
      verdict: error.verdict,
      reason: error.reason,
      bytesOut: 0,
      bytesIn: 0,
    });
    return { error };
  }
};

const rowOf = (policy: SandboxPolicy | null, door: Door, destination: Pick<Destination, "host" | "port"> | null) => ({
  workspaceId: policy?.workspaceId ?? null,
  sessionId: policy?.sessionId ?? null,
  sandboxId: door.sandboxId,
  host: destination?.host.text ?? null,
  port: destination?.port ?? null,
  credentialIds: [],
});

/** Where a request wants to go, if all it says of that agrees. One that cannot be trusted ends the door. */
const readDestination = (request: IncomingMessage, door: Door): Destination | EgressError => {
  const smuggling = smugglingIn(request);
  const asked = door.tunnel ? insideTunnel(request, door.tunnel) : absoluteForm(request.url ?? "");
  const named = parseAuthority(request.headers.host ?? "", HTTP_PORT);
  if (smuggling) door.ended = true;
  if (smuggling) return badRequest(smuggling);
  if (asked instanceof EgressError) return asked;
  if (named?.host.text === asked.host.text && named.port === asked.port) return asked;
  return new EgressError("denied", "host_mismatch", `the Host header does not name ${asked.host.text}, where the request goes`);
};

const badRequest = (message: string): EgressError => new EgressError("denied", "malformed_request", message, 400);

const insideTunnel = (request: IncomingMessage, tunnel: { host: Host; port: number }): Destination | EgressError => {
  const path = request.url ?? "";
  if (!path.startsWith("/")) return badRequest("inside a tunnel a request names only its path");
  return { ...tunnel, path };
};

/** RFC 9112 §3.2.2. Read by hand: the URL parser would change the path. */
const absoluteForm = (url: string): Destination | EgressError => {
  const parts = /^http:\/\/([^/?#@\\]+)([/?][^#]*)?$/i.exec(url);
  const authority = parts?.[1] === undefined ? null : parseAuthority(parts[1], HTTP_PORT);
  if (!authority) {
    return badRequest("a request through this proxy names an http:// URL; for https use CONNECT");
  }
  const path = parts?.[2] ?? "/";
  return { ...authority, path: path.startsWith("/") ? path : `/${path}` };
};

/** What two readers could take for different requests. The parser has refused the rest (RFC 9112 §11.2). */
export const smugglingIn = ({ rawHeaders, httpVersion }: IncomingMessage): string | null => {
  const values = (name: string): string[] =>
    rawHeaders.filter((_, at) => at % 2 === 1 && rawHeaders[at - 1]?.toLowerCase() === name);
  const [lengths, encodings] = [values("content-length"), values("transfer-encoding")];
  // HTTP/1.0 knows no Host; clients as common as Python's ask for tunnels with it.
  const hosts = values("host").length;
  if (hosts > 1 || (hosts === 0 && httpVersion !== "1.0")) return "a request has one Host header";
  if (lengths.length + encodings.length > 1) return "the length of the body is given more than once";
  if (encodings.some((value) => value.trim().toLowerCase() !== "chunked")) return "the transfer encoding is not chunked";
  return null;
};

/** A WebSocket (or another protocol) over plain HTTP: the handshake as it is, then bytes both ways. */
export const forwardUpgrade = async (
  out: WayOut,
  door: Door,
  request: IncomingMessage,
  socket: Socket,
  head: Buffer,
): Promise<void> => {
  const at = new Date();
  const started = performance.now();
  const admitted = await admit(out, door, readDestination(request, door));
  if (admitted.error) return endWithError(socket, admitted.error);
  const { host, port, path } = admitted.destination;
  let upstream: Socket | null = null;
  let outcome: { verdict: AuditRow["verdict"]; reason: string | null } = { verdict: "allowed", reason: null };
  const cut = (denial: EgressError | null): void => {
    if (denial) outcome = { verdict: "denied", reason: denial.reason };
    socket.destroy();
    upstream?.destroy();
  };
  const remove = out.ways.add({ sandboxId: door.sandboxId, host: host.text, port, unread: false, cut });
  try {
    upstream = await out.dial(door.sandboxId, host.text, port);
    await passUpgrade(upstream, { request, socket, head, path }, out.limits.idleMs);
  } catch (error) {
    if (!(error instanceof EgressError)) throw error;
    outcome = error;
    endWithError(socket, error);
  } finally {
    remove();
    out.audit.record({
      ...rowOf(admitted.policy, door, admitted.destination),
      at,
      durationMs: performance.now() - started,
      ...{ verdict: outcome.verdict, reason: outcome.reason },
      bytesOut: upstream?.bytesWritten ?? 0,
      bytesIn: upstream?.bytesRead ?? 0,
    });
  }
};

/** Headers that are for this hop only, besides `Connection` and `Upgrade`, which an upgrade is about. */
const FOR_THE_PROXY = new Set(["proxy-authorization", "proxy-connection", "keep-alive", "te"]);

const passUpgrade = async (
  upstream: Socket,
  from: { request: IncomingMessage; socket: Socket; head: Buffer; path: string },
  idleMs: number,
): Promise<void> => {
  const { request, socket, head, path } = from;
  const headers = request.rawHeaders.filter(
    (_, at) => !FOR_THE_PROXY.has(request.rawHeaders[at - (at % 2)]?.toLowerCase() ?? ""),
  );
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const asked = httpRequest({ method: request.method ?? "GET", path, headers, createConnection: () => upstream, setHost: false });
  asked.setTimeout(idleMs, () => asked.destroy());
  socket.once("close", () => asked.destroy());
  asked.once("error", () => reject(new EgressError("failed", "upstream_failed", "the connection to the host broke")));
  asked.once("upgrade", (answer, _, first) => {
    const lines = [`HTTP/1.1 101 ${answer.statusMessage}`, ...pairsOf(answer.rawHeaders), "", ""];
    socket.write(lines.join("\r\n"), "latin1");
    if (first.length > 0) upstream.unshift(first);
    if (head.length > 0) socket.unshift(head);
    resolve(splice(socket, upstream, idleMs));
  });
  asked.once("response", (answer) => {
    const response = responseOn(request, socket);
    response.writeHead(answer.statusCode ?? 502, { connection: "close", ...withoutHop(answer) });
    answer.pipe(response);
    answer.once("close", () => resolve());
  });
  asked.end();
  return promise;
};

const pairsOf = (raw: readonly string[]): string[] =>
  raw.flatMap((name, at) => (at % 2 === 0 ? [`${name}: ${raw[at + 1]}`] : []));

const withoutHop = ({ headers }: IncomingMessage): NodeJS.Dict<string | string[]> => {
  const { connection, "keep-alive": keepAlive, "transfer-encoding": encoding, ...rest } = headers;
  return rest;
};
