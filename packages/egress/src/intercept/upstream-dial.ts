import { isIP } from "node:net";
import type { Duplex } from "node:stream";
import { connect, createSecureContext, getCACertificates, type SecureContext, type TLSSocket } from "node:tls";
import { EgressError } from "../egress-error.ts";
import type { Target } from "./port.ts";

const TLS_HANDSHAKE_MS = 20_000;

/** What upstreams are checked against: Node's roots, the system's, and the operator's. */
export type UpstreamTrust = () => SecureContext;

/** Read once, and not before it is needed: it costs some time. */
export function createUpstreamTrust(extraCas: readonly string[]): UpstreamTrust {
  let context: SecureContext | undefined;
  return () => {
    if (context === undefined) {
      const roots = [...getCACertificates("bundled"), ...getCACertificates("system"), ...extraCas];
      context = createSecureContext({ ca: [...new Set(roots)], minVersion: "TLSv1.2" });
    }
    return context;
  };
}

/** A checked address, and behind it somebody with a certificate for the target's host. Rejects with an `EgressError`. */
export async function dialTls(target: Target, trust: UpstreamTrust, protocols: readonly string[]): Promise<TLSSocket> {
  const socket = await target.dial();
  return new Promise((resolve, reject) => {
    const tls = connect({
      socket,
      host: target.host,
      // An address has no server name; its certificate is checked against `host`.
      servername: isIP(target.host) ? "" : target.host,
      ALPNProtocols: [...protocols],
      secureContext: trust(),
    });
    const fail = (error: EgressError): void => {
      clearTimeout(timer);
      tls.destroy();
      socket.destroy();
      reject(error);
    };
    const timer = setTimeout(() => fail(tlsFailure(target, "no handshake in time")), TLS_HANDSHAKE_MS);
    tls.once("secureConnect", () => {
      clearTimeout(timer);
      // A head and the body after it are two writes; the second must not wait for the first one's acknowledgement.
      tls.setNoDelay(true);
      resolve(tls);
    });
    // Stays: an error before anyone else listens must not end the process.
    tls.on("error", (error) => fail(tlsFailure(target, codeOf(error))));
  });
}

/** A connection without TLS, for plain HTTP. */
export function dialPlain(target: Target): Promise<Duplex> {
  return target.dial();
}

function tlsFailure({ host, port }: Target, why: string): EgressError {
  return new EgressError("failed", "upstream_tls", `No trusted TLS connection to ${host}:${port}: ${why}.`);
}

/** Only the code: the text of such an error may quote the other side. */
export function codeOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  return typeof code === "string" && /^[A-Z0-9_]+$/.test(code) ? code : "connection failed";
}
