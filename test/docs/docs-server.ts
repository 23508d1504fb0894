import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createScriptedProvider, type ScriptedProvider } from "@sandbox0/testkit";
import { docsModel } from "./docs-model.ts";

export const API_KEY = "a-key-for-the-documents";
const BIN = resolve("node_modules/.bin");
const LISTENING = /^sandbox0 listening on (\S+)$/m;
const CREATED_KEY = /\bsk-sandbox0-[\w-]+/;

/** What every program of a document is given: nothing of the environment of the tests. */
export const environmentOf = (home: string): Record<string, string> => ({
  HOME: home,
  PATH: `${resolve("test/docs/bin")}:${BIN}:/usr/local/bin:/usr/bin:/bin`,
  LANG: "C.UTF-8",
  NO_COLOR: "1",
  TERM: "dumb",
});

export interface DocsServer {
  url: string;
  apiKey: string;
  /** What it printed on standard output until it was ready. */
  printed: string;
  /** SIGTERM, and waits for its end. */
  stop(): Promise<void>;
}

/**
 * Runs a shell script that ends in `sandbox0 serve`.
 * @throws Error with its output when it ends before it listens
 */
export async function runServer(script: string, cwd: string, environment: Readonly<Record<string, string>>): Promise<DocsServer> {
  const child = spawn("bash", ["--norc", "--noprofile", "-eu", "-c", script], {
    cwd,
    env: environment,
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  let printed = "";
  let complained = "";
  const ended = new Promise<number | null>((settle, reject) => {
    child.on("error", reject);
    child.on("close", settle);
  });
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    complained += chunk;
  });
  const url = await new Promise<string>((settle, reject) => {
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      printed += chunk;
      const [, found] = LISTENING.exec(printed) ?? [];
      if (found !== undefined) settle(found);
    });
    ended.then(() => reject(new Error(`the server did not start:\n${printed}${complained}`)), reject);
  });
  return {
    url,
    apiKey: CREATED_KEY.exec(printed)?.[0] ?? environment.SANDBOX0_API_KEY ?? API_KEY,
    printed,
    async stop() {
      if (child.exitCode === null && child.signalCode === null) terminateProcessGroup(child.pid);
      await ended;
    },
  };
}

function terminateProcessGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, "SIGTERM");
  } catch (error) {
    // It ended by itself, and Node has not told us yet.
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}

/** Where the servers of documents find their model. */
export const modelEnvironment = (provider: ScriptedProvider): Record<string, string> => ({
  SANDBOX0_PORT: "0",
  SANDBOX0_WARM_SANDBOXES: "1",
  ANTHROPIC_BASE_URL: provider.url,
  ANTHROPIC_API_KEY: "scripted",
  OPENAI_BASE_URL: `${provider.url}/v1`,
  OPENAI_API_KEY: "scripted",
});

export interface DocsStage {
  server: DocsServer;
  provider: ScriptedProvider;
  close(): Promise<void>;
}

/** The server that pages talk to which start none of their own: the command line's, on the embedded defaults. */
export async function openDocsStage(): Promise<DocsStage> {
  const dataDir = await mkdtemp(join(tmpdir(), "sandbox0-docs-server-"));
  const provider = await createScriptedProvider({ script: docsModel });
  const close = async (): Promise<void> => {
    await provider.close();
    await rm(dataDir, { recursive: true, force: true });
  };
  try {
    const environment = { ...environmentOf(dataDir), ...modelEnvironment(provider), SANDBOX0_API_KEY: API_KEY };
    const server = await runServer("exec sandbox0 serve --data-dir data", dataDir, environment);
    return { server, provider, close: () => server.stop().then(close) };
  } catch (error) {
    await close();
    throw error;
  }
}
