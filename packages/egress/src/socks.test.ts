import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  connectTo,
  createWorld,
  limited,
  listenTls,
  policyOf,
  readAll,
  readBytes,
  tlsOver,
  type Upstream,
  type World,
} from "./gateway.fixture.ts";

const GREETING = Buffer.from([5, 1, 0]);
const CONNECT = 1;

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

const byName = (name: string): Buffer => Buffer.concat([Buffer.from([3, name.length]), Buffer.from(name)]);
const byIpv4 = (...bytes: number[]): Buffer => Buffer.from([1, ...bytes]);
const byIpv6 = (hex: string): Buffer => Buffer.concat([Buffer.from([4]), Buffer.from(hex, "hex")]);

const ask = (address: Buffer, port: number, command = CONNECT): Buffer =>
  Buffer.concat([Buffer.from([5, command, 0]), address, Buffer.from([port >> 8, port & 255])]);

/** Greets and asks; returns the socket and the reply code. */
const request = async (bytes: Buffer) => {
  const socket = await connectTo(world.socketPath);
  socket.write(GREETING);
  expect(await readBytes(socket, 2)).toEqual(Buffer.from([5, 0]));
  socket.write(bytes);
  const reply = await readBytes(socket, 10);
  return { socket, code: reply[1] };
};

describe("SOCKS5", () => {
  it("opens a tunnel by name, under the same rules", async () => {
    const { socket, code } = await request(ask(byName("ALLOWED.example."), 443));
    expect(code).toBe(0);
    const tls = await tlsOver(socket, world.ca, "allowed.example");
    tls.end("hello");
    expect((await readAll(tls)).toString()).toBe("hello");
    await vi.waitFor(
      () => expect(world.rows).toMatchObject([{ verdict: "allowed", host: "allowed.example", port: 443 }]),
      60_000,
    );
    const other = await request(ask(byName("allowed.example"), 443));
    await expect(tlsOver(other.socket, world.ca, "other.example")).rejects.toThrow();
  });

  it("opens a tunnel by address, when that is allowed", async () => {
    world.policy.current = limited("127.0.0.1");
    for (const address of [byIpv4(127, 0, 0, 1), byIpv6("00000000000000000000ffff7f000001"), byName("2130706433")]) {
      const { socket, code } = await request(ask(address, 443));
      expect(code).toBe(0);
      await tlsOver(socket, world.ca, "");
      socket.destroy();
    }
  });

  it("takes all that a client sends at once", async () => {
    const socket = await connectTo(world.socketPath);
    socket.write(Buffer.concat([GREETING, ask(byName("allowed.example"), 443)]));
    expect(await readBytes(socket, 12)).toEqual(Buffer.from([5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0]));
    await tlsOver(socket, world.ca, "allowed.example");
    socket.destroy();
  });

  it("takes a request in single bytes", async () => {
    const socket = await connectTo(world.socketPath);
    for (const byte of Buffer.concat([GREETING, ask(byName("allowed.example"), 443)])) socket.write(Buffer.from([byte]));
    expect((await readBytes(socket, 12))[3]).toBe(0);
    socket.destroy();
  });

  it.each([
    ["a host that is not allowed", ask(byName("other.example"), 443), 2, "host_not_allowed"],
    ["an address of the allowed host", ask(byIpv4(127, 0, 0, 1), 443), 2, "host_not_allowed"],
    ["a closed port", ask(byName("allowed.example"), 25), 2, "port_not_allowed"],
    ["BIND", ask(byName("allowed.example"), 443, 2), 7, "socks_unsupported"],
    ["UDP", ask(byName("allowed.example"), 443, 3), 7, "socks_unsupported"],
    ["an unknown kind of address", ask(Buffer.from([9, 0, 0, 0, 0]), 443), 8, "invalid_host"],
    ["a name that is none", ask(byName("a b"), 443), 8, "invalid_host"],
    ["port 0", ask(byName("allowed.example"), 0), 8, "invalid_host"],
  ])("refuses %s", async (_, bytes, code, reason) => {
    const answer = await request(bytes);
    expect(answer.code).toBe(code);
    await readAll(answer.socket);
    expect(world.rows).toMatchObject([{ verdict: "denied", reason }]);
    expect(upstream.connections).toBe(0);
  });

  it("refuses private addresses behind names", async () => {
    world.policy.current = policyOf({ type: "unrestricted", blockedHosts: [] });
    world.names.set("meta.example", [{ address: "169.254.169.254", family: 4 }]);
    expect((await request(ask(byName("meta.example"), 443))).code).toBe(2);
    expect((await request(ask(byIpv4(10, 0, 0, 1), 443))).code).toBe(2);
    expect((await request(ask(byIpv6("fd00000000000000000000000000000001".slice(0, 32)), 443))).code).toBe(2);
    expect((await request(ask(byName("missing.example"), 443))).code).toBe(4);
  });

  it("offers no authentication but none, and speaks no other version", async () => {
    const socket = await connectTo(world.socketPath);
    socket.write(Buffer.from([5, 1, 2]));
    expect(await readAll(socket)).toEqual(Buffer.from([5, 255]));
    const older = await connectTo(world.socketPath);
    older.write(Buffer.from([4, 1, 1, 187, 127, 0, 0, 1, 0]));
    expect((await readAll(older)).toString()).toMatch(/^HTTP\/1.1 400 /);
    const changing = await connectTo(world.socketPath);
    changing.write(Buffer.concat([GREETING, Buffer.from([4, 1, 0, 1, 127, 0, 0, 1])]));
    expect(await readAll(changing)).toEqual(Buffer.from([5, 0]));
  });
});
