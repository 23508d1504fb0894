import type { Socket } from "node:net";
import { EgressError } from "./egress-error.ts";

/**
 * Shows `inspect` what a client has sent so far, until it returns something other than `undefined`, and puts all bytes back
 * so that whoever takes the socket over reads them. Rejects with what `inspect` throws, and with an `EgressError` at either
 * bound or when the client ends.
 */
export const inspectFirstBytes = <T>(
  socket: Socket,
  bounds: { bytesMax: number; timeoutMs: number },
  inspect: (bytes: Buffer) => T | undefined,
): Promise<T> => {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  let seen: Buffer = Buffer.alloc(0);
  const settle = (outcome: () => void): void => {
    clearTimeout(timer);
    socket.off("readable", look).off("end", ended).off("close", ended);
    if (seen.length > 0 && !socket.destroyed) socket.unshift(seen);
    outcome();
  };
  const fail = (reason: string, message: string, status: number): void =>
    settle(() => reject(new EgressError("failed", reason, message, status)));
  const ended = (): void => fail("client_gone", "the client closed the connection", 400);
  const look = (): void => {
    for (let chunk: Buffer | null = socket.read(); chunk !== null; chunk = socket.read()) {
      seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk]);
    }
    if (seen.length === 0) return;
    try {
      const found = inspect(seen);
      if (found !== undefined) settle(() => resolve(found));
      else if (seen.length >= bounds.bytesMax) fail("handshake_too_large", "the first message of the client is too large", 431);
    } catch (error) {
      settle(() => reject(error));
    }
  };
  const timer = setTimeout(() => fail("handshake_timeout", "the client sent no whole request in time", 408), bounds.timeoutMs);
  socket.on("readable", look).on("end", ended).on("close", ended);
  return promise;
};
