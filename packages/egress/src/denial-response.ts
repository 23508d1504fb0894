import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { EgressError } from "./egress-error.ts";

/** The fixed word of a denial, for programs. */
const DENIED_HEADER = "x-sandbox0-denied";

const MALFORMED_STATUS = 400;
/** How long a client that was refused may go on sending: closed at once, its answer could be lost to a reset. */
const LINGER_MS = 5_000;

/** Answers a request with a denial or failure that an agent can read. A request that cannot be trusted is the last. */
export const sendError = (response: ServerResponse, error: EgressError): void => {
  if (response.headersSent || response.destroyed) return void response.destroy();
  const body = textOf(error);
  response.writeHead(error.status, phraseOf(error), {
    "content-type": "text/plain; charset=utf-8",
    "content-length": Buffer.byteLength(body),
    [DENIED_HEADER]: error.reason,
    ...(error.status === MALFORMED_STATUS ? { connection: "close" } : {}),
  });
  response.end(body);
};

/** The same on a bare socket, where Node has no response (CONNECT, upgrades, requests that do not parse). */
export const endWithError = (socket: Socket, error: EgressError): void => {
  if (!socket.writable) return void socket.destroy();
  const body = textOf(error);
  const head = [
    `HTTP/1.1 ${error.status} ${phraseOf(error)}`,
    "content-type: text/plain; charset=utf-8",
    `content-length: ${Buffer.byteLength(body)}`,
    `${DENIED_HEADER}: ${error.reason}`,
    "connection: close",
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
  lingerOn(socket);
};

/** Closes a socket whose last words are written, once the client has read them or has had the time to. */
export const lingerOn = (socket: Socket): void => {
  socket.resume();
  socket.once("end", () => socket.destroySoon());
  socket.setTimeout(0);
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once("close", () => clearTimeout(timer));
};

/** Many clients (pip, curl) show of a refused CONNECT only the status line. */
const phraseOf = ({ verdict, reason }: EgressError): string =>
  `${verdict === "denied" ? "Denied" : "Failed"} by sandbox0 egress: ${reason}`;

const textOf = ({ message }: EgressError): string => `sandbox0 egress gateway: ${message}\n`;
