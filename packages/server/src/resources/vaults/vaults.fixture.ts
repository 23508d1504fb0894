import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createTestDatabase } from "@sandbox0/testkit";
import { createApiKeys } from "../api-keys/api-keys.ts";
import { createPool, type Database } from "../../store/pool.ts";
import { createLocalKeys } from "./local-keys.ts";
import { type OpenVaults, openVaults } from "./open-vaults.ts";
import type { Fetch } from "./token-request.ts";

export interface VaultStage {
  db: Database;
  workspaceId: string;
  /** Where servers without a configured key have their key files, one directory each. */
  dir: string;
  /** Another server of the database: its own pool, its own key file unless `dataDir` is another one's, no way out without `fetch`. */
  server(options?: ServerOptions): Promise<OpenVaults>;
  /** Everything that is in the database, in the clear: rows of every table as text. */
  dump(): Promise<string>;
  problems: unknown[];
  close(): Promise<void>;
}

export interface ServerOptions {
  dataDir?: string;
  configured?: Buffer;
  fetch?: Fetch;
  now?: () => Date;
  tokenTimeoutMs?: number;
  probeTimeoutMs?: number;
}

/** Servers that share a database, as far as vaults go. */
export async function createVaultStage(): Promise<VaultStage> {
  const database = await createTestDatabase();
  const dir = await mkdtemp(join(tmpdir(), "sandbox0-vaults-"));
  const closing: (() => Promise<void>)[] = [];
  const connect = (): Database => {
    const db = createPool({ connectionString: database.connectionString, max: 4 });
    closing.unshift(() => db.close());
    return db;
  };
  const db = connect();
  const { workspaceId } = await createApiKeys({ db }).bootstrap("sk-test");
  const problems: unknown[] = [];
  return {
    db,
    workspaceId,
    dir,
    problems,
    async server({ dataDir = "data", configured, fetch = noWayOut, ...rest } = {}) {
      const own = connect();
      const keys = await createLocalKeys({ db: own, configured, file: join(dir, dataDir, "master-keys.json") });
      const vaults = openVaults({ db: own, keys, fetch, onProblem: (error) => problems.push(error), ...rest });
      closing.unshift(() => vaults.close());
      return vaults;
    },
    async dump() {
      const { rows: tables } = await db.query<{ name: string }>(
        "select quote_ident(tablename) as name from pg_tables where schemaname = 'public'",
      );
      const texts = await Promise.all(
        tables.map(({ name }) => db.query<{ text: string }>(`select t::text as text from ${name} t`)),
      );
      return texts.flatMap(({ rows }) => rows.map(({ text }) => text)).join("\n");
    },
    async close() {
      for (const close of closing) await close();
      await database.drop();
      await rm(dir, { recursive: true });
    },
  };
}

const noWayOut: Fetch = () => Promise.reject(new Error("this test has no way out"));
