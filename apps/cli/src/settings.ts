import { join } from "node:path";

/** What the CLI takes from the environment, read here and nowhere else. `serve` reads its own (server's `main/config.ts`). */
export interface Settings {
  /** The server that client commands talk to: `SANDBOX0_URL`, else this machine at `SANDBOX0_PORT`. */
  readonly url: string;
  readonly apiKey: string | undefined;
  readonly dataDir: string;
  readonly databaseUrl: string | undefined;
  readonly host: string;
  readonly port: number;
  readonly sandbox: string;
  /** Of a session that asks for none. */
  readonly harness: string;
  readonly anthropicApiKey: string | undefined;
  readonly openaiApiKey: string | undefined;
  /** What `vaults rotate-key` makes the master key. */
  readonly newMasterKey: string | undefined;
  /** The whole environment, for a server started in this process. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

const DEFAULT_PORT = 8787;

export function loadSettings(environment: Readonly<Record<string, string | undefined>> = process.env): Settings {
  // `NAME=` in a shell or an env file means "not set".
  const read = (name: string): string | undefined => environment[name] || undefined;
  const port = Number(read("SANDBOX0_PORT") ?? DEFAULT_PORT);
  return {
    url: read("SANDBOX0_URL") ?? `http://127.0.0.1:${port}`,
    apiKey: read("SANDBOX0_API_KEY"),
    dataDir: read("SANDBOX0_DATA_DIR") ?? join(process.cwd(), ".sandbox0"),
    databaseUrl: read("DATABASE_URL"),
    host: read("SANDBOX0_HOST") ?? "127.0.0.1",
    port,
    sandbox: read("SANDBOX0_SANDBOX") ?? "auto",
    harness: read("SANDBOX0_HARNESS") ?? "sandpi",
    anthropicApiKey: read("ANTHROPIC_API_KEY"),
    openaiApiKey: read("OPENAI_API_KEY"),
    newMasterKey: read("SANDBOX0_NEW_MASTER_KEY"),
    environment,
  };
}
