import { Agent, type ClientRequest, type IncomingMessage, request } from "node:http";
import type { Duplex } from "node:stream";
import type { Framing, Upstream, UpstreamExchange, UpstreamRequest, UpstreamResponse } from "./exchange.ts";
import { type HeaderList, joinCookies, toHeaderList, without } from "./headers.ts";
import { HEADER_BYTES_MAX } from "./limits.ts";

/** A client of HTTP/2 asks many things at once: so many connections they get. */
const CONNECTIONS_MAX = 16;
/** Servers close what is idle, commonly after 5 s: a request should not meet that. */
const IDLE_MS = 4_000;
const IDEMPOTENT = new Set(["GET", "HEAD", "OPTIONS", "TRACE"]);

/** HTTP/1.1 over connections that `dial` makes, kept alive between requests. */
export function createHttp1Upstream(dial: () => Promise<Duplex>): Upstream {
  const agent = new DialAgent(dial);
  return {
    async send(upstreamRequest) {
      return sendOnce(agent, upstreamRequest, true);
    },
    close: () => agent.destroy(),
  };
}

/** Node's pool of connections, with dialling of our own. */
class DialAgent extends Agent {
  readonly #dial: () => Promise<Duplex>;
  #isDestroyed = false;

  constructor(dial: () => Promise<Duplex>) {
    super({ keepAlive: true, maxSockets: CONNECTIONS_MAX, maxFreeSockets: CONNECTIONS_MAX, timeout: IDLE_MS });
    this.#dial = dial;
  }

  override createConnection(_options: object, callback?: (error: Error | null, socket: Duplex) => void): null {
    this.#dial().then(
      (socket) => {
        // Node's pool would keep what comes after its end, for as long as the other side likes.
        if (this.#isDestroyed) socket.destroy();
        if (this.#isDestroyed) callback?.(new Error("closed while it was dialled"), undefined as never);
        else callback?.(null, socket);
      },
      (error: Error) => callback?.(error, undefined as never),
    );
    return null;
  }

  override destroy(): void {
    this.#isDestroyed = true;
    super.destroy();
  }
}

function sendOnce(agent: Agent, out: UpstreamRequest, mayRetry: boolean): UpstreamExchange {
  const client = request({
    agent,
    method: out.method,
    path: out.path,
    headers: toWire(out),
    setHost: false,
    maxHeaderSize: HEADER_BYTES_MAX,
    signal: out.signal,
  });
  // The pool's idle limit is not for a request that waits for its answer.
  client.setTimeout(0);
  client.on("continue", () => out.onContinue());
  addTrailersAtEnd(client, out);
  const response = responseOf(client).catch((error: unknown) => {
    // A kept connection that the server closed just now says nothing about the request: ask once more.
    const isStale = client.reusedSocket && out.framing.type === "none" && IDEMPOTENT.has(out.method);
    if (!mayRetry || !isStale || out.signal.aborted) throw error;
    const again = sendOnce(agent, out, false);
    again.body.end();
    return again.response;
  });
  return { body: client, response };
}

function responseOf(client: ClientRequest): Promise<UpstreamResponse> {
  return new Promise((resolve, reject) => {
    client.once("response", (message) => resolve(toResponse(message)));
    client.on("error", reject);
    client.once("close", () => reject(new Error("closed before a response")));
  });
}

export function toResponse(message: IncomingMessage): UpstreamResponse {
  return {
    status: message.statusCode ?? 502,
    headers: toHeaderList(message.rawHeaders),
    body: message,
    trailers: () => toHeaderList(message.rawTrailers),
  };
}

/** Trailers are known when the body has ended, and go out with its last chunk. */
function addTrailersAtEnd(client: ClientRequest, out: UpstreamRequest): void {
  if (out.framing.type !== "open") return;
  const end = client.end.bind(client) as (...args: unknown[]) => ClientRequest;
  client.end = ((...args: unknown[]) => {
    try {
      const trailers = out.trailers();
      if (trailers.length > 0) client.addTrailers(trailers.map(([name, value]) => [name, value] as [string, string]));
    } catch (error) {
      // Streams call this out of an event: thrown on, it would end the process.
      return client.destroy(error as Error);
    }
    return end(...args);
  }) as typeof client.end;
}

/** Node's flat list, which it writes as it is. The framing is ours, whatever the client had said. */
function toWire(out: UpstreamRequest): string[] {
  const headers = joinCookies(without(out.headers, "host", "content-length", "expect"));
  const own: HeaderList = [
    ["Host", out.authority],
    ...headers,
    ...(out.expectsContinue ? ([["Expect", "100-continue"]] as const) : []),
    ...framingHeaders(out.method, out.framing),
  ];
  return own.flat();
}

function framingHeaders(method: string, framing: Framing): HeaderList {
  if (framing.type === "open") return [["Transfer-Encoding", "chunked"]];
  if (framing.type === "length") return [["Content-Length", String(framing.length)]];
  return ["POST", "PUT", "PATCH"].includes(method) ? [["Content-Length", "0"]] : [];
}
