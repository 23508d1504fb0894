import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { endWithError, sendError } from "./denial-response.ts";
import { EgressError } from "./egress-error.ts";
import { hostInUrl, parseAuthority, type Host } from "./host.ts";
import type { Target } from "./intercept/port.ts";
import type { SandboxPolicy } from "./port.ts";
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
export const forwardRequest = (out: WayOut, door: Door, request: IncomingMessage, response: ServerResponse): Promise<void> =>
  throughTheDoor(out, door, request, {
    refuse: (error) => sendError(response, error),
    cut: (denial) => (denial ? sendError(response, denial) : void response.destroy()),
    forward: (target, secretsInClear) => out.interceptor.forwardPlain(request, response, target, secretsInClear),
  });

/** The same for a client that asks for a WebSocket: `socket` is for nothing else from here. */
export const forwardUpgrade = (out: WayOut, door: Door, request: IncomingMessage, socket: Socket, head: Buffer): Promise<void> =>
  throughTheDoor(out, door, request, {
    refuse: (error) => endWithError(socket, error),
    // It may be in the middle of a frame: no words of ours fit there.
    cut: () => void socket.destroy(),
    forward: (target, secretsInClear) => out.interceptor.forwardPlainWebSocket({ request, socket, head }, target, secretsInClear),
  });

interface Passage {
  refuse(error: EgressError): void;
  /** Ends what is open; `denial`: what the policy of now says. */
  cut(denial: EgressError | null): void;
  forward(target: Target, secretsInClear: boolean): Promise<void>;
}

const throughTheDoor = async (out: WayOut, door: Door, request: IncomingMessage, passage: Passage): Promise<void> => {
  const { sandboxId } = door;
  const admitted = await admit(out, door, readDestination(request, door));
  if (admitted.error) return passage.refuse(admitted.error);
  const { port, path } = admitted.destination;
  const host = admitted.destination.host.text;
  request.url = `http://${hostInUrl(host)}${port === HTTP_PORT ? "" : `:${port}`}${path}`;
  const remove = out.ways.add({ sandboxId, host, port, kind: "plain", cut: passage.cut });
  try {
    await passage.forward({ sandboxId, host, port, dial: () => out.dial(sandboxId, host, port) }, admitted.private);
  } finally {
    remove();
  }
};

type Admitted = { error: EgressError } | { error: null; destination: Destination; private: boolean };

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
    return { error: null, destination: asked, private: addresses.every(({ opened }) => opened) };
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
