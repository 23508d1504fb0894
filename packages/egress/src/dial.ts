import { connect, type Socket } from "node:net";
import type { Address } from "./address-facts.ts";
import { EgressError } from "./egress-error.ts";

/** The next address is tried when the last has not answered for so long (RFC 8305 §5). */
const NEXT_ADDRESS_AFTER_MS = 250;
const CONNECT_TIMEOUT_MS = 10_000;
/** A name may have any number of addresses, and each that does not answer keeps a socket open. */
const ADDRESSES_TRIED_MAX = 4;

/**
 * Connects to whichever of `addresses` answers first, the families taking turns. Rejects with an `EgressError` when none
 * does in time, and with the reason of `signal` when that ends it.
 */
export const dialAddresses = (addresses: readonly Address[], port: number, signal?: AbortSignal): Promise<Socket> => {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const waiting = takeTurns(addresses).slice(0, ADDRESSES_TRIED_MAX);
  const open = new Set<Socket>();
  let last: NodeJS.ErrnoException | null = null;
  let next: NodeJS.Timeout | undefined;
  const settle = (outcome: () => void, kept?: Socket): void => {
    clearTimeout(next);
    clearTimeout(limit);
    signal?.removeEventListener("abort", aborted);
    for (const socket of open) if (socket !== kept) socket.destroy();
    open.clear();
    outcome();
  };
  const aborted = (): void => settle(() => reject(signal?.reason));
  const limit = setTimeout(() => settle(() => reject(failureOf({ code: "ETIMEDOUT" }))), CONNECT_TIMEOUT_MS);
  const tryNext = (): void => {
    clearTimeout(next);
    const address = waiting.shift();
    if (!address) {
      if (open.size === 0) settle(() => reject(failureOf(last)));
      return;
    }
    const socket = connect({ host: address.address, port, family: address.family, allowHalfOpen: true, noDelay: true });
    open.add(socket);
    const failed = (error: Error): void => {
      last = error;
      // Late errors of the losers come here too, and mean nothing any more.
      if (open.delete(socket)) tryNext();
    };
    socket.on("error", failed);
    socket.once("connect", () => {
      if (!open.has(socket)) return;
      socket.off("error", failed);
      // Whoever takes it over may not listen yet when it breaks; they see that it is closed.
      socket.on("error", () => socket.destroy());
      settle(() => resolve(socket), socket);
    });
    if (waiting.length > 0) next = setTimeout(tryNext, NEXT_ADDRESS_AFTER_MS);
  };
  if (signal?.aborted) aborted();
  else {
    signal?.addEventListener("abort", aborted);
    tryNext();
  }
  return promise;
};

const takeTurns = (addresses: readonly Address[]): Address[] => {
  const first = addresses[0]?.family;
  const [same, other] = [addresses.filter((each) => each.family === first), addresses.filter((each) => each.family !== first)];
  return same.flatMap((address, index) => [address, ...other.slice(index, index + 1)]).concat(other.slice(same.length));
};

const failureOf = (error: Pick<NodeJS.ErrnoException, "code"> | null): EgressError => {
  if (error?.code === "ECONNREFUSED") return new EgressError("failed", "connection_refused", "the host refused the connection");
  if (error?.code === "ETIMEDOUT") return new EgressError("failed", "connect_timeout", "the host did not answer in time", 504);
  return new EgressError("failed", "unreachable", "the host cannot be reached from here");
};
