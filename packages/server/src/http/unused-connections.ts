import type { IncomingMessage, Server } from "node:http";
import type { Socket } from "node:net";

/**
 * Connections on which no request has come yet: clients open such ahead of need. Node counts them as busy, and a server
 * that closes would wait for them.
 */
export interface UnusedConnections {
  destroy(): void;
}

export function trackUnusedConnections(server: Server): UnusedConnections {
  const unused = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    unused.add(socket);
    socket.once("close", () => unused.delete(socket));
  });
  server.on("request", (request: IncomingMessage) => unused.delete(request.socket));
  return {
    destroy() {
      for (const socket of unused) socket.destroy();
    },
  };
}
