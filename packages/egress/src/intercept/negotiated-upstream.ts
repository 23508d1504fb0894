import type { TLSSocket } from "node:tls";
import type { Upstream } from "./exchange.ts";
import { createHttp1Upstream } from "./http1-upstream.ts";
import { createHttp2Upstream, type Http2Upstream } from "./http2-upstream.ts";
import type { Target } from "./port.ts";
import { dialTls, type UpstreamTrust } from "./upstream-dial.ts";

const HTTP1 = ["http/1.1"];
const ANY = ["h2", "http/1.1"];

/** For a client of HTTP/2: the same to the target if it speaks it, else HTTP/1.1. */
export function createNegotiatedUpstream(target: Target, trust: UpstreamTrust, authority: string): Upstream {
  let http2: Http2Upstream | null = null;
  let http1: Upstream | null = null;
  let agreeing: Promise<Upstream> | null = null;
  const agreed = new Set<TLSSocket>();
  let isClosed = false;

  const agree = async (): Promise<Upstream> => {
    const socket = await dialTls(target, trust, ANY);
    if (isClosed) {
      socket.destroy();
      throw new Error("closed while it was dialled");
    }
    agreed.add(socket);
    socket.once("close", () => agreed.delete(socket));
    if (socket.alpnProtocol === "h2") {
      http2 = createHttp2Upstream(socket, authority);
      return http2;
    }
    http1 = createHttp1Upstream(firstThen(socket, () => dialTls(target, trust, HTTP1)));
    return http1;
  };
  const current = (): Promise<Upstream> => {
    if (http1) return Promise.resolve(http1);
    if (http2 && !http2.ended()) return Promise.resolve(http2);
    // Requests that come at once wait for one connection.
    agreeing ??= agree().finally(() => {
      agreeing = null;
    });
    return agreeing;
  };
  return {
    send: async (request) => (await current()).send(request),
    close() {
      isClosed = true;
      http1?.close();
      http2?.close();
      // Nobody may have asked anything on it yet.
      for (const socket of agreed) socket.destroy();
    },
  };
}

/** The connection on which HTTP/1.1 was agreed serves the first request. */
function firstThen(first: TLSSocket, dial: () => Promise<TLSSocket>): () => Promise<TLSSocket> {
  let unused: TLSSocket | null = first;
  return () => {
    const socket = unused;
    unused = null;
    return socket && !socket.destroyed ? Promise.resolve(socket) : dial();
  };
}
