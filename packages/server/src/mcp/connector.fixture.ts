import { createScriptedMcpServer, type ScriptedMcpServer, type ScriptedMcpServerOptions } from "@sandbox0/testkit";
import { afterEach, expect } from "vitest";
import { createMcpConnector, type McpConnector, type McpLink, type McpOutage } from "./connector.ts";
import type { McpCredential, McpCredentialSource, McpRefresh } from "./credentials.ts";
import type { McpTimes } from "./limits.ts";

export const SESSION = { sessionId: "sesn_1", workspaceId: "wrkspc_1", vaultIds: ["vlt_1"] };

/** A vault in memory that a test turns. */
export class TestVault implements McpCredentialSource {
  credential: McpCredential | null = null;
  lookUps = 0;
  refreshes: string[] = [];
  /** What a refresh gives; by default it fails. */
  refresh: (staleToken: string) => Promise<McpRefresh> = async () => ({ status: "failed", httpStatus: 400 });

  async credentialForMcp(): Promise<McpCredential | null> {
    this.lookUps += 1;
    return this.credential;
  }

  async refreshMcp(_credentialId: string, staleToken: string): Promise<McpRefresh> {
    this.refreshes.push(staleToken);
    return this.refresh(staleToken);
  }
}

export interface Bench {
  connector: McpConnector;
  vault: TestVault;
  /** One turn's connection to one server. */
  link(server: { url: string }, signal?: AbortSignal): Promise<McpLink>;
  outage(server: { url: string }, signal?: AbortSignal): Promise<McpOutage["failure"]>;
}

export function bench(times: Partial<McpTimes> = {}): Bench {
  const vault = new TestVault();
  const troubles: unknown[] = [];
  const deps = { credentials: vault, fetch, version: "0", onTrouble: (error: unknown) => troubles.push(error) };
  const connector = createMcpConnector(deps, { credentialFreshMs: 0, ...times });
  cleanups.push(async () => expect(troubles).toEqual([]));
  cleanups.push(() => connector.stop());
  const open = async ({ url }: { url: string }, signal = new AbortController().signal) => {
    const [opened] = await connector.open(SESSION, [{ name: "srv", url }], signal);
    if (!opened) throw new Error("nothing was opened");
    return opened;
  };
  return {
    connector,
    vault,
    async link(server, signal) {
      const opened = await open(server, signal);
      if ("failure" in opened) throw opened.failure;
      return opened;
    },
    async outage(server, signal) {
      const opened = await open(server, signal);
      if (!("failure" in opened)) throw new Error("the server was connected");
      return opened.failure;
    },
  };
}

export async function scripted(options: ScriptedMcpServerOptions = {}): Promise<ScriptedMcpServer> {
  const server = await createScriptedMcpServer(options);
  cleanups.push(() => server.close());
  return server;
}

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (let cleanup = cleanups.pop(); cleanup; cleanup = cleanups.pop()) await cleanup();
});
