/** A client's view of opened connections: CONNECT to a front of its own, an upstream with TLS on loopback behind it. */
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer as createHttpsServer } from "node:https";
import type { IncomingMessage, RequestListener, Server as HttpServer, ServerResponse } from "node:http";
import { createSecureServer, type Http2SecureServer, type ServerHttp2Stream } from "node:http2";
import { type AddressInfo, connect as connectTcp, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { once } from "node:events";
import { connect as connectTls, type SecureContext, type TLSSocket } from "node:tls";
import { promisify } from "node:util";
import { createPolicyRules } from "../policy-rules.ts";
import type { AuditRow, CredentialRule, PolicySource, SandboxPolicy } from "../port.ts";
import { type CertificateAuthority, createCertificateAuthority } from "../tls/certificate-authority.ts";
import { createInterceptor } from "./interceptor.ts";
import type { Interceptor } from "./port.ts";

export const HOST = "api.example.com";
export const PLACEHOLDER = "sandbox0_placeholder_0123456789abcdef";
export const SECRET = "canary-4f1c9a77-secret-of-another-length-than-its-placeholder";

export interface World {
  /** PEM file that the client trusts. */
  caFile: string;
  ca: CertificateAuthority;
  upstreamCa: CertificateAuthority;
  interceptor: Interceptor;
  policy: SandboxPolicy | null;
  /** By credential id. */
  secrets: Map<string, string>;
  rows: AuditRow[];
  /** Where the gateway dials to for any host. */
  upstreamPort: number;
  proxyPort: number;
  dials: number;
  /** What asking for a secret ends with. */
  failing: Error | null;
  /** Stands in for `secrets`. */
  secretOf: PolicySource["secretOf"] | null;
  /** From now on the gateway trusts no upstream of this world. */
  distrust(): void;
  /** Of any server made here. */
  closers: (() => Promise<void>)[];
  close(): Promise<void>;
}

export const rule = (change: Partial<CredentialRule> = {}): CredentialRule => ({
  id: "vcrd_1",
  placeholder: PLACEHOLDER,
  hosts: [HOST],
  inHeader: true,
  inBody: true,
  ...change,
});

export const policyWith = (...credentials: CredentialRule[]): SandboxPolicy => ({
  workspaceId: "wrkspc_1",
  sessionId: "sesn_1",
  networking: { type: "limited", allowedHosts: [HOST, "127.0.0.1"] },
  credentials,
  repositories: [],
});

export async function createWorld(): Promise<World> {
  const dir = await mkdtemp(join(tmpdir(), "egress-test-"));
  const ca = await createCertificateAuthority({ dir: join(dir, "ca") });
  const upstreamCa = await createCertificateAuthority({ dir: join(dir, "upstream") });
  const caFile = join(dir, "ca-bundle.pem");
  await writeFile(caFile, ca.certificatePem);
  const rows: AuditRow[] = [];
  const policies: PolicySource = {
    policyOf: async () => world.policy,
    secretOf: async (sandboxId, id) => {
      if (world.secretOf) return world.secretOf(sandboxId, id);
      if (world.failing) throw world.failing;
      return world.secrets.get(id) ?? null;
    },
  };
  const trusting = (extraCas: string[]): Interceptor =>
    createInterceptor({
      ...{ ca, policies, extraCas },
      audit: { record: (row) => void rows.push(row) },
      denialOf: createPolicyRules([80, 443]),
    });
  const world: World = {
    ...{ ca, upstreamCa, caFile, rows },
    interceptor: trusting([upstreamCa.certificatePem]),
    failing: null,
    secretOf: null,
    distrust() {
      world.interceptor = trusting([]);
    },
    policy: policyWith(rule()),
    secrets: new Map([["vcrd_1", SECRET]]),
    upstreamPort: 0,
    proxyPort: 0,
    dials: 0,
    closers: [],
    async close() {
      await world.interceptor.close();
      for (const close of world.closers.reverse()) await close();
      await rm(dir, { recursive: true });
      if (JSON.stringify(rows).includes(SECRET)) throw new Error("a secret is in the audit rows");
    },
  };
  world.proxyPort = await listen(world, createServer(front(world)));
  return world;
}

/** The least that CONNECT is, without the gateway's checks. */
function front(world: World): (socket: Socket) => void {
  return (socket) => {
    let head = Buffer.alloc(0);
    const read = (chunk: Buffer): void => {
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf("\r\n\r\n");
      if (end === -1) return;
      socket.off("data", read);
      socket.pause();
      if (head.length > end + 4) socket.unshift(head.subarray(end + 4));
      const [, host = "", port = ""] = /^CONNECT (\S+):(\d+) /.exec(head.toString("latin1")) ?? [];
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      // As the gateway does: the first bytes are read, and put back.
      socket.resume();
      socket.once("data", (first) => {
        socket.pause();
        socket.unshift(first);
        void world.interceptor.intercept(socket, { sandboxId: "sbx_1", host, port: Number(port), dial: () => dial(world) });
      });
    };
    socket.on("data", read);
    socket.on("error", () => socket.destroy());
  };
}

export async function dial(world: World): Promise<Socket> {
  world.dials++;
  const socket = connectTcp({ port: world.upstreamPort, host: "127.0.0.1", allowHalfOpen: true });
  await once(socket, "connect");
  return socket;
}

/** Listens on a port of loopback, until the world closes. */
export async function listen(world: World, server: Server | HttpServer | Http2SecureServer): Promise<number> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  world.closers.push(async () => {
    server.close();
    for (const socket of sockets) socket.destroy();
    await once(server, "close");
  });
  return (server.address() as AddressInfo).port;
}

async function certificatesOf(world: World) {
  const [named, addressed] = await Promise.all([world.upstreamCa.leafFor(HOST), world.upstreamCa.leafFor("127.0.0.1")]);
  return {
    ...{ cert: addressed.cert, key: addressed.key },
    SNICallback: (_name: string, done: (error: null, context: SecureContext) => void) => done(null, named.context),
  };
}

/** The upstream of this world from now on: HTTP/1.1 with TLS. */
export async function serveHttp1(world: World, onRequest: RequestListener): Promise<HttpServer> {
  const server = createHttpsServer({ ...(await certificatesOf(world)), ALPNProtocols: ["http/1.1"] }, onRequest);
  world.upstreamPort = await listen(world, server);
  return server;
}

/** The upstream of this world from now on: HTTP/2 only. */
export async function serveHttp2(
  world: World,
  onStream: (stream: ServerHttp2Stream, headers: NodeJS.Dict<string | string[]>) => void,
) {
  const server = createSecureServer(await certificatesOf(world));
  server.on("stream", (stream, headers) => onStream(stream, headers));
  world.upstreamPort = await listen(world, server);
  return server;
}

interface Seen {
  request: IncomingMessage;
  body: string;
}

/** An upstream that remembers what it was asked and answers with `answer`. */
export async function rememberHttp1(world: World, answer?: (response: ServerResponse, seen: Seen) => void): Promise<Seen[]> {
  const all: Seen[] = [];
  const answerWith = answer ?? ((response: ServerResponse) => response.end("ok"));
  await serveHttp1(world, (request, response) => {
    void textOf(request).then((body) => {
      const seen = { request, body };
      all.push(seen);
      answerWith(response, seen);
    });
  });
  return all;
}

export async function textOf(stream: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString("latin1");
}

const run = promisify(execFile);

/** The system's curl through the front. Resolves with its output, the response's head included when asked for with `-i`. */
export async function curl(world: World, ...args: string[]): Promise<{ stdout: string; stderr: string }> {
  const proxy = ["--proxy", `http://127.0.0.1:${world.proxyPort}`, "--suppress-connect-headers", "--cacert", world.caFile];
  return run("curl", ["-sS", "--max-time", "60", ...proxy, ...args], { maxBuffer: 64 * 1024 * 1024 });
}

/** A tunnel through the front, and TLS in it. */
export async function openTunnel(
  world: World,
  protocols: string[],
  options: { host?: string; servername?: string } = {},
): Promise<TLSSocket> {
  const host = options.host ?? HOST;
  const socket = connectTcp(world.proxyPort, "127.0.0.1");
  socket.write(`CONNECT ${host}:443 HTTP/1.1\r\nHost: ${host}:443\r\n\r\n`);
  await once(socket, "data");
  const tls = connectTls({
    socket,
    servername: options.servername ?? host,
    ALPNProtocols: protocols,
    ca: world.ca.certificatePem,
  });
  world.closers.push(async () => void tls.destroy());
  await once(tls, "secureConnect");
  return tls;
}
