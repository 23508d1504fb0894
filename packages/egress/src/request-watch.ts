import type { ServerResponse } from "node:http";
import type { Duplex } from "node:stream";

/** `no_request`: the first head was not whole in time; `idle`: nor a later one; `too_many_requests`: wait for their answers. */
export type Breach = "no_request" | "idle" | "too_many_requests";

export interface WatchBounds {
  /** Requests of one connection that may wait for their answers. */
  requestsMax: number;
  /** From the beginning until the head of the first request is whole. */
  firstHeadMs: number;
  /** From the last answer until the head of the next request is whole. */
  nextHeadMs: number;
}

/** Counts the requests of one connection of a client, and how long it lets wait for one. */
export interface RequestWatch {
  /** The head of a request is whole. `false`: this or an earlier breach ended the connection, and it is not to be answered. */
  begin(): boolean;
  /** It is over. */
  end(): void;
  /** The connection is, or no more requests come on it. */
  stop(): void;
}

/** Calls `onBreach` at most once. Node's own limits for heads hold only for servers that listen, and none counts requests. */
export const watchRequests = (bounds: WatchBounds, onBreach: (breach: Breach) => void): RequestWatch => {
  let open = 0;
  let over = false;
  const stop = (): void => {
    over = true;
    clearTimeout(timer);
  };
  const end = (breach: Breach): void => {
    stop();
    onBreach(breach);
  };
  let timer = setTimeout(() => end("no_request"), bounds.firstHeadMs);
  return {
    begin() {
      if (over) return false;
      clearTimeout(timer);
      open += 1;
      if (open > bounds.requestsMax) end("too_many_requests");
      return !over;
    },
    end() {
      open -= 1;
      if (open === 0 && !over) timer = setTimeout(() => end("idle"), bounds.nextHeadMs);
    },
    stop,
  };
};

/** The same for HTTP/1.1, where answers wait for their turn. */
export interface ResponseWatch {
  /** As `RequestWatch.begin`. */
  begin(response: ServerResponse): boolean;
  stop(): void;
}

export const watchResponses = (socket: Duplex, bounds: WatchBounds, onBreach: (breach: Breach) => void): ResponseWatch => {
  const watch = watchRequests(bounds, onBreach);
  const waiting = new Set<ServerResponse>();
  socket.once("close", () => {
    watch.stop();
    // Node tells only the response whose turn it is that the client has gone: the work for the others would go on.
    for (const response of waiting) if (!response.socket) response.emit("close");
  });
  return {
    begin(response) {
      if (!watch.begin()) return false;
      waiting.add(response);
      response.once("close", () => {
        waiting.delete(response);
        watch.end();
      });
      return true;
    },
    stop: watch.stop,
  };
};
