import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Anthropic from "@anthropic-ai/sdk";
import { createScriptedProvider, type Script } from "@sandbox0/testkit";
import { type CommandLine, type CommandLineOptions, startCommandLine } from "./command-line.fixture.ts";

const API_KEY = "test-key-of-the-operator";

/** `sandbox0 serve` with a scripted model, and command lines that talk to it. */
export interface ScriptedServer {
  readonly url: string;
  readonly client: Anthropic;
  readonly process: CommandLine;
  /** A directory of this test, removed with the server. */
  readonly dir: string;
  start(argv: readonly string[], options?: CommandLineOptions & { environment?: Record<string, string> }): CommandLine;
  run(...argv: string[]): CommandLine["ended"];
  close(): Promise<void>;
}

export async function startScriptedServer(script: Script): Promise<ScriptedServer> {
  const dir = mkdtempSync(join(tmpdir(), "sandbox0-cli-scripted-"));
  const provider = await createScriptedProvider({ script });
  const server = startCommandLine(["serve"], {
    SANDBOX0_DATA_DIR: join(dir, "data"),
    SANDBOX0_PORT: "0",
    SANDBOX0_API_KEY: API_KEY,
    SANDBOX0_WARM_SANDBOXES: "0",
    ANTHROPIC_BASE_URL: provider.url,
    ANTHROPIC_API_KEY: "scripted",
  });
  const url = (await server.waitFor(/^sandbox0 listening on (http:\/\/\S+)$/m))[1] ?? "";
  const started = new Set<CommandLine>();
  const start: ScriptedServer["start"] = (argv, { environment, ...options } = {}) => {
    const line = startCommandLine(argv, { SANDBOX0_URL: url, SANDBOX0_API_KEY: API_KEY, ...environment }, options);
    started.add(line);
    return line;
  };
  return {
    url,
    client: new Anthropic({ baseURL: url, apiKey: API_KEY, maxRetries: 0 }),
    process: server,
    dir,
    start,
    run: (...argv) => start(argv).ended,
    async close() {
      for (const { child } of started) child.kill("SIGKILL");
      server.child.kill("SIGCONT");
      server.child.kill("SIGTERM");
      await server.ended;
      await provider.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** Everything that may steer a terminal or turn what is read: a line feed apart. */
export const STEERS = /[^\P{Cc}\n]|\p{Bidi_Control}|[\u2028\u2029]/u;
