import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  createWorld,
  exchange,
  limited,
  listenTls,
  openTunnelTo,
  readAll,
  tlsOver,
  type Upstream,
  type World,
} from "./gateway.fixture.ts";

let world: World;
let upstream: Upstream;

beforeEach(async () => {
  world = await createWorld();
  upstream = await listenTls(world.ca, "allowed.example", (socket) => socket.pipe(socket));
  world.ports.push(upstream.port);
});

afterEach(async () => {
  await world.close();
  await upstream.close();
  expect(world.bugs).toEqual([]);
});

const rowsLeft = (count: number) => vi.waitFor(() => expect(world.rows.length).toBeGreaterThanOrEqual(count), 30_000);

describe("a TLS tunnel", () => {
  it("passes bytes both ways, ends on both sides, and leaves an audit row", async () => {
    const tls = await tlsOver(
      await openTunnelTo(world.socketPath, `allowed.example:${upstream.port}`),
      world.ca,
      "allowed.example",
    );
    tls.end("hello");
    expect((await readAll(tls)).toString()).toBe("hello");
    await rowsLeft(1);
    expect(world.rows).toMatchObject([
      { verdict: "allowed", reason: null, host: "allowed.example", port: upstream.port, sessionId: "sesn_1", credentialIds: [] },
    ]);
    expect(world.rows[0]?.bytesIn).toBeGreaterThan(5);
    expect(world.rows[0]?.bytesOut).toBeGreaterThan(5);
  });

  it("is refused to a host that is not allowed, with words that an agent can act on", async () => {
    world.policy.current = limited("other.example");
    const answer = await exchange(world.socketPath, `CONNECT allowed.example:443 HTTP/1.1\r\nHost: allowed.example\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1.1 403 Denied by sandbox0 egress: host_not_allowed\r\n/);
    expect(answer).toContain("\r\nx-sandbox0-denied: host_not_allowed\r\n");
    expect(answer).toContain('add "allowed.example" to config.networking.allowed_hosts');
    expect(world.rows).toMatchObject([{ verdict: "denied", reason: "host_not_allowed", host: "allowed.example", port: 443 }]);
  });

  it("is cut when the policy changes", async () => {
    const tls = await tlsOver(
      await openTunnelTo(world.socketPath, `allowed.example:${upstream.port}`),
      world.ca,
      "allowed.example",
    );
    world.policy.current = limited("other.example");
    await readAll(tls);
    await rowsLeft(1);
    expect(world.rows).toMatchObject([{ verdict: "denied", reason: "host_not_allowed" }]);
  });
});
