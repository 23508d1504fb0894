import type { Socket } from "node:net";
import type { AddressGuard } from "./address-guard.ts";
import { beginsTls, readClientHello } from "./client-hello.ts";
import { lingerOn } from "./denial-response.ts";
import { EgressError } from "./egress-error.ts";
import { inspectFirstBytes } from "./first-bytes.ts";
import type { Host } from "./host.ts";
import { parseHost } from "./host.ts";
import type { Interceptor, Target } from "./intercept/port.ts";
import type { EgressLimits } from "./limits.ts";
import type { OpenWays } from "./open-ways.ts";
import { type DenialOf, mustBeOpened } from "./policy-rules.ts";
import type { AuditRow, AuditSink, SandboxPolicy } from "./port.ts";
import type { SocketBudget } from "./socket-budget.ts";
import { splice } from "./splice.ts";

/** What every way out of the gateway is made with. */
export interface WayOut {
  /** Never rejects: a policy that cannot be read is none. */
  policyOf(sandboxId: string): Promise<SandboxPolicy | null>;
  denialOf: DenialOf;
  audit: AuditSink;
  check: AddressGuard["check"];
  dial: SocketBudget["dial"];
  interceptor: Interceptor;
  ways: OpenWays;
  limits: EgressLimits;
}

/** A client that asked for a tunnel, by CONNECT or SOCKS5. */
export interface TunnelRequest {
  sandboxId: string;
  socket: Socket;
  host: Host;
  port: number;
  /** Tells the client that its bytes go through from here. */
  accept(): void;
  /** Tells the client why not, and closes. */
  refuse(error: EgressError): void;
  /** Takes over a client that speaks plain HTTP inside: each of its requests is checked like any other. */
  servePlainHttp(): void;
}

type FirstWords = { protocol: "http" } | { protocol: "tls"; serverName: string | null; encrypted: boolean };

const HTTPS_PORT = 443;
/** Fatal alert `access_denied` (RFC 8446 §6): the client says so, instead of that the connection broke. */
const TLS_ACCESS_DENIED = Buffer.from([21, 3, 3, 0, 2, 2, 49]);

/** Decides, dials, and passes on. Leaves an audit row, unless its requests leave theirs. Never rejects for what a client does. */
export const openTunnel = async (out: WayOut, request: TunnelRequest): Promise<void> => {
  const { sandboxId, socket, host, port } = request;
  const at = new Date();
  const started = performance.now();
  const policy = await out.policyOf(sandboxId);
  let upstream: Socket | null = null;
  const record = (verdict: AuditRow["verdict"], reason: string | null): void =>
    out.audit.record({
      workspaceId: policy?.workspaceId ?? null,
      sessionId: policy?.sessionId ?? null,
      sandboxId,
      at,
      durationMs: performance.now() - started,
      host: host.text,
      port,
      verdict,
      reason,
      bytesOut: upstream?.bytesWritten ?? 0,
      bytesIn: upstream?.bytesRead ?? 0,
      credentialIds: [],
    });
  let refuse = request.refuse;
  try {
    // Where only a repository is open, so is the connection: what goes through it is git with it, or is refused.
    const denial = out.denialOf(policy, host.text, port, true);
    if (denial || !policy) throw denial;
    const opened = mustBeOpened(policy, host.text);
    if (opened) await out.check(host.text, port);
    else upstream = await out.dial(sandboxId, host.text, port);
    request.accept();
    refuse = () => socket.destroy();
    const words = await readFirstWords(request, out.limits);
    refuse = () => {
      socket.end(TLS_ACCESS_DENIED);
      lingerOn(socket);
    };
    if (words.protocol === "tls") checkServerName(host, words.serverName);
    // One that is opened ends here, and with it what is encrypted for another.
    if (words.protocol === "tls" && words.encrypted && !opened && policy.networking.type === "limited") throw hiddenHello(host);
    const passed = await pass(out, request, words, upstream);
    if (passed) record(passed.denial ? "denied" : "allowed", passed.denial?.reason ?? null);
  } catch (error) {
    upstream?.destroy();
    if (!(error instanceof EgressError)) {
      socket.destroy();
      throw error;
    }
    refuse(error);
    record(error.verdict, error.reason);
  }
};

const readFirstWords = async ({ socket, host, port }: TunnelRequest, limits: EgressLimits): Promise<FirstWords> => {
  const bounds = { bytesMax: limits.clientHelloBytesMax, timeoutMs: limits.handshakeMs };
  return inspectFirstBytes<FirstWords>(socket, bounds, (bytes) => {
    if (!beginsTls(bytes[0] ?? 0)) {
      if (port !== HTTPS_PORT) return { protocol: "http" };
      throw new EgressError("denied", "not_tls", `only TLS may be spoken to port ${HTTPS_PORT} of ${host.text}`);
    }
    const hello = readClientHello(bytes);
    if (hello.state === "invalid") throw new EgressError("denied", "invalid_client_hello", "the TLS handshake cannot be read");
    return hello.state === "complete" ? { protocol: "tls", serverName: hello.serverName, encrypted: hello.encrypted } : undefined;
  });
};

/** One front serves many hosts: the name in the handshake must be the one that was allowed. An address has none (RFC 6066 §3). */
const checkServerName = (host: Host, serverName: string | null): void => {
  const named = serverName === null ? null : parseHost(serverName);
  const expected = host.kind === "name" ? host.text : undefined;
  if (serverName === null ? expected === undefined : named?.text === expected) return;
  throw new EgressError("denied", "sni_mismatch", `the TLS handshake does not name ${host.text}`);
};

/** The front of an allowed host would read the name of another in it. */
const hiddenHello = (host: Host): EgressError =>
  new EgressError(
    "denied",
    "encrypted_client_hello",
    `the TLS handshake with ${host.text} may name another host in an encrypted ClientHello, which limited networking does not ` +
      "pass on. Switch that off in the client (Chrome: the policy EncryptedClientHelloEnabled; Firefox: " +
      "network.dns.echconfig.enabled and security.tls.ech.grease_probability; curl: no --ech).",
  );

/** Resolves when the tunnel is over; `null`: its requests have left audit rows of their own. */
const pass = async (
  out: WayOut,
  request: TunnelRequest,
  words: FirstWords,
  upstream: Socket | null,
): Promise<{ denial: EgressError | null } | null> => {
  const { sandboxId, socket, port } = request;
  const host = request.host.text;
  if (words.protocol === "http") {
    upstream?.destroy();
    request.servePlainHttp();
    return null;
  }
  let denial: EgressError | null = null;
  const remove = out.ways.add({
    sandboxId,
    host,
    port,
    kind: upstream ? "unread" : "opened",
    cut: (reason) => {
      denial = reason;
      socket.destroy();
      upstream?.destroy();
    },
  });
  const target: Target = { sandboxId, host, port, dial: () => out.dial(sandboxId, host, port) };
  try {
    await (upstream ? splice(socket, upstream, out.limits.idleMs) : out.interceptor.intercept(socket, target));
  } finally {
    remove();
  }
  return upstream ? { denial } : null;
};
