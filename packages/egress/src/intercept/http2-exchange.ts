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
    sendContinue: () => stream.additionalHeaders({ ":status": 100 }),
    respond(head, trailersAtEnd) {
      stream.once("wantTrailers", () => stream.sendTrailers(toHttp2Headers(trailersAtEnd())));
      stream.respond({ ":status": head.status, ...toHttp2Headers(head.headers) }, { waitForTrailers: true });
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
