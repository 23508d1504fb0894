import { isIP, type Socket } from "node:net";
import { networkInterfaces } from "node:os";
import { createAddressFacts, parseRanges, type Address } from "./address-facts.ts";
import { dialAddresses } from "./dial.ts";
import { EgressError } from "./egress-error.ts";
import { parseHost } from "./host.ts";
import { createResolver, type Resolve } from "./resolver.ts";

export interface CheckedAddress extends Address {
  /** Not public: the operator has opened it. */
  opened: boolean;
}

/** One of our own listening ports. `address`: where it listens; one of this machine's means all of this machine's. */
export interface ForbiddenEndpoint {
  address: string;
  port: number;
}

export interface AddressGuardOptions {
  /** CIDR ranges or addresses that the operator opens (`SANDBOX0_EGRESS_ALLOW_PRIVATE`). Throws when one is not readable. */
  allowPrivate: readonly string[];
  /** Stay shut whatever is opened. Asked for at each check, as ports are only known once they listen. */
  forbidden: () => readonly ForbiddenEndpoint[];
  /** Names to addresses; by default the system's DNS servers and hosts file. */
  resolve?: Resolve;
}

/**
 * Finds the addresses of a host and refuses what is not on the public Internet, or is ours. The checked address is the one
 * dialled: nothing is resolved twice, so a name cannot point elsewhere after the check.
 */
export interface AddressGuard {
  /** Every address of `host` that may be dialled at `port`, at least one. Rejects with an `EgressError`. */
  check(host: string, port: number, signal?: AbortSignal): Promise<CheckedAddress[]>;
  /** A TCP connection (half-open allowed) to one of the checked addresses. Rejects with an `EgressError`. */
  dial(host: string, port: number, signal?: AbortSignal): Promise<Socket>;
}

/** Interfaces come and go; to read them costs a system call. */
const OWN_ADDRESSES_LIFE_MS = 2_000;

export const createAddressGuard = (options: AddressGuardOptions): AddressGuard => {
  const opened = parseRanges(options.allowPrivate);
  const factsOf = createAddressFacts();
  const own = createOwnAddresses();
  const resolve = options.resolve ?? createResolver();

  const isForbidden = (address: string, port: number): boolean =>
    options.forbidden().some((endpoint) => {
      if (endpoint.port !== port) return false;
      const theirs = parseHost(endpoint.address);
      // What is not an address (a name, or nothing) can only mean this machine.
      const ours = theirs?.kind !== "address" || own.has(theirs.text) || isUnspecified(theirs.text);
      return theirs?.text === address || (ours && own.has(address));
    });

  const checked = (address: Address, port: number): CheckedAddress[] => {
    const { kind, leadsTo } = factsOf(address.address);
    if (kind === "never" || isForbidden(leadsTo, port)) return [];
    if (kind === "public" && !own.has(leadsTo)) return [{ ...address, opened: false }];
    return opened.check(leadsTo, isIP(leadsTo) === 6 ? "ipv6" : "ipv4") ? [{ ...address, opened: true }] : [];
  };

  const check = async (host: string, port: number, signal?: AbortSignal): Promise<CheckedAddress[]> => {
    const parsed = parseHost(host);
    if (!parsed) throw new EgressError("denied", "invalid_host", "this is not a host name or address");
    const found = parsed.kind === "address" ? [parsed.text] : await resolveName(resolve, parsed.text, signal);
    const allowed = found.flatMap((address) => checked(canonical(address), port));
    if (allowed.length === 0) throw addressDenied(parsed.text, port);
    return allowed;
  };

  return { check, dial: async (host, port, signal) => dialAddresses(await check(host, port, signal), port, signal) };
};

const canonical = (text: string): Address => {
  const address = parseHost(text)?.text ?? text;
  return { address, family: isIP(address) === 6 ? 6 : 4 };
};

const isUnspecified = (address: string): boolean => address === "0.0.0.0" || address === "::";

const resolveName = async (resolve: Resolve, name: string, signal?: AbortSignal): Promise<string[]> => {
  signal?.throwIfAborted();
  try {
    return (await resolve(name)).map(({ address }) => address);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "";
    const missing = code === "ENOTFOUND" || code === "ENODATA";
    const reason = missing ? "name_not_found" : "dns_failed";
    throw new EgressError("failed", reason, `the name ${name} ${missing ? "does not exist in DNS" : "could not be resolved"}`);
  }
};

const addressDenied = (host: string, port: number): EgressError =>
  new EgressError(
    "denied",
    "address_not_public",
    `${host} (port ${port}) is not an address on the public Internet, or belongs to this installation. ` +
      "Private, link-local, metadata and own addresses are closed to sandboxes; the operator of this server may open a range " +
      "with SANDBOX0_EGRESS_ALLOW_PRIVATE, but never the ports of this installation.",
  );

/** The addresses of this machine: those of its interfaces, and all that loops back. */
const createOwnAddresses = (): { has(address: string): boolean } => {
  let known = new Set<string>();
  let staleAt = Number.NEGATIVE_INFINITY;
  const read = (): Set<string> => {
    if (performance.now() < staleAt) return known;
    staleAt = performance.now() + OWN_ADDRESSES_LIFE_MS;
    const all = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
    known = new Set(all.map(({ address }) => parseHost(address.split("%")[0] ?? "")?.text ?? address));
    return known;
  };
  return { has: (address) => address === "::1" || address.startsWith("127.") || read().has(address) };
};
