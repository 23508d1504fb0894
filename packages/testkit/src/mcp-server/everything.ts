import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { until } from "../until.ts";

export interface EverythingServer {
  /** `http://127.0.0.1:<port>/mcp` */
  readonly url: string;
  close(): Promise<void>;
}

/** The reference server that uses every feature of MCP, as it comes from npm, in a process of its own. */
export async function startEverythingServer(): Promise<EverythingServer> {
  const program = fileURLToPath(import.meta.resolve("@modelcontextprotocol/server-everything/dist/index.js"));
  const port = await freePort();
  const child = spawn(process.execPath, [program, "streamableHttp"], {
    env: { PORT: String(port) },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const ended = once(child, "exit");
  let output = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    output += chunk;
  });
  const url = `http://127.0.0.1:${port}/mcp`;
  const close = async (): Promise<void> => {
    child.kill("SIGKILL");
    await ended;
  };
  try {
    await until(
      () => {
        if (child.exitCode !== null) throw new Error(`the server ended: ${output}`);
        return fetch(url).then(
          () => true,
          () => false,
        );
      },
      { describe: () => `the everything server to listen: ${output}` },
    );
  } catch (error) {
    await close();
    throw error;
  }
  return { url, close };
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
