import type { Socket } from "node:net";

/**
 * Lets bytes flow both ways, each as fast as the other side takes them and with the end of one passed on to the other, until
 * both have ended, one fails, or nothing has moved for `idleMs`. Resolves when both sockets are closed; never rejects.
 */
export const splice = (client: Socket, upstream: Socket, idleMs: number): Promise<void> => {
  const { promise, resolve } = Promise.withResolvers<void>();
  let open = 2;
  const closed = (other: Socket, failed: boolean): void => {
    open -= 1;
    if (open === 0) resolve();
    if (open === 0 || failed) return void other.destroy();
    // What is buffered for the other side still goes out, if it takes it.
    other.setTimeout(idleMs, () => other.destroy());
    other.destroySoon();
  };
  client.once("close", (failed) => closed(upstream, failed));
  upstream.once("close", (failed) => closed(client, failed));
  upstream.on("error", () => client.destroy());
  client.on("error", () => upstream.destroy());
  // Both directions pass through it, so its own timer sees all that moves.
  upstream.setTimeout(idleMs, () => upstream.destroy());
  client.setTimeout(0);
  // Either may have broken while the other was being made ready.
  if (client.closed) closed(upstream, true);
  if (upstream.closed) closed(client, true);
  client.pipe(upstream);
  upstream.pipe(client);
  return promise;
};
