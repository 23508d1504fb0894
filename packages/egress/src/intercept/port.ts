/**
 * What the opened connections need of the gateway around them, and what they offer it. The gateway decides that a tunnel is
 * opened (its host has a credential rule), answers its CONNECT, and hands the socket over.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { DenialOf } from "../policy-rules.ts";
import type { AuditSink, PolicySource } from "../port.ts";
import type { CertificateAuthority } from "../tls/certificate-authority.ts";

/** Where a sandbox asked to go. */
export interface Target {
  sandboxId: string;
  /** Canonical, as `parseHost` writes it. */
  host: string;
  port: number;
  /** A new connection to an address that was just resolved and checked. Rejects with an `EgressError`. */
  dial(): Promise<Duplex>;
}

/** A client that asks for a WebSocket: its connection is for nothing else from here. */
export interface WebSocketRequest {
  request: IncomingMessage;
  socket: Duplex;
  /** What came after the request. */
  head: Buffer;
}

export interface InterceptorDeps {
  ca: CertificateAuthority;
  policies: PolicySource;
  audit: AuditSink;
  /** `null`: may go. Asked again for every request; what is open is cut by the gateway. */
  denialOf: DenialOf;
  /** PEM certificates that are trusted for upstreams besides the system's. */
  extraCas?: readonly string[];
}

export interface Interceptor {
  /**
   * Ends the client's TLS with a certificate for the target's host and forwards each request. Takes the socket over: bytes
   * that were already read of the client belong back on it (`unshift`). Records an audit row a request, and one for a
   * connection that fails before any. Resolves when the connection is over; never rejects.
   */
  intercept(client: Duplex, target: Target): Promise<void>;
  /**
   * Forwards one plain HTTP request, its target in absolute form, the same way and with its audit row. Secrets are put in
   * only where `secretsInClear` says so (an address that the operator opened): on plain HTTP anyone on the way reads them.
   * Owns the response; resolves when it is over; never rejects.
   */
  forwardPlain(request: IncomingMessage, response: ServerResponse, target: Target, secretsInClear: boolean): Promise<void>;
  /** The same for the handshake of a WebSocket, and for its frames after it. Takes the socket over. */
  forwardPlainWebSocket(asked: WebSocketRequest, target: Target, secretsInClear: boolean): Promise<void>;
  /** Ends all that is open. */
  close(): Promise<void>;
}
