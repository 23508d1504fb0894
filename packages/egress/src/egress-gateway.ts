import { rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import type { AddressGuard } from "./address-guard.ts";
import { createInterceptor } from "./intercept/interceptor.ts";
import type { Interceptor, InterceptorDeps } from "./intercept/port.ts";
import { EGRESS_LIMITS, type EgressLimits } from "./limits.ts";
import { createOpenWays } from "./open-ways.ts";
import { createPolicyRules, WEB_PORTS } from "./policy-rules.ts";
import type { AuditSink, PolicySource } from "./port.ts";
import { createReception, type ModelHandler } from "./reception.ts";
import { createSocketBudget } from "./socket-budget.ts";
import type { CertificateAuthority } from "./tls/certificate-authority.ts";
import type { WayOut } from "./tunnel.ts";

export interface EgressGatewayOptions {
  policies: PolicySource;
  audit: AuditSink;
  guard: AddressGuard;
  ca: CertificateAuthority;
  model: ModelHandler;
  /** What opens connections; a test may stand in. */
  createInterceptor?: (deps: InterceptorDeps) => Interceptor;
  /** Where sandboxes may connect to; `WEB_PORTS` by default. */
  ports?: readonly number[];
  /** PEM certificates that opened connections trust for upstreams besides the system's. */
  extraCas?: readonly string[];
  limits?: Partial<EgressLimits>;
  /** A fault of the gateway itself; the connection is closed. */
  onBug: (error: unknown, sandboxId: string) => void;
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

export const createEgressGateway = (options: EgressGatewayOptions): EgressGateway => {
  const limits = { ...EGRESS_LIMITS, ...options.limits };
  const denialOf = createPolicyRules(options.ports ?? WEB_PORTS);
  const policyOf: WayOut["policyOf"] = async (sandboxId) => {
    try {
      return await options.policies.policyOf(sandboxId);
    } catch (error) {
      options.onBug(error, sandboxId);
      return null;
    }
  };
  const { ca, policies, audit, guard, extraCas = [] } = options;
  const interceptor = (options.createInterceptor ?? createInterceptor)({ ca, policies, audit, denialOf, extraCas });
  const ways = createOpenWays(policyOf, denialOf, limits.policyRecheckMs);
  const sockets = createSocketBudget(limits, guard);
  const { check } = guard;
  const out: WayOut = { policyOf, denialOf, audit, check, dial: sockets.dial, interceptor, ways, limits };
  const reception = createReception(out, options.model, options.onBug);
  const listeners = new Set<EgressListener>();

  const listen = async (sandboxId: string, socketPath: string): Promise<EgressListener> => {
    const open = new Set<Socket>();
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      open.add(socket);
      socket.once("close", () => open.delete(socket));
      // An error closes the socket; who works with it sees that.
      socket.on("error", () => socket.destroy());
      if (sockets.accept(sandboxId, socket)) reception.receive(socket, sandboxId);
    });
    await rm(socketPath, { force: true });
    await new Promise<void>((resolve, reject) => server.once("error", reject).listen(socketPath, resolve));
    // Such as too many open files: the next connection may work again.
    server.on("error", (error) => options.onBug(error, sandboxId));
    const listener: EgressListener = {
      close: async () => {
        listeners.delete(listener);
        const closed = new Promise<void>((resolve) => server.close(() => resolve()));
        for (const socket of open) socket.destroy();
        await closed;
        await rm(socketPath, { force: true });
      },
    };
    listeners.add(listener);
    return listener;
  };

  const close = async (): Promise<void> => {
    await Promise.all([...listeners].map((listener) => listener.close()));
    ways.close();
    await interceptor.close();
  };
  return { listen, close };
};
