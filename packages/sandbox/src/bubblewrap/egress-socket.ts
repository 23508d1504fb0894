import { once } from "node:events";
import { constants } from "node:fs";
import { chmod, chown, open } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { SandboxError, type OpenEgress } from "../port.ts";
import type { SandboxUser } from "./host.ts";

const SOCKET_NAME = "egress.sock";
/** Connecting takes the right to write. */
const OWNER_ONLY = 0o600;

/** One sandbox's way to the egress gateway, on the host. */
export interface EgressSocket {
  path: string;
  close(): Promise<void>;
}

/**
 * Opens the socket in the sandbox's own directory, for the sandbox's user alone. Addresses of sockets have 107 bytes at
 * most and data directories may be deep: the gateway listens below a descriptor of the directory.
 * @throws SandboxError `unavailable`: no gateway, no sandbox
 */
export async function openEgressSocket(
  openEgress: OpenEgress,
  sandboxId: string,
  dir: string,
  user: SandboxUser | null,
): Promise<EgressSocket> {
  const handle = await open(dir, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const listener = await openEgress(sandboxId, `/proc/self/fd/${handle.fd}/${SOCKET_NAME}`);
    const path = join(dir, SOCKET_NAME);
    await chmod(path, OWNER_ONLY);
    if (user !== null) await chown(path, user.uid, user.gid);
    return {
      path,
      close: async () => {
        await listener.close();
        await handle.close();
      },
    };
  } catch (error) {
    await handle.close();
    const reason = error instanceof Error ? error.message : String(error);
    throw new SandboxError("unavailable", `the egress gateway gives the sandbox no socket: ${reason}`, { cause: error });
  }
}

/** A way out that ends at once: for a look whether a sandbox gets that far. */
export const openNowhere: OpenEgress = async (_sandboxId, socketPath) => {
  const server = createServer((socket) => socket.destroy());
  server.listen(socketPath);
  await once(server, "listening");
  return {
    close: async () => {
      server.close();
      await once(server, "close");
    },
  };
};
