import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";

export interface EverythingServer {
  /** `http://127.0.0.1:<port>/mcp` */
  readonly url: string;
  close(): Promise<void>;
}

/** Another process may take the port that was picked, before the server does. */
const STARTS_MAX = 5;

/** The reference server that uses every feature of MCP, as it comes from npm, in a process of its own. */
export async function startEverythingServer(): Promise<EverythingServer> {
  for (let start = 1; ; start++) {
    try {
      return await startOn(await freePort());
    } catch (error) {
      if (start === STARTS_MAX) throw error;
    }
  }
}

/** @throws Error with what the server said, when it ends instead of listening */
async function startOn(port: number): Promise<EverythingServer> {
  const program = fileURLToPath(import.meta.resolve("@modelcontextprotocol/server-everything/dist/index.js"));
  const child = spawn(process.execPath, [program, "streamableHttp"], {
    env: { PORT: String(port) },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const ended = once(child, "exit");
  let output = "";
  const listens = Promise.withResolvers<void>();
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    output += chunk;
    if (output.includes(`listening on port ${port}`)) listens.resolve();
  });
  const url = `http://127.0.0.1:${port}/mcp`;
  await Promise.race([
    listens.promise.then(() => fetch(url)),
    ended.then(() => {
      throw new Error(`the server ended: ${output}`);
    }),
  ]);
  return {
    url,
    async close() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

/** It prints no port of its own choice: one is picked for it, and is free a moment before. */
async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, "close");
  return port;
}
