import { createServer, type AddressInfo } from "node:net";
import { networkInterfaces } from "node:os";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Address } from "./address-facts.ts";
import { createAddressGuard, type AddressGuard, type ForbiddenEndpoint } from "./address-guard.ts";

const PUBLIC = "93.184.215.14";
const PUBLIC_V6 = "2606:2800:21f:cb07::1";

const at = (...addresses: string[]): Address[] =>
  addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 }));

const guardWith = (
  options: { allowPrivate?: string[]; forbidden?: () => ForbiddenEndpoint[]; names?: Record<string, Address[]> } = {},
): AddressGuard =>
  createAddressGuard({
    allowPrivate: options.allowPrivate ?? [],
    forbidden: options.forbidden ?? (() => []),
    resolve: async (name) => {
      const found = options.names?.[name];
      if (!found) throw Object.assign(new Error("no"), { code: "ENOTFOUND" });
      return found;
    },
  });

const denied = { name: "EgressError", verdict: "denied", reason: "address_not_public", status: 403 };

const CLOSED = [
  ["0.0.0.0", "unspecified"],
  ["0.1.2.3", "this network"],
  ["10.0.0.1", "private"],
  ["100.64.0.1", "carrier-grade NAT"],
  ["100.100.100.200", "metadata of Alibaba"],
  ["127.0.0.1", "loopback"],
  ["127.255.255.254", "loopback"],
  ["168.63.129.16", "Azure's wire server"],
  ["169.254.1.1", "link-local"],
  ["169.254.169.254", "metadata"],
  ["172.16.0.1", "private"],
  ["172.31.255.255", "private"],
  ["192.0.0.1", "protocol assignments"],
  ["192.0.2.1", "documentation"],
  ["192.88.99.1", "6to4 relay"],
  ["192.168.0.1", "private"],
  ["198.18.0.1", "benchmarks"],
  ["198.51.100.1", "documentation"],
  ["203.0.113.1", "documentation"],
  ["224.0.0.1", "multicast"],
  ["239.255.255.255", "multicast"],
  ["240.0.0.1", "reserved"],
  ["255.255.255.255", "broadcast"],
  ["::", "unspecified"],
  ["::1", "loopback"],
  ["::7f00:1", "IPv4-compatible"],
  ["::ffff:10.0.0.1", "IPv4-mapped"],
  ["::ffff:0:10.0.0.1", "IPv4-translated"],
  ["64:ff9b::7f00:1", "NAT64 of loopback"],
  ["64:ff9b::a9fe:a9fe", "NAT64 of metadata"],
  ["64:ff9b::", "NAT64 of unspecified"],
  ["64:ff9b:1::a00:1", "local NAT64"],
  ["100::1", "discard only"],
  ["2001:0:4136:e378:8000:63bf:3fff:fdd2", "Teredo"],
  ["2001:db8::1", "documentation"],
  ["2002:7f00:1::", "6to4 of loopback"],
  ["2002:5db8:d70e::1", "6to4"],
  ["3fff::1", "documentation"],
  ["5f00::1", "segment routing"],
  ["fc00::1", "unique local"],
  ["fd00:ec2::254", "metadata of AWS"],
  ["fe80::1", "link-local"],
  ["fec0::1", "site-local"],
  ["ff02::1", "multicast"],
] as const;

describe("the address guard", () => {
  it.each(CLOSED)("refuses %s (%s), as an address and behind a name", async (address) => {
    const guard = guardWith({ names: { "a.example": at(address) } });
    await expect(guard.check(address, 443)).rejects.toMatchObject(denied);
    await expect(guard.check("a.example", 443)).rejects.toMatchObject(denied);
    await expect(guard.dial("a.example", 443)).rejects.toMatchObject(denied);
  });

  it.each([PUBLIC, PUBLIC_V6, "1.1.1.1", "172.32.0.1", "100.128.0.1", "64:ff9b::5db8:d70e", "2a00::1"])(
    "passes %s",
    async (address) => {
      expect(await guardWith().check(address, 443)).toMatchObject([{ address, opened: false }]);
    },
  );

  it("agrees about an IPv4 address in every form that leads to it", async () => {
    const guard = guardWith();
    const passes = (host: string): Promise<boolean> =>
      guard.check(host, 443).then(
        () => true,
        () => false,
      );
    await fc.assert(
      fc.asyncProperty(fc.ipV4(), async (ip) => {
        const [a = 0, b = 0, c = 0, d = 0] = ip.split(".").map(Number);
        const hex = `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
        const plain = await passes(ip);
        for (const form of [`::ffff:${hex}`, `64:ff9b::${hex}`, `${((a << 24) | (b << 16) | (c << 8) | d) >>> 0}`]) {
          expect(await passes(form), form).toBe(plain);
        }
        expect(await passes(`2002:${hex}::1`)).toBe(false);
        expect(await passes(`::${hex}`)).toBe(false);
      }),
    );
  });

  it("dials only those addresses of a name that pass", async () => {
    const guard = guardWith({ names: { "mixed.example": at("10.0.0.1", PUBLIC, "::1", PUBLIC_V6, "169.254.169.254") } });
    expect((await guard.check("mixed.example", 443)).map(({ address }) => address)).toEqual([PUBLIC, PUBLIC_V6]);
  });

  it("opens what the operator names, and never metadata, multicast or unspecified", async () => {
    const guard = guardWith({ allowPrivate: ["10.0.0.0/8", "::1", "fd00::/8", "0.0.0.0/0", "::/0"].slice(0, 3) });
    expect(await guard.check("10.1.2.3", 443)).toMatchObject([{ opened: true }]);
    expect(await guard.check("::ffff:10.1.2.3", 443)).toMatchObject([{ address: "10.1.2.3", opened: true }]);
    expect(await guard.check("::1", 443)).toMatchObject([{ opened: true }]);
    await expect(guard.check("192.168.0.1", 443)).rejects.toMatchObject(denied);
    await expect(guard.check("127.0.0.1", 443)).rejects.toMatchObject(denied);
    const everything = guardWith({ allowPrivate: ["0.0.0.0/0", "::/0"] });
    for (const host of ["169.254.169.254", "100.100.100.200", "fd00:ec2::254", "224.0.0.1", "0.0.0.0", "::", "2002:7f00:1::"]) {
      await expect(everything.check(host, 443), host).rejects.toMatchObject(denied);
    }
  });

  it.each(["10.0.0.0/33", "10.0.0/8", "fe80::1%eth0", "host.example", "", "10.0.0.0/", "10.0.0.0/8/8", "10.0.0.0/-1"])(
    "does not start with the range %j",
    (range) => {
      expect(() => guardWith({ allowPrivate: [range] })).toThrow(TypeError);
    },
  );

  it("refuses the addresses of this machine, public or not, until they are opened", async () => {
    const own = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
    for (const { address } of own) {
      await expect(guardWith().check(address.split("%")[0] ?? "", 443), address).rejects.toMatchObject(denied);
    }
  });

  it("keeps our own ports shut at every address of this machine, whatever is open", async () => {
    const ours: ForbiddenEndpoint[] = [];
    const guard = guardWith({
      allowPrivate: ["0.0.0.0/0", "::/0"],
      forbidden: () => ours,
      names: { "me.example": at("127.0.0.1") },
    });
    const own = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
    const hosts = ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "me.example"];
    hosts.push(...own.map(({ address }) => address).filter((address) => !address.startsWith("fe80")));
    for (const listening of ["127.0.0.1", "0.0.0.0", "::", "::1", "localhost", own[0]?.address ?? "127.0.0.1"]) {
      ours.splice(0, ours.length, { address: listening, port: 8080 });
      for (const host of hosts) {
        await expect(guard.check(host, 8080), `${host} for ${listening}`).rejects.toMatchObject(denied);
        expect(await guard.check(host, 8081), host).toHaveLength(1);
      }
      expect(await guard.check("10.9.9.9", 8080)).toHaveLength(1);
    }
  });

  it("keeps a port of ours on another machine shut there only", async () => {
    const guard = guardWith({ allowPrivate: ["10.0.0.0/8"], forbidden: () => [{ address: "10.0.0.5", port: 5432 }] });
    await expect(guard.check("10.0.0.5", 5432)).rejects.toMatchObject(denied);
    await expect(guard.check("::ffff:10.0.0.5", 5432)).rejects.toMatchObject(denied);
    expect(await guard.check("10.0.0.6", 5432)).toHaveLength(1);
  });

  it("dials the address that it checked: a name that points elsewhere a moment later changes nothing", async () => {
    const server = createServer((socket) => void socket.on("error", () => socket.destroy()).end("here"));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.2", resolve));
    let asked = 0;
    const guard = createAddressGuard({
      allowPrivate: ["127.0.0.2"],
      forbidden: () => [],
      resolve: async () => at(asked++ === 0 ? "127.0.0.2" : "127.0.0.1"),
    });
    const { port } = server.address() as AddressInfo;
    const socket = await guard.dial("rebind.example", port);
    expect(socket.remoteAddress).toBe("127.0.0.2");
    socket.destroy();
    expect(asked).toBe(1);
    await expect(guard.dial("rebind.example", port)).rejects.toMatchObject(denied);
    await new Promise((resolve) => server.close(resolve));
  });

  it("goes on to the next address when one refuses", async () => {
    const server = createServer((socket) => void socket.on("error", () => socket.destroy()).end("here"));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.2", resolve));
    const guard = guardWith({ allowPrivate: ["127.0.0.0/8"], names: { "two.example": at("127.0.0.3", "127.0.0.2") } });
    const { port } = server.address() as AddressInfo;
    const socket = await guard.dial("two.example", port);
    expect(socket.remoteAddress).toBe("127.0.0.2");
    socket.destroy();
    await new Promise((resolve) => server.close(resolve));
    await expect(guard.dial("two.example", port)).rejects.toMatchObject({
      verdict: "failed",
      reason: "connection_refused",
      status: 502,
    });
  });

  it("says when a name does not exist, and stops when asked to", async () => {
    await expect(guardWith().check("missing.example", 443)).rejects.toMatchObject({
      verdict: "failed",
      reason: "name_not_found",
    });
    const stopped = AbortSignal.abort(new Error("enough"));
    await expect(guardWith().dial(PUBLIC, 443, stopped)).rejects.toThrow("enough");
    await expect(guardWith().check("not a host", 443)).rejects.toMatchObject({ reason: "invalid_host" });
  });
});
