import { readFileSync } from "node:fs";
import type { Socket } from "node:net";
import type { AddressGuard } from "./address-guard.ts";
import { createBudget } from "./budget.ts";
import { endWithError } from "./denial-response.ts";
import { EgressError } from "./egress-error.ts";
import type { EgressLimits } from "./limits.ts";

/** The rest is for the server's own clients, its database and the pipes of its sandboxes. */
const SHARE_OF_OPEN_FILES = 0.5;

/** Every socket is an open file: what sandboxes hold of them, so that they can take none from the server or each other. */
export interface SocketBudget {
  /** Counts a connection of a sandbox until it closes. `false`: it was told that there are too many, and is closed. */
  accept(sandboxId: string, socket: Socket): boolean;
  /** As the guard dials. Rejects with an `EgressError` also when there are too many. */
  dial(sandboxId: string, host: string, port: number): Promise<Socket>;
}

export const createSocketBudget = (
  limits: EgressLimits,
  guard: AddressGuard,
  openFilesMax = readOpenFilesMax(),
): SocketBudget => {
  const socketsMax = Math.min(limits.socketsMax, Math.floor(openFilesMax * SHARE_OF_OPEN_FILES));
  const all = createBudget(socketsMax, limits.socketsPerSandboxMax);
  const clients = createBudget(Number.POSITIVE_INFINITY, limits.connectionsPerSandboxMax);
  const refusals = createBudget(limits.refusalsMax, limits.refusalsPerSandboxMax);
  const refuse = (sandboxId: string, socket: Socket, error: EgressError): void => {
    const told = refusals.take(sandboxId, 1);
    // It stays open until it has read why: only so many may.
    if (!told) return void socket.destroy();
    socket.once("close", told);
    endWithError(socket, error);
  };
  return {
    accept(sandboxId, socket) {
      const client = clients.take(sandboxId, 1);
      const any = client && all.take(sandboxId, 1);
      if (!any) {
        client?.();
        refuse(sandboxId, socket, client ? serverIsFull() : tooManyConnections(limits.connectionsPerSandboxMax));
        return false;
      }
      socket.once("close", client).once("close", any);
      return true;
    },
    async dial(sandboxId, host, port) {
      const release = all.take(sandboxId, 1);
      if (!release) throw serverIsFull();
      try {
        const socket = await guard.dial(host, port);
        if (socket.closed) release();
        return socket.once("close", release);
      } catch (error) {
        release();
        throw error;
      }
    },
  };
};

/** How many files this process may open. Node has raised it to the most that it may have. */
export const readOpenFilesMax = (): number => {
  // Only Linux says it in a file, and only there are sandboxes.
  if (process.platform !== "linux") return Number.POSITIVE_INFINITY;
  const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "latin1")) ?? [];
  return soft === undefined ? Number.POSITIVE_INFINITY : Number(soft);
};

const tooManyConnections = (max: number): EgressError =>
  new EgressError(
    "denied",
    "too_many_connections",
    `this sandbox has ${max} connections open, which is the most it may have`,
    503,
  );

const serverIsFull = (): EgressError =>
  new EgressError(
    "failed",
    "too_many_sockets",
    "this sandbox, or all sandboxes of this server together, have as many connections open as they may, to the gateway and " +
      "from it. Close some, or try again later.",
    503,
  );
