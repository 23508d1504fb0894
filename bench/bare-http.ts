/**
 * The smallest HTTP server that Node can be: one fixed answer, as long as an agent is. What requests a second of the real
 * server are compared with. Runs as a process of its own, as the real one does.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

const ANSWER = JSON.stringify({ id: "bare", text: "x".repeat(600) });

export interface BareHttpServer {
  readonly url: string;
  stop(): Promise<void>;
}

/** Starts it, up to where it answers. */
export async function startBareHttpServer(): Promise<BareHttpServer> {
  const child: ChildProcess = fork(import.meta.filename);
  const [url] = (await once(child, "message")) as [string];
  return {
    url,
    async stop() {
      const ended = once(child, "exit");
      child.kill();
      await ended;
    },
  };
}

if (process.argv[1] === import.meta.filename) {
  const server = createServer((request, response) => {
    request.resume();
    request.once("end", () => response.setHeader("content-type", "application/json").end(ANSWER));
  });
  server.listen(0, "127.0.0.1", () => process.send?.(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
}
