import { connect, createServer, type ListenOptions, type NetConnectOpts, type Server } from "node:net";

/** Joins everything that connects to `from` with a connection to `to`. */
export async function pipeConnections(from: ListenOptions, to: NetConnectOpts): Promise<Server> {
  const server = createServer((near) => {
    const far = connect(to);
    // One side that goes takes the other with it; neither is a failure of the test's own.
    near.on("error", () => far.destroy()).on("close", () => far.destroy());
    far.on("error", () => near.destroy()).on("close", () => near.destroy());
    near.pipe(far).pipe(near);
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(from, resolve));
  return server;
}
