import type { Socket } from "node:net";

export interface Address {
  address: string;
  family: 4 | 6;
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
  resolve?: (name: string) => Promise<readonly Address[]>;
}

/**
 * Finds the addresses of a host and refuses what is not on the public Internet, or is ours. The checked address is the one
 * dialled: nothing is resolved twice, so a name cannot point elsewhere after the check.
 */
export interface AddressGuard {
  /** Every address of `host` that may be dialled at `port`, at least one. Rejects with an `EgressError`. */
  check(host: string, port: number, signal?: AbortSignal): Promise<Address[]>;
  /** A TCP connection (half-open allowed) to one of the checked addresses. Rejects with an `EgressError`. */
  dial(host: string, port: number, signal?: AbortSignal): Promise<Socket>;
}
