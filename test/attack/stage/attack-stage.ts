import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import type { AddressInfo, Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import Anthropic from "@anthropic-ai/sdk";
import { createScriptedProvider, type ScriptedProvider } from "@sandbox0/testkit";
import { type Inside, INSIDE_READY, type InsideAnswer, type InternetOptions, PROVIDER_PORT } from "./inside.ts";
import { inNamespace, stagePath } from "./namespace.ts";
import { pipeConnections } from "./pipe.ts";
import type { Zone } from "./records.ts";
import { createTestAuthority } from "./test-authority.ts";

const PROGRAM = fileURLToPath(new URL("../pretend-internet.ts", import.meta.url));
const MACHINE_BUNDLE = "/etc/ssl/certs/ca-certificates.crt";
const API_KEY = "key-of-the-attack-tests";
const PROVIDER_KEY = "provider-key-of-the-attack-tests";

export interface AttackServer {
  readonly pid: number;
  /** Its port on the loopback of the namespace. */
  readonly port: number;
  /** The official SDK, without its retries. */
  readonly client: Anthropic;
  /** Where it is reached from here. */
  readonly url: string;
  stop(signal?: "SIGTERM" | "SIGKILL"): Promise<void>;
}

/** A pretend Internet, and servers in it. */
export interface AttackStage {
  readonly inside: Inside;
  readonly provider: ScriptedProvider;
  readonly dir: string;
  readonly dataDir: string;
  /** Of the database that the servers run in their data directory. */
  readonly connectionString: string;
  /** Starts `sandbox0 serve` in the namespace, on the stage's data directory. */
  startServer(environment?: Record<string, string>): Promise<AttackServer>;
  /** Ends everything and fails if the pretend Internet did. */
  close(): Promise<void>;
}

export interface StageOptions extends InternetOptions {
  /** The only key that the scripted provider takes. */
  providerKey?: string;
  /** Of the server's clients. */
  apiKey?: string;
}

export async function createAttackStage(zone: Zone, options: StageOptions = {}): Promise<AttackStage> {
  const { providerKey = PROVIDER_KEY, apiKey = API_KEY, ...internet } = options;
  const dir = await mkdtemp(join(tmpdir(), "sandbox0-attack-"));
  await chmod(dir, 0o755);
  await writeStageFiles(dir, zone, internet);
  const provider = await createScriptedProvider({ apiKey: providerKey });
  const pipes: Server[] = [
    await pipeConnections({ path: stagePath(dir, "provider") }, { host: "127.0.0.1", port: Number(new URL(provider.url).port) }),
  ];
  const { inside, leave } = await enter(dir);
  const dataDir = join(dir, "data");
  const environment = (more: Record<string, string>): Record<string, string> => ({
    SANDBOX0_DATA_DIR: dataDir,
    SANDBOX0_API_KEY: apiKey,
    SANDBOX0_SANDBOX: "bubblewrap",
    SANDBOX0_WARM_SANDBOXES: "0",
    ANTHROPIC_API_KEY: providerKey,
    ANTHROPIC_BASE_URL: `http://127.0.0.1:${PROVIDER_PORT}`,
    OPENAI_API_KEY: providerKey,
    OPENAI_BASE_URL: `http://127.0.0.1:${PROVIDER_PORT}`,
    NODE_EXTRA_CA_CERTS: stagePath(dir, "authority"),
    ...more,
  });
  const running = new Set<AttackServer>();
  return {
    inside,
    provider,
    dir,
    dataDir,
    connectionString: `postgresql:///postgres?host=${encodeURIComponent(join(dataDir, "postgres/data"))}&user=postgres`,
    async startServer(more = {}) {
      const { pid, port, socketPath } = await inside.startServer(environment(more));
      const door = await pipeConnections({ host: "127.0.0.1", port: 0 }, { path: socketPath });
      pipes.push(door);
      const url = `http://127.0.0.1:${(door.address() as AddressInfo).port}`;
      const server: AttackServer = {
        pid,
        port,
        url,
        client: new Anthropic({ baseURL: url, apiKey, maxRetries: 0 }),
        async stop(signal = "SIGTERM") {
          running.delete(server);
          await inside.stopServer(pid, signal);
        },
      };
      running.add(server);
      return server;
    },
    async close() {
      for (const server of running) await server.stop();
      await leave();
      for (const pipe of pipes) pipe.close();
      await provider.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

async function writeStageFiles(dir: string, zone: Zone, options: InternetOptions): Promise<void> {
  const authority = await createTestAuthority();
  const machine = existsSync(MACHINE_BUNDLE) ? await readFile(MACHINE_BUNDLE, "utf8") : "";
  await Promise.all((["sites", "github", "aptSources"] as const).map((name) => mkdir(stagePath(dir, name))));
  await Promise.all([
    writeFile(stagePath(dir, "zone"), JSON.stringify(zone)),
    writeFile(stagePath(dir, "options"), JSON.stringify(options)),
    writeFile(stagePath(dir, "tls"), JSON.stringify(await authority.issue(Object.keys(zone)))),
    writeFile(stagePath(dir, "authority"), authority.certificatePem),
    writeFile(stagePath(dir, "bundle"), `${machine}\n${authority.certificatePem}\n`),
    writeFile(stagePath(dir, "resolvConf"), "nameserver 127.0.0.1\n"),
  ]);
}

/** Starts the pretend Internet, and gives what it does for us. */
async function enter(dir: string): Promise<{ inside: Inside; leave(): Promise<void> }> {
  const { file, args } = inNamespace(dir, [process.execPath, PROGRAM, dir]);
  const child = spawn(file, args, { stdio: ["ignore", "inherit", "pipe", "ipc"] });
  let complaints = "";
  child.stderr?.setEncoding("utf8").on("data", (chunk: string) => (complaints += chunk));
  const exited = new Promise<number | null>((resolve, reject) => child.on("error", reject).on("exit", resolve));
  const ready = new Promise<void>((resolve) => child.once("message", (message) => message === INSIDE_READY && resolve()));
  const early = exited.then((code) => {
    throw new Error(`the pretend Internet ended with ${code}: ${complaints}`);
  });
  // Whoever calls it finds out; after `leave` it is expected.
  early.catch(() => undefined);
  await Promise.race([ready, early]);
  return {
    inside: remote(child, early),
    async leave() {
      child.disconnect();
      await exited;
    },
  };
}

function remote(child: ChildProcess, early: Promise<never>): Inside {
  const waiting = new Map<number, (answer: InsideAnswer) => void>();
  let calls = 0;
  child.on("message", (answer: InsideAnswer) => {
    waiting.get(answer.id)?.(answer);
    waiting.delete(answer.id);
  });
  const call = async (method: keyof Inside, args: unknown[]): Promise<unknown> => {
    const id = ++calls;
    const answered = new Promise<InsideAnswer>((resolve) => waiting.set(id, resolve));
    child.send({ id, method, args });
    const answer = await Promise.race([answered, early]);
    if ("error" in answer) throw new Error(answer.error);
    return answer.value;
  };
  return {
    startServer: (environment) => call("startServer", [environment]) as ReturnType<Inside["startServer"]>,
    stopServer: (pid, signal) => call("stopServer", [pid, signal]) as Promise<void>,
    output: () => call("output", []) as Promise<string>,
    reached: () => call("reached", []) as ReturnType<Inside["reached"]>,
    forget: () => call("forget", []) as Promise<void>,
    run: (file, args) => call("run", [file, args]) as Promise<string>,
  };
}
