import type { IncomingMessage, ServerResponse } from "node:http";
import type { ClientExchange, Framing } from "./exchange.ts";
import { type HeaderList, toHeaderList, tokensOf, valuesOf } from "./headers.ts";

const ABSOLUTE_FORM = /^http:\/\/([^/?#]+)(.*)$/i;

/** A request of HTTP/1.1 as Node's strict parser has read it. `absolute`: plain HTTP through a proxy names the host in it. */
export function createHttp1Exchange(
  request: IncomingMessage,
  response: ServerResponse,
  options: { expectsContinue: boolean; absolute: boolean },
): ClientExchange {
  const headers = toHeaderList(request.rawHeaders);
  const target = readTarget(request.url ?? "", options.absolute);
  const gone = new AbortController();
  const noteClose = (): void => {
    if (!response.writableFinished) gone.abort();
  };
  // The client may have left while its policy was read: it says so only once.
  if (response.destroyed) noteClose();
  else response.once("close", noteClose);
  return {
    version: "1.1",
    method: request.method ?? "GET",
    path: target?.path ?? "",
    headers,
    authorities: [...valuesOf(headers, "host"), ...(target?.authority === undefined ? [] : [target.authority])],
    malformed:
      target === null || (target.path === "*" && request.method !== "OPTIONS")
        ? "request_target"
        : problemOf(headers, options.absolute),
    framing: framingOf(headers),
    expectsContinue: options.expectsContinue,
    body: request,
    trailers: () => toHeaderList(request.rawTrailers),
    sendContinue: () => response.writeContinue(),
    respond(head, trailers) {
      response.sendDate = false;
      // What is left of a request that was answered early must not be read as the next one.
      const close: HeaderList = request.complete ? [] : [["Connection", "close"]];
      response.writeHead(head.status, [...head.headers, ...close].flat());
      response.flushHeaders();
      // Only now: what could not be written is answered once more, in words of ours.
      addTrailersAtEnd(response, trailers);
      return response;
    },
    responded: () => response.headersSent,
    gone: gone.signal,
    abort: () => response.destroy(),
  };
}

function readTarget(url: string, absolute: boolean): { path: string; authority?: string } | null {
  if (!absolute) return url.startsWith("/") || url === "*" ? { path: url } : null;
  const [, authority, rest = ""] = ABSOLUTE_FORM.exec(url) ?? [];
  if (authority === undefined || authority.includes("@")) return null;
  return { path: rest.startsWith("/") ? rest : `/${rest}`, authority };
}

function problemOf(headers: HeaderList, absolute: boolean): string | null {
  const hosts = valuesOf(headers, "host").length;
  // HTTP/1.0 has no Host, and needs none where the target says it.
  if (hosts > 1 || (hosts === 0 && !absolute)) return "host_header";
  const codings = tokensOf(headers, "transfer-encoding");
  if (codings.length === 0) return null;
  if (codings.join() !== "chunked") return "transfer_encoding";
  return valuesOf(headers, "content-length").length > 0 ? "two_lengths" : null;
}

function framingOf(headers: HeaderList): Framing {
  if (tokensOf(headers, "transfer-encoding").length > 0) return { type: "open" };
  const [length] = valuesOf(headers, "content-length");
  return length === undefined ? { type: "none" } : { type: "length", length: Number(length) };
}

/** Trailers are known when the body has ended, and go out with its last chunk. */
function addTrailersAtEnd(response: ServerResponse, trailers: () => HeaderList): void {
  const end = response.end.bind(response) as (...args: unknown[]) => ServerResponse;
  response.end = ((...args: unknown[]) => {
    try {
      const list = trailers();
      if (list.length > 0) response.addTrailers(list.map(([name, value]) => [name, value] as [string, string]));
    } catch {
      // Streams call this out of an event: thrown on, it would end the process.
      return response.destroy();
    }
    return end(...args);
  }) as typeof response.end;
}
