import { readdir } from "node:fs/promises";
import { dirname } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  connectRequest,
  connectTo,
  createWorld,
  exchange,
  limited,
  listenTcp,
  listenTls,
  LOOPBACK,
  openTunnelTo,
  policyOf,
  readAll,
  refusedBy,
  SANDBOX,
  tlsOver,
  type Upstream,
  type World,
} from "./gateway.fixture.ts";

const WAIT_MS = 60_000;

let world: World;
let upstream: Upstream;

beforeEach(async () => {
  world = await createWorld();
  upstream = await listenTls(world.ca, "allowed.example", (socket) => socket.pipe(socket));
  world.listensAt.set(443, upstream.port);
});

afterEach(async () => {
  await world.close();
  await upstream.close();
  expect(world.bugs).toEqual([]);
});

const rowsLeft = (count: number) => vi.waitFor(() => expect(world.rows.length).toBeGreaterThanOrEqual(count), WAIT_MS);

describe("addresses", () => {
  it("are checked although the name is allowed", async () => {
    for (const address of ["10.0.0.1", "169.254.169.254", "192.168.1.1"]) {
      world.names.set("allowed.example", [{ address, family: 4 }]);
      expect(await refusedBy(world.socketPath, "allowed.example:443")).toBe("address_not_public");
    }
  });

  it("of loopback are shut unless opened", async () => {
    await world.close();
    world = await createWorld({ allowPrivate: [] });
    world.listensAt.set(443, upstream.port);
    world.policy.current = policyOf({ type: "unrestricted", blockedHosts: [] });
    for (const host of [
      "allowed.example",
      "127.0.0.1",
      "2130706433",
      "0x7f.1",
      "[::1]",
      "[::ffff:127.0.0.1]",
      "[64:ff9b::7f00:1]",
      "0.0.0.0",
    ]) {
      expect(await refusedBy(world.socketPath, `${host}:443`), host).toBe("address_not_public");
    }
    expect(upstream.connections).toBe(0);
  });

  it("of our own ports stay shut when the range is opened", async () => {
    world.forbidden.push({ address: "0.0.0.0", port: 443 });
    expect(await refusedBy(world.socketPath, "allowed.example:443")).toBe("address_not_public");
  });

  it("that nobody answers at are a failure that says so", async () => {
    await upstream.close();
    const answer = await exchange(world.socketPath, connectRequest("allowed.example:443"));
    expect(answer).toMatch(/^HTTP\/1.1 502 Failed by sandbox0 egress: connection_refused\r\n/);
    expect(world.rows).toMatchObject([{ verdict: "failed", reason: "connection_refused" }]);
    world.names.delete("allowed.example");
    expect(await exchange(world.socketPath, connectRequest("allowed.example:443"))).toMatch(/^HTTP\/1.1 502 .*name_not_found/);
    upstream = await listenTcp(() => undefined);
  });
});

describe("the policy", () => {
  it("lets nothing out when there is none, or nobody can say", async () => {
    world.policy.current = null;
    expect(await refusedBy(world.socketPath, "allowed.example:443")).toBe("no_policy");
    world.policy.current = new Error("the database is away");
    expect(await refusedBy(world.socketPath, "allowed.example:443")).toBe("no_policy");
    expect(world.bugs.splice(0)).toHaveLength(1);
  });

  it("without limits leaves out only what the operator blocks", async () => {
    world.policy.current = policyOf({ type: "unrestricted", blockedHosts: ["blocked.example", "*.bad.example"] });
    await tlsOver(await openTunnelTo(world.socketPath, "allowed.example:443"), world.ca, "allowed.example");
    expect(await refusedBy(world.socketPath, "BLOCKED.example.:443")).toBe("host_blocked");
    expect(await refusedBy(world.socketPath, "a.bad.example:443")).toBe("host_blocked");
    expect(await refusedBy(world.socketPath, "allowed.example:25")).toBe("port_not_allowed");
  });

  it("cuts what is open when it changes, and when the session has gone", async () => {
    for (const next of [limited("other.example"), null]) {
      world.rows.length = 0;
      world.policy.current = limited("allowed.example");
      const tls = await tlsOver(await openTunnelTo(world.socketPath, "allowed.example:443"), world.ca, "allowed.example");
      world.policy.current = next;
      await readAll(tls);
      await rowsLeft(1);
      expect(world.rows).toMatchObject([{ verdict: "denied", reason: next ? "host_not_allowed" : "no_policy" }]);
    }
  });

  it("has connections opened that a credential is for, and cuts those that were not", async () => {
    const credential = { id: "vcrd_1", placeholder: "p", hosts: ["allowed.example"], inHeader: true, inBody: true };
    const tls = await tlsOver(await openTunnelTo(world.socketPath, "allowed.example:443"), world.ca, "allowed.example");
    world.policy.current = policyOf({ type: "limited", allowedHosts: ["*.example", "allowed.example"] }, [credential]);
    await readAll(tls);
    const socket = await openTunnelTo(world.socketPath, "Allowed.example.:443");
    // It leads to the stand-in for what opens connections, which never shakes hands.
    tlsOver(socket, world.ca, "allowed.example").catch(() => undefined);
    await vi.waitFor(
      () => expect(world.intercepted).toMatchObject([{ sandboxId: SANDBOX, host: "allowed.example", port: 443 }]),
      WAIT_MS,
    );
    world.policy.current = limited("other.example");
    await readAll(socket);
    // Not for another host, and not before the handshake has named this one.
    world.policy.current = policyOf({ type: "unrestricted", blockedHosts: [] }, [credential]);
    world.names.set("other.example", LOOPBACK);
    await tlsOver(await openTunnelTo(world.socketPath, "other.example:443"), world.ca, "other.example");
    await expect(
      tlsOver(await openTunnelTo(world.socketPath, "allowed.example:443"), world.ca, "evil.example"),
    ).rejects.toThrow();
    expect(world.intercepted).toHaveLength(1);
  });

  it("opens the host of a repository for git over https, and for as long as the session has the repository", async () => {
    const repository = { id: "sesrsc_1", host: "allowed.example", port: 443, path: "/owner/name" };
    const unread = await tlsOver(await openTunnelTo(world.socketPath, "allowed.example:443"), world.ca, "allowed.example");
    world.policy.current = policyOf({ type: "unrestricted", blockedHosts: [] }, [], [repository]);
    await readAll(unread);
    world.policy.current = policyOf({ type: "limited", allowedHosts: ["other.example"] }, [], [repository]);
    const opened = await openTunnelTo(world.socketPath, "allowed.example:443");
    tlsOver(opened, world.ca, "allowed.example").catch(() => undefined);
    await vi.waitFor(() => expect(world.intercepted).toHaveLength(1), WAIT_MS);
    expect(await refusedBy(world.socketPath, "allowed.example:80")).toBe("host_not_allowed");
    const plain = await exchange(
      world.socketPath,
      "GET http://allowed.example/ HTTP/1.1\r\nHost: allowed.example\r\nConnection: close\r\n\r\n",
    );
    expect(plain).toMatch(/^HTTP\/1.1 403 [\s\S]*only for git over https with https:\/\/allowed.example\/owner\/name/);
    world.policy.current = limited("other.example");
    await readAll(opened);
    expect(await refusedBy(world.socketPath, "allowed.example:443")).toBe("host_not_allowed");
    world.policy.current = policyOf({ type: "unrestricted", blockedHosts: ["allowed.example"] }, [], [repository]);
    expect(await refusedBy(world.socketPath, "allowed.example:443")).toBe("host_blocked");
  });
});

describe("the socket of a sandbox", () => {
  it("takes only so many connections at once", async () => {
    await world.close();
    world = await createWorld({ limits: { connectionsPerSandboxMax: 2 } });
    const open = [await connectTo(world.socketPath), await connectTo(world.socketPath)];
    expect(await exchange(world.socketPath, "GET / HTTP/1.1\r\n")).toMatch(/^HTTP\/1.1 503 .*too_many_connections/);
    open[0]?.destroy();
    await vi.waitFor(
      async () => expect(await exchange(world.socketPath, connectRequest("x.example:443"))).toMatch(/ 403 /),
      WAIT_MS,
    );
    open[1]?.destroy();
  });

  it("is gone when it is closed, with all that came through it", async () => {
    const tls = await tlsOver(await openTunnelTo(world.socketPath, "allowed.example:443"), world.ca, "allowed.example");
    await world.listener.close();
    await readAll(tls);
    expect(await readdir(dirname(world.socketPath))).not.toContain("egress.sock");
    await expect(connectTo(world.socketPath)).rejects.toThrow();
  });
});
