import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressGuard } from "./address-guard.ts";
import type { AuditSink, PolicySource } from "./port.ts";
import type { CertificateAuthority } from "./tls/certificate-authority.ts";

/** Answers the requests of a sandbox to `/model/...`. Owns the response; never throws. */
export type ModelHandler = (request: IncomingMessage, response: ServerResponse, sandboxId: string) => void;

export interface EgressGatewayOptions {
  policies: PolicySource;
  audit: AuditSink;
  guard: AddressGuard;
  ca: CertificateAuthority;
  model: ModelHandler;
  /** Where sandboxes may connect to; `WEB_PORTS` by default. */
  ports?: readonly number[];
  /** PEM certificates that opened connections trust for upstreams besides the system's. */
  extraCas?: readonly string[];
}

export interface EgressListener {
  /** Stops listening, cuts what is open, removes the socket. */
  close(): Promise<void>;
}

export interface EgressGateway {
  /**
   * Serves one sandbox on a Unix socket of its own, which is its identity: HTTP CONNECT, plain HTTP in absolute form, SOCKS5,
   * and `/model/...` in origin form, told apart by their first bytes. Rejects when the socket cannot be made.
   */
  listen(sandboxId: string, socketPath: string): Promise<EgressListener>;
  /** Closes every listener. */
  close(): Promise<void>;
}
