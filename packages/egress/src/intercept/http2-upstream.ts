import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from "node:http2";
import type { TLSSocket } from "node:tls";
import type { Upstream, UpstreamExchange, UpstreamRequest, UpstreamResponse } from "./exchange.ts";
import { type HeaderList, toHeaderList, toHttp2Headers, without } from "./headers.ts";
import { HEADER_BYTES_MAX, HTTP2_FIELDS, STREAM_LISTENERS_MAX } from "./limits.ts";

/** What a stream may send ahead of its reader, who may never come: so much of each is held. Enough for 5 MB/s at 50 ms. */
export const STREAM_WINDOW_BYTES = 256 * 1024;
/** All streams together, until it has arrived: Node opens this window again whether anyone reads or not. */
export const SESSION_WINDOW_BYTES = 2 * 1024 * 1024;

export interface Http2Upstream extends Upstream {
  /** Takes no more requests: closed, or the server said so. */
  ended(): boolean;
}

/** HTTP/2 over one connection, on which it was agreed. */
export function createHttp2Upstream(socket: TLSSocket, authority: string): Http2Upstream {
  let goingAway = false;
  const session: ClientHttp2Session = connect(`https://${authority}`, {
    createConnection: () => socket,
    ...HTTP2_FIELDS,
    settings: { enablePush: false, initialWindowSize: STREAM_WINDOW_BYTES, maxHeaderListSize: HEADER_BYTES_MAX },
  });
  session.once("connect", () => {
    // Also said of one that was destroyed before.
    if (!session.destroyed) session.setLocalWindowSize(SESSION_WINDOW_BYTES);
  });
  session.on("goaway", () => {
    goingAway = true;
  });
  // Each stream fails by itself and says so to its request; the session has nobody else to tell.
  session.on("error", () => {
    goingAway = true;
  });
  return {
    async send(request) {
      return sendOn(session, request);
    },
    ended: () => goingAway || session.closed || session.destroyed,
    close: () => session.destroy(),
  };
}

function sendOn(session: ClientHttp2Session, out: UpstreamRequest): UpstreamExchange {
  const hasTrailers = out.framing.type === "open";
  const stream = session.request(headersOf(out), {
    endStream: out.framing.type === "none",
    waitForTrailers: hasTrailers,
    signal: out.signal,
  });
  stream.setMaxListeners(STREAM_LISTENERS_MAX);
  stream.on("continue", () => out.onContinue());
  if (hasTrailers) {
    stream.on("wantTrailers", () => {
      try {
        stream.sendTrailers(toHttp2Headers(out.trailers()));
      } catch (error) {
        // Out of an event it would end the process; so it fails the request.
        stream.destroy(error as Error);
      }
    });
  }
  return { body: stream, response: responseOf(stream) };
}

function headersOf(out: UpstreamRequest): Record<string, string | string[]> {
  const headers = toHttp2Headers(without(out.headers, "host", "content-length", "expect"));
  if (out.framing.type === "length") headers["content-length"] = String(out.framing.length);
  if (out.expectsContinue) headers.expect = "100-continue";
  return {
    [constants.HTTP2_HEADER_METHOD]: out.method,
    [constants.HTTP2_HEADER_SCHEME]: "https",
    [constants.HTTP2_HEADER_AUTHORITY]: out.authority,
    [constants.HTTP2_HEADER_PATH]: out.path,
    ...headers,
  };
}

function responseOf(stream: ClientHttp2Stream): Promise<UpstreamResponse> {
  let trailers: HeaderList = [];
  // Node's types do not know its third argument.
  stream.on("trailers", (_headers: object, _flags: number, raw?: string[]) => {
    trailers = toHeaderList(raw ?? []);
  });
  return new Promise((resolve, reject) => {
    stream.once("response", (headers, _flags, raw?: string[]) =>
      resolve({ status: Number(headers[":status"]), headers: toHeaderList(raw ?? []), body: stream, trailers: () => trailers }),
    );
    stream.on("error", reject);
    stream.once("close", () => reject(new Error("closed before a response")));
  });
}
