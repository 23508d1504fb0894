import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { ClientExchange, Framing } from "./exchange.ts";
import { type HeaderList, toHeaderList, toHttp2Headers, valuesOf, without } from "./headers.ts";
import { STREAM_LISTENERS_MAX } from "./limits.ts";

/** A request of HTTP/2. nghttp2 has checked it: pseudo-headers once and first, a body as long as it was announced. */
export function createHttp2Exchange(
  stream: ServerHttp2Stream,
  pseudo: IncomingHttpHeaders,
  rawHeaders: readonly string[],
): ClientExchange {
  const headers = toHeaderList(rawHeaders);
  const method = String(pseudo[":method"] ?? "");
  const path = String(pseudo[":path"] ?? "");
  const authority = pseudo[":authority"];
  let trailers: HeaderList = [];
  stream.setMaxListeners(STREAM_LISTENERS_MAX);
  // Node's types do not know its third argument.
  stream.on("trailers", (_headers: object, _flags: number, raw?: string[]) => {
    trailers = toHeaderList(raw ?? []);
  });
  const gone = new AbortController();
  stream.once("close", () => {
    if (!stream.writableFinished) gone.abort();
  });
  return {
    version: "2",
    method,
    path,
    headers: without(headers, "host"),
    authorities: [...(typeof authority === "string" ? [authority] : []), ...valuesOf(headers, "host")],
    malformed:
      method === "CONNECT" || !(path.startsWith("/") || (path === "*" && method === "OPTIONS")) ? "request_target" : null,
    framing: framingOf(stream, headers),
    expectsContinue: valuesOf(headers, "expect").some((value) => value.toLowerCase() === "100-continue"),
    body: stream,
    trailers: () => trailers,
    sendContinue() {
      // The client may have left, and not yet have said so to the request that it made.
      if (!stream.closed && !stream.destroyed && !stream.headersSent) stream.additionalHeaders({ ":status": 100 });
    },
    respond(head, trailersAtEnd) {
      stream.respond({ ":status": head.status, ...toHttp2Headers(head.headers) }, { waitForTrailers: true });
      // Only now: what could not be sent is answered once more, in words of ours.
      stream.once("wantTrailers", () => {
        try {
          stream.sendTrailers(toHttp2Headers(trailersAtEnd()));
        } catch {
          // Out of an event it would end the process; the client sees that the response is not whole.
          stream.close(constants.NGHTTP2_INTERNAL_ERROR);
        }
      });
      return stream;
    },
    responded: () => stream.headersSent,
    gone: gone.signal,
    abort: () => stream.close(constants.NGHTTP2_INTERNAL_ERROR),
  };
}

function framingOf(stream: ServerHttp2Stream, headers: HeaderList): Framing {
  if (stream.readableEnded || endsWithHeaders(stream)) return { type: "none" };
  const [length] = valuesOf(headers, "content-length");
  return length === undefined ? { type: "open" } : { type: "length", length: Number(length) };
}

function endsWithHeaders(stream: ServerHttp2Stream): boolean {
  return stream.endAfterHeaders;
}
