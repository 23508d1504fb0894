import type { Socket } from "node:net";
import { lingerOn } from "./denial-response.ts";
import { EgressError } from "./egress-error.ts";
import { inspectFirstBytes } from "./first-bytes.ts";
import { parseHost, type Host } from "./host.ts";
import type { EgressLimits } from "./limits.ts";

/** SOCKS5 (RFC 1928). */
export const SOCKS_VERSION = 5;
const NO_AUTHENTICATION = 0;
const NO_ACCEPTABLE_METHOD = 0xff;
const CONNECT = 1;
const ADDRESS_IPV4 = 1;
const ADDRESS_NAME = 3;
const ADDRESS_IPV6 = 4;
/** Enough for the longest request. */
const MESSAGE_BYTES_MAX = 512;

const REPLY = {
  succeeded: 0,
  generalFailure: 1,
  notAllowed: 2,
  hostUnreachable: 4,
  connectionRefused: 5,
  commandNotSupported: 7,
  addressTypeNotSupported: 8,
};

export interface SocksRequest {
  host: Host;
  port: number;
}

interface Message {
  lengthBytes: number;
  command: number;
  addressType: number;
  address: Buffer;
  port: number;
}

/**
 * Greets a SOCKS5 client and reads what it asks for. Only CONNECT without authentication: who asks is known by the socket.
 * Anything else is answered as the protocol says, and rejects with an `EgressError`.
 */
export const readSocksRequest = async (socket: Socket, limits: EgressLimits): Promise<SocksRequest> => {
  const bounds = { bytesMax: MESSAGE_BYTES_MAX, timeoutMs: limits.handshakeMs };
  const greeting = await take(socket, bounds, (bytes) => {
    const lengthBytes = 2 + (bytes[1] ?? 0);
    return bytes.length < 2 || bytes.length < lengthBytes ? undefined : { lengthBytes, methods: bytes.subarray(2, lengthBytes) };
  });
  if (!greeting.methods.includes(NO_AUTHENTICATION)) {
    socket.end(Buffer.from([SOCKS_VERSION, NO_ACCEPTABLE_METHOD]));
    lingerOn(socket);
    throw unsupported("no authentication is needed, and no other method is offered");
  }
  socket.write(Buffer.from([SOCKS_VERSION, NO_AUTHENTICATION]));
  const message = await take(socket, bounds, parseMessage);
  if (message.command !== CONNECT) {
    endSocks(socket, REPLY.commandNotSupported);
    throw unsupported("only CONNECT is served: no BIND, no UDP");
  }
  const host = hostOf(message);
  if (!host || message.port === 0) {
    endSocks(socket, REPLY.addressTypeNotSupported);
    throw new EgressError("denied", "invalid_host", "this is not a host name or address");
  }
  return { host, port: message.port };
};

/** Tells the client that its bytes go through from here. */
export const acceptSocks = (socket: Socket): void => void socket.write(replyOf(REPLY.succeeded));

/** The protocol has no place for words: the audit row says more. */
export const refuseSocks = (socket: Socket, { verdict, reason }: EgressError): void => {
  if (verdict === "denied") endSocks(socket, REPLY.notAllowed);
  else if (reason === "connection_refused") endSocks(socket, REPLY.connectionRefused);
  else endSocks(socket, REPLY.hostUnreachable);
};

const unsupported = (message: string): EgressError => new EgressError("denied", "socks_unsupported", message);

const endSocks = (socket: Socket, reply: number): void => {
  socket.end(replyOf(reply));
  lingerOn(socket);
};

const replyOf = (reply: number): Buffer => Buffer.from([SOCKS_VERSION, reply, 0, ADDRESS_IPV4, 0, 0, 0, 0, 0, 0]);

/** Reads one message off the socket: what follows it stays there. */
const take = async <T extends { lengthBytes: number }>(
  socket: Socket,
  bounds: { bytesMax: number; timeoutMs: number },
  parse: (bytes: Buffer) => T | undefined,
): Promise<T> => {
  const message = await inspectFirstBytes(socket, bounds, (bytes) => {
    if (bytes[0] !== SOCKS_VERSION) throw unsupported("this is not SOCKS5");
    return parse(bytes);
  });
  socket.read(message.lengthBytes);
  return message;
};

const parseMessage = (bytes: Buffer): Message | undefined => {
  if (bytes.length < 5) return undefined;
  const [, command = 0, , addressType = 0, nameBytes = 0] = bytes;
  const start = addressType === ADDRESS_NAME ? 5 : 4;
  const addressBytes = addressType === ADDRESS_NAME ? nameBytes : addressType === ADDRESS_IPV6 ? 16 : 4;
  const lengthBytes = start + addressBytes + 2;
  if (bytes.length < lengthBytes) return undefined;
  const address = bytes.subarray(start, start + addressBytes);
  return { lengthBytes, command, addressType, address, port: bytes.readUInt16BE(lengthBytes - 2) };
};

const hostOf = ({ addressType, address }: Message): Host | null => {
  if (addressType === ADDRESS_NAME) return parseHost(address.toString("utf8"));
  if (addressType === ADDRESS_IPV4) return parseHost([...address].join("."));
  if (addressType !== ADDRESS_IPV6) return null;
  const groups = Array.from({ length: 8 }, (_, index) => address.readUInt16BE(2 * index).toString(16));
  return parseHost(groups.join(":"));
};
