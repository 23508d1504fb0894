import { BlockList, isIP } from "node:net";

export interface Address {
  address: string;
  family: 4 | 6;
}

type Range = readonly [network: string, prefix: number];

/** Never dialled, whatever the operator opens: nobody's, everybody's, and where clouds hand out credentials. */
const NEVER: readonly Range[] = [
  ["0.0.0.0", 8],
  ["224.0.0.0", 4],
  ["255.255.255.255", 32],
  ["169.254.169.254", 32], // AWS, GCP, Azure and most others
  ["169.254.170.2", 32], // AWS ECS
  ["169.254.170.23", 32], // AWS EKS
  ["168.63.129.16", 32], // Azure's wire server, a public address
  ["100.100.100.200", 32], // Alibaba
  ["192.0.0.192", 32], // Oracle
  ["::", 128],
  ["ff00::", 8],
  ["fd00:ec2::254", 128], // AWS
  ["fd00:ec2::23", 128], // AWS EKS
  ["fd20:ce::254", 128], // GCP
  ["2001::", 32], // Teredo: leads to an IPv4 address of the sender's choice
  ["2002::", 16], // 6to4: the same
  ["64:ff9b:1::", 48], // NAT64 of a network's own, with the IPv4 address at a place only it knows
];

/** Not on the public Internet (IANA's special-purpose registries). An operator may open ranges of these. */
const PRIVATE: readonly Range[] = [
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["240.0.0.0", 4],
  ["2001::", 23],
  ["2001:db8::", 32],
  ["3fff::", 20],
];

/** Of IPv6, only this is public at all; the rest is reserved or local. */
const PUBLIC_IPV6: Range = ["2000::", 3];
const NAT64: Range = ["64:ff9b::", 96];

export type AddressClass = "public" | "private" | "never";

const listOf = (ranges: readonly Range[]): BlockList => {
  const list = new BlockList();
  for (const [network, prefix] of ranges) list.addSubnet(network, prefix, family(network));
  return list;
};

const family = (address: string): "ipv4" | "ipv6" => (isIP(address) === 6 ? "ipv6" : "ipv4");

export interface AddressFacts {
  kind: AddressClass;
  /** Where packets to it end up: of a NAT64 address the IPv4 address inside, else itself. */
  leadsTo: string;
}

/** Sorts canonical addresses (`parseHost`). What is neither IPv4 nor IPv6 is `never`. */
export const createAddressFacts = (): ((address: string) => AddressFacts) => {
  const never = listOf(NEVER);
  const closed = listOf(PRIVATE);
  const publicIpv6 = listOf([PUBLIC_IPV6]);
  const nat64 = listOf([NAT64]);
  const classOf = (address: string, version: number): AddressClass => {
    if (version === 0 || address.includes("%") || never.check(address, family(address))) return "never";
    if (closed.check(address, family(address))) return "private";
    return version === 4 || publicIpv6.check(address, "ipv6") ? "public" : "private";
  };
  return (address) => {
    const inside = isIP(address) === 6 && nat64.check(address, "ipv6");
    const leadsTo = inside ? lastIpv4Of(address) : address;
    return { kind: classOf(leadsTo, isIP(leadsTo)), leadsTo };
  };
};

/** The IPv4 address in the last 32 bits of an IPv6 address, as the URL parser spells those: two groups of hexadecimal. */
const lastIpv4Of = (address: string): string => {
  const canonical = new URL(`http://[${address}]/`).hostname.slice(1, -1);
  const [low = "0", high = "0"] = canonical.split(":").reverse();
  const bits = [Number.parseInt(high || "0", 16), Number.parseInt(low || "0", 16)];
  return bits.map((pair) => `${pair >> 8}.${pair & 255}`).join(".");
};

/** Reads the operator's CIDR ranges and single addresses; throws on what is neither. */
export const parseRanges = (texts: readonly string[]): BlockList => listOf(texts.map(parseRange));

const parseRange = (text: string): Range => {
  const [network = "", length, ...rest] = text.trim().split("/");
  const version = isIP(network);
  const bits = version === 6 ? 128 : 32;
  const prefix = length === undefined ? bits : Number(length);
  const valid = version !== 0 && !network.includes("%") && rest.length === 0 && /^\d{1,3}$/.test(length ?? "0") && prefix <= bits;
  if (!valid) throw new TypeError(`not an address or a CIDR range: ${JSON.stringify(text)}`);
  return [network, prefix];
};
