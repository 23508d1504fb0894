/** The whole way, with real clients: curl through the gateway to a server that says what it was sent. */
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { createServer as createHttpServer, type RequestListener, type Server } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { connect, createServer, type Server as TcpServer } from "node:net";
import { createWorld, limited, LOOPBACK, PLACEHOLDER, policyOf, SECRET, type World } from "./gateway.fixture.ts";

const run = promisify(execFile);

let world: World;
/** What the forwarder in a sandbox does: TCP to the socket. */
let forwarder: TcpServer;
let servers: Server[];
let caFile: string;

const listen = async (server: TcpServer): Promise<number> => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
};

const echo: RequestListener = (request, response) => {
  void text(request).then((body) => response.end(JSON.stringify({ url: request.url, headers: request.headers, body })));
};

beforeEach(async () => {
  world = await createWorld({ opens: true });
  world.names.set("tunnelled.example", LOOPBACK);
  world.policy.current = policyOf({ type: "limited", allowedHosts: ["allowed.example", "tunnelled.example"] }, [
    { id: "vcrd_1", placeholder: PLACEHOLDER, hosts: ["allowed.example"], inHeader: true, inBody: true },
  ]);
  const [allowed, tunnelled] = await Promise.all(["allowed.example", "tunnelled.example"].map((host) => world.ca.leafFor(host)));
  const https = createHttpsServer(
    { ...allowed, SNICallback: (name, done) => done(null, (name === "tunnelled.example" ? tunnelled : allowed)?.context) },
    echo,
  );
  servers = [https, createHttpServer(echo)];
  world.listensAt.set(443, await listen(https));
  world.listensAt.set(80, await listen(servers[1] as Server));
  forwarder = createServer({ allowHalfOpen: true }, (socket) => {
    const inside = connect({ path: world.socketPath, allowHalfOpen: true });
    socket.on("error", () => inside.destroy());
    inside.on("error", () => socket.destroy());
    socket.pipe(inside).pipe(socket);
  });
  caFile = join(dirname(world.socketPath), "ca.pem");
  await writeFile(caFile, world.ca.certificatePem);
});

afterEach(async () => {
  await world.close();
  for (const server of servers) server.closeAllConnections();
  await Promise.all([forwarder, ...servers].map((server) => new Promise((resolve) => server.close(resolve))));
  expect(world.bugs).toEqual([]);
});

const curl = async (scheme: "http" | "socks5h", url: string, ...more: string[]): Promise<string> => {
  const port = forwarder.listening ? (forwarder.address() as AddressInfo).port : await listen(forwarder);
  const { stdout } = await run("curl", ["-sS", "--cacert", caFile, "-x", `${scheme}://127.0.0.1:${port}`, ...more, url]);
  return stdout;
};

const WITH_PLACEHOLDER = ["-H", `Authorization: Bearer ${PLACEHOLDER}`, "-d", `{"key":"${PLACEHOLDER}"}`];

describe.each(["http", "socks5h"] as const)("curl over %s", (scheme) => {
  it("gets a secret put in for its host only", async () => {
    const opened = JSON.parse(await curl(scheme, "https://allowed.example/a", ...WITH_PLACEHOLDER)) as {
      headers: Record<string, string>;
    };
    // The answer is looked through as well: what the server echoes is the placeholder again.
    expect(opened.headers["content-length"]).toBe(String(`{"key":"${SECRET}"}`.length));
    expect(JSON.stringify(opened)).not.toContain(SECRET);
    const passed = await curl(scheme, "https://tunnelled.example/a", ...WITH_PLACEHOLDER);
    expect(JSON.parse(passed)).toMatchObject({
      headers: { authorization: `Bearer ${PLACEHOLDER}` },
      body: `{"key":"${PLACEHOLDER}"}`,
    });
    expect(world.rows.find(({ host }) => host === "allowed.example")).toMatchObject({
      verdict: "allowed",
      credentialIds: ["vcrd_1"],
    });
  });

  it("speaks plain HTTP, each request for itself", async () => {
    const answers = await curl(scheme, "http://allowed.example/b", "http://tunnelled.example/a", "-d", "hello");
    expect(answers).toContain('"url":"/a"');
    expect(answers).toContain('"url":"/b"');
    expect(world.rows).toMatchObject([
      { host: "tunnelled.example", port: 80, verdict: "allowed" },
      { host: "allowed.example", port: 80, verdict: "allowed" },
    ]);
  });

  it("is refused elsewhere", async () => {
    world.policy.current = limited("tunnelled.example");
    await expect(curl(scheme, "https://allowed.example/")).rejects.toThrow(/403|SOCKS5/);
    expect(world.rows).toMatchObject([{ verdict: "denied", reason: "host_not_allowed" }]);
  });
});

it("tells curl in words why a plain request is refused", async () => {
  world.policy.current = limited("tunnelled.example");
  expect(await curl("http", "http://allowed.example/")).toContain('add "allowed.example" to config.networking.allowed_hosts');
});
