import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Duplex } from "node:stream";
import { connect as tlsConnect, createServer as createTlsServer, type TLSSocket } from "node:tls";
import type { Address } from "./address-facts.ts";
import { createAddressGuard, type ForbiddenEndpoint } from "./address-guard.ts";
import { createEgressGateway, type EgressGatewayOptions, type EgressListener } from "./egress-gateway.ts";
import { sendError } from "./denial-response.ts";
import { EgressError } from "./egress-error.ts";
import type { Interceptor, Target } from "./intercept/port.ts";
import type { EgressLimits } from "./limits.ts";
import type { AuditRow, Networking, SandboxPolicy } from "./port.ts";
import { createCertificateAuthority, type CertificateAuthority } from "./tls/certificate-authority.ts";

export const SANDBOX = "sbx_test";
export const PLACEHOLDER = "sandbox0_placeholder_0123456789abcdef";
/** Of every credential. */
export const SECRET = "canary-9d1f-of-another-length";

export interface World {
  socketPath: string;
  listener: EgressListener;
  /** What the policy source answers; a test may change it at any time. */
  policy: { current: SandboxPolicy | null | Error };
  /** What names resolve to. */
  names: Map<string, readonly Address[]>;
  /** Where a test's server listens that stands at a port which only root could listen at. */
  listensAt: Map<number, number>;
  rows: AuditRow[];
  bugs: unknown[];
  forbidden: ForbiddenEndpoint[];
  /** The tunnels that were handed over to be opened, and the plain requests that were to be forwarded. */
  intercepted: Target[];
  forwarded: { url: string; target: Target; secretsInClear: boolean }[];
  ca: CertificateAuthority;
  close(): Promise<void>;
}

export const policyOf = (
  networking: Networking,
  credentials: SandboxPolicy["credentials"] = [],
  repositories: SandboxPolicy["repositories"] = [],
): SandboxPolicy => ({
  workspaceId: "wrkspc_1",
  sessionId: "sesn_1",
  networking,
  credentials,
  repositories,
});

export const limited = (...allowedHosts: string[]): SandboxPolicy => policyOf({ type: "limited", allowedHosts });

export const LOOPBACK: readonly Address[] = [{ address: "127.0.0.1", family: 4 }];

/** A gateway with one sandbox; the loopback range is opened unless a test says otherwise. `opens`: with the real interceptor. */
export const createWorld = async (
  options: { opens?: boolean; allowPrivate?: readonly string[]; limits?: Partial<EgressLimits> } = {},
): Promise<World> => {
  const dir = await mkdtemp(join(tmpdir(), "egress-"));
  const ca = await createCertificateAuthority({ dir: join(dir, "ca") });
  const policy: World["policy"] = { current: limited("allowed.example") };
  const names = new Map<string, readonly Address[]>([["allowed.example", LOOPBACK]]);
  const [rows, bugs, forbidden]: [AuditRow[], unknown[], ForbiddenEndpoint[]] = [[], [], []];
  const listensAt = new Map<number, number>();
  const [intercepted, forwarded]: [World["intercepted"], World["forwarded"]] = [[], []];
  const guard = createAddressGuard({
    allowPrivate: options.allowPrivate ?? ["127.0.0.0/8"],
    forbidden: () => forbidden,
    resolve: async (name) => names.get(name) ?? Promise.reject(Object.assign(new Error("no"), { code: "ENOTFOUND" })),
  });
  const gatewayOptions: EgressGatewayOptions = {
    policies: {
      policyOf: async () => (policy.current instanceof Error ? Promise.reject(policy.current) : policy.current),
      secretOf: async () => SECRET,
    },
    audit: { record: (row) => void rows.push(row) },
    guard: {
      check: guard.check,
      dial: async (host, port, signal) => {
        await guard.check(host, port);
        return guard.dial(host, listensAt.get(port) ?? port, signal);
      },
    },
    ca,
    model: (request, response, sandboxId) => void response.end(`model ${sandboxId} ${request.url}`),
    ...(options.opens
      ? { extraCas: [ca.certificatePem] }
      : { createInterceptor: () => createRecordingInterceptor(intercepted, forwarded) }),
    onBug: (error) => void bugs.push(error),
    ...(options.limits ? { limits: options.limits } : {}),
  };
  const gateway = createEgressGateway(gatewayOptions);
  const socketPath = join(dir, "egress.sock");
  const listener = await gateway.listen(SANDBOX, socketPath);
  const close = async (): Promise<void> => {
    await gateway.close();
    await rm(dir, { recursive: true, force: true });
  };
  return { socketPath, listener, policy, names, listensAt, rows, bugs, forbidden, intercepted, forwarded, ca, close };
};

/** Stands for opened connections, which have tests of their own: says what it was handed. */
const createRecordingInterceptor = (intercepted: World["intercepted"], forwarded: World["forwarded"]): Interceptor => ({
  intercept: async (client, target) => {
    intercepted.push(target);
    await once(client, "close");
  },
  forwardPlain: async (request, response, target, secretsInClear) => {
    forwarded.push({ url: request.url ?? "", target, secretsInClear });
    try {
      const socket = await target.dial();
      socket.destroy();
      request.resume();
      response.end(`forwarded ${request.url}`);
    } catch (error) {
      if (error instanceof EgressError) sendError(response, error);
    }
  },
  forwardPlainWebSocket: async ({ socket }) => void socket.destroy(),
  close: async () => undefined,
});

/** Connects to a sandbox's socket; errors are what tests expect of a refused client, so they only close it. */
export const connectTo = async (path: string): Promise<Socket> => {
  const socket = connect({ path, allowHalfOpen: true });
  socket.on("error", () => socket.destroy());
  await once(socket, "connect");
  return socket;
};

/** All that comes until the other side ends. */
export const readAll = async (socket: Socket): Promise<Buffer> => {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  const over = new Promise<void>((resolve) => void socket.once("end", resolve).once("close", resolve));
  if (!socket.readableEnded && !socket.destroyed) await over;
  socket.destroy();
  return Buffer.concat(chunks);
};

/** Reads exactly so many bytes. */
export const readBytes = async (socket: Socket, count: number): Promise<Buffer> => {
  let seen: Buffer = Buffer.alloc(0);
  for (;;) {
    // All of it each time: what stays in the socket's buffer would be told again at once, and forever.
    for (let chunk: Buffer | null = socket.read(); chunk !== null; chunk = socket.read()) seen = Buffer.concat([seen, chunk]);
    if (seen.length >= count) {
      if (seen.length > count) socket.unshift(seen.subarray(count));
      return seen.subarray(0, count);
    }
    if (socket.readableEnded || socket.destroyed) throw new Error(`the socket ended after ${JSON.stringify(seen.toString())}`);
    await new Promise<void>((resolve) => {
      const over = (): void => {
        socket.off("readable", over).off("end", over).off("close", over);
        resolve();
      };
      socket.on("readable", over).on("end", over).on("close", over);
    });
  }
};

/** Reads the head of an HTTP response. */
export const readHead = async (socket: Socket): Promise<string> => {
  let head = "";
  while (!head.endsWith("\r\n\r\n")) head += (await readBytes(socket, 1)).toString("latin1");
  return head;
};

/** Sends bytes and returns all of the answer. */
export const exchange = async (path: string, bytes: string | Buffer): Promise<string> => {
  const socket = await connectTo(path);
  socket.write(bytes);
  return (await readAll(socket)).toString();
};

export const connectRequest = (authority: string): string => `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`;

/** Asks for a tunnel; the reason that it is refused for. */
export const refusedBy = async (path: string, authority: string): Promise<string | undefined> =>
  /^HTTP\/1.1 4[\s\S]*x-sandbox0-denied: (\w+)/.exec(await exchange(path, connectRequest(authority)))?.[1];

/** A tunnel by CONNECT, which must be accepted. */
export const openTunnelTo = async (path: string, authority: string): Promise<Socket> => {
  const socket = await connectTo(path);
  socket.write(connectRequest(authority));
  const head = await readHead(socket);
  if (!head.startsWith("HTTP/1.1 200")) throw new Error(head);
  return socket;
};

export const tlsOver = async (socket: Socket, ca: CertificateAuthority, servername: string): Promise<TLSSocket> => {
  const tls = tlsConnect({ socket, ca: ca.certificatePem, servername, checkServerIdentity: () => undefined });
  tls.on("error", () => tls.destroy());
  await Promise.race([once(tls, "secureConnect"), once(tls, "close").then(() => Promise.reject(new Error("closed")))]);
  return tls;
};

/** What Node's TLS client sends first. */
export const realHello = (servername: string): Promise<Buffer> =>
  new Promise((resolve) => {
    const wire = new Duplex({
      read: () => undefined,
      write: (chunk: Buffer) => {
        resolve(chunk);
        wire.destroy();
      },
    });
    tlsConnect({ socket: wire as never, servername }).on("error", () => undefined);
  });

/** The same with an extension at its end that could hold an encrypted hello. */
export const helloWithEch = async (servername: string): Promise<Buffer> => {
  const bytes = await realHello(servername);
  const extension = Buffer.concat([Buffer.from([0xfe, 0x0d, 0, 200]), Buffer.alloc(200, 7)]);
  const grown = Buffer.concat([bytes, extension]);
  const add = (at: number, length: number): void => {
    grown.writeUIntBE(grown.readUIntBE(at, length) + extension.length, at, length);
  };
  // Of the record, of the message, and of the extensions: behind version, random, session id, ciphers and compressions.
  add(3, 2);
  add(6, 3);
  let at = 9 + 34;
  at += 1 + grown.readUInt8(at);
  at += 2 + grown.readUInt16BE(at);
  at += 1 + grown.readUInt8(at);
  add(at, 2);
  return grown;
};

export interface Upstream {
  port: number;
  connections: number;
  close(): Promise<void>;
}

const listenOn = async (server: Server): Promise<Upstream> => {
  const open = new Set<Socket>();
  const upstream: Upstream = {
    port: 0,
    connections: 0,
    close: async () => {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  server.on("connection", (socket: Socket) => {
    upstream.connections += 1;
    open.add(socket);
    socket.on("error", () => socket.destroy());
    socket.once("close", () => open.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  upstream.port = (server.address() as AddressInfo).port;
  return upstream;
};

export const listenTls = async (
  ca: CertificateAuthority,
  host: string,
  onConnection: (socket: TLSSocket) => void,
): Promise<Upstream> => {
  const { cert, key } = await ca.leafFor(host);
  return listenOn(
    createTlsServer({ cert, key, allowHalfOpen: true }, (socket) => {
      socket.on("error", () => socket.destroy());
      onConnection(socket);
    }),
  );
};

export const listenTcp = async (onConnection: (socket: Socket) => void): Promise<Upstream> =>
  listenOn(createServer({ allowHalfOpen: true }, onConnection));
