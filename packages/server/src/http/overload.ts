import type { FastifyInstance, FastifyRequest } from "fastify";
import { BODY_BYTES_MAX, overloaded } from "./request-errors.ts";

/** Requests at once, streams not counted: more would only wait for the database. */
export const REQUESTS_IN_FLIGHT_MAX = 4_000;
/** Request bodies at once, in bytes: what they may take of the server's memory. */
export const BODY_BYTES_IN_FLIGHT_MAX = 256 * 1024 * 1024;

/** What a byte becomes at most. Brotli has no such bound: a few bytes of it may become any body. */
const EXPANSION_MAX: Readonly<Record<string, number>> = { identity: 1, gzip: 1_032, deflate: 1_032 };

/** What a request may bring into memory: its declared size once it is decoded, or, when it does not say, the most it could. */
function declaredBytes(request: FastifyRequest): number {
  const { headers } = request;
  const most = request.routeOptions.config.bodyBytesInMemory ?? BODY_BYTES_MAX;
  if (headers["transfer-encoding"] !== undefined) return most;
  const sent = Number(headers["content-length"] ?? 0) || 0;
  if (sent === 0) return 0;
  const expansion = EXPANSION_MAX[headers["content-encoding"]?.toLowerCase() ?? "identity"] ?? Number.POSITIVE_INFINITY;
  return Math.min(sent * expansion, most);
}

/** Refuses work beyond the bounds with a typed 529, before anything is read or asked of the database. */
export function addOverloadGuard(app: FastifyInstance, isStopping: () => boolean): { inFlight(): number } {
  const held = new WeakMap<FastifyRequest, number>();
  let requests = 0;
  let bytes = 0;
  const admit = (request: FastifyRequest): void => {
    if (isStopping()) throw overloaded("The server is stopping.");
    const wanted = declaredBytes(request);
    // One body is always let in: a bound smaller than the largest body would refuse it for ever.
    if (requests >= REQUESTS_IN_FLIGHT_MAX || (bytes > 0 && bytes + wanted > BODY_BYTES_IN_FLIGHT_MAX)) {
      throw overloaded("The server is overloaded; try again in a moment.");
    }
    requests += 1;
    bytes += wanted;
    held.set(request, wanted);
  };
  const release = (request: FastifyRequest): void => {
    const wanted = held.get(request);
    if (wanted === undefined) return;
    held.delete(request);
    requests -= 1;
    bytes -= wanted;
  };
  app.addHook("onRequest", (request, _reply, done) => {
    admit(request);
    done();
  });
  app.addHook("onResponse", (request, _reply, done) => {
    release(request);
    done();
  });
  app.addHook("onRequestAbort", (request, done) => {
    release(request);
    done();
  });
  app.decorate("releaseSlot", release);
  app.decorate("holdDecoded", (request: FastifyRequest, size: number) => {
    const wanted = held.get(request);
    if (wanted === undefined || wanted <= size) return;
    held.set(request, size);
    bytes -= wanted - size;
  });
  return { inFlight: () => requests };
}

declare module "fastify" {
  interface FastifyContextConfig {
    /** Of a body that is streamed: the most of it that is in memory at once. */
    bodyBytesInMemory?: number;
  }
  interface FastifyInstance {
    /** A stream has begun: it is bounded by the streams, no longer by the requests. */
    releaseSlot(request: FastifyRequest): void;
    /** A body is decoded: from now on it counts as what it became. Not there for routes without the guard. */
    holdDecoded?(request: FastifyRequest, size: number): void;
  }
}
