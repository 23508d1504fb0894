/**
 * A little Internet in a network namespace where every address is a local one: whatever the server under test or a sandbox
 * of its dials, it reaches servers that record it. Started by `stage/attack-stage.ts` through `stage/namespace.ts`; talks to the
 * test over its IPC channel, and ends with it.
 */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type ServerProcess, startServerProcess } from "../crash/server-process.ts";
import { createFileSite } from "./stage/file-site.ts";
import { createGithubSite } from "./stage/github-site.ts";
import { createGitSite } from "./stage/git-site.ts";
import { REGISTRIES } from "./stage/registries.ts";
import { startDnsServer } from "./stage/dns-server.ts";
import {
  type Inside,
  INSIDE_READY,
  type InsideAnswer,
  type InsideCall,
  type InternetOptions,
  PROVIDER_PORT,
  STAGE_FILES,
} from "./stage/inside.ts";
import { pipeConnections } from "./stage/pipe.ts";
import type { Reached, Zone } from "./stage/records.ts";
import { SITES } from "./stage/sites.ts";
import { startUdpServers, startWebServers } from "./stage/web-servers.ts";

/** URLs leave it out. */
const HTTP_PORT = 80;
const RUN_TIMEOUT_MS = 60_000;
const RUN_OUTPUT_BYTES_MAX = 16 * 1024 * 1024;

const [dir = ""] = process.argv.slice(2);
const read = (name: keyof typeof STAGE_FILES): string => readFileSync(join(dir, STAGE_FILES[name]), "utf8");

function createInside(take: () => Reached[], forget: () => void): Inside {
  const servers = new Map<number, ServerProcess>();
  const chunks: string[] = [];
  return {
    async startServer(environment) {
      const server = await startServerProcess(environment, { onOutput: (chunk) => chunks.push(chunk) });
      servers.set(server.pid, server);
      const port = Number(new URL(server.url).port || HTTP_PORT);
      const socketPath = join(dir, `api-${server.pid}.sock`);
      await pipeConnections({ path: socketPath }, { host: "127.0.0.1", port });
      return { pid: server.pid, port, socketPath };
    },
    async stopServer(pid, signal) {
      const server = servers.get(pid);
      server?.signal(signal);
      await server?.exited;
      servers.delete(pid);
    },
    output: async () => chunks.join(""),
    reached: async () => take(),
    forget: async () => forget(),
    run: (file, args) =>
      new Promise((resolve) => {
        const options = { timeout: RUN_TIMEOUT_MS, maxBuffer: RUN_OUTPUT_BYTES_MAX };
        execFile(file, args, options, (error, stdout, stderr) =>
          resolve(`${stdout}${stderr}${error ? `\n${error.message}` : ""}`),
        );
      }),
  };
}

async function main(): Promise<void> {
  const records: Reached[] = [];
  const record = (reached: Reached): void => void records.push(reached);
  const zone = JSON.parse(read("zone")) as Zone;
  await startDnsServer(() => zone, record);
  const { freePorts = [] } = JSON.parse(read("options")) as InternetOptions;
  const sites = join(dir, STAGE_FILES.sites);
  await startWebServers(JSON.parse(read("tls")) as { cert: string; key: string }, record, {
    sites: [
      ...SITES,
      createGithubSite(join(dir, STAGE_FILES.github)),
      createGitSite(sites, REGISTRIES.git),
      createFileSite(sites),
    ],
    freePorts,
  });
  await startUdpServers(record);
  await pipeConnections({ host: "127.0.0.1", port: PROVIDER_PORT }, { path: join(dir, STAGE_FILES.provider) });
  const inside = createInside(
    () => [...records],
    () => records.splice(0),
  );
  const send = (answer: InsideAnswer | typeof INSIDE_READY): void => void process.send?.(answer);
  process.on("message", ({ id, method, args }: InsideCall) => {
    const call = inside[method] as (...all: unknown[]) => Promise<unknown>;
    call(...args).then(
      (value) => send({ id, value }),
      (error: unknown) => send({ id, error: String(error) }),
    );
  });
  // The servers end with this process: each has a channel of its own to it.
  process.on("disconnect", () => process.exit(1));
  send(INSIDE_READY);
}

await main();
