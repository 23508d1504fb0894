import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import Anthropic from "@anthropic-ai/sdk";
import { createScriptedProvider, createTestDatabase, type ScriptedProvider, type TestDatabase, until } from "@sandbox0/testkit";
import pg from "pg";
import { RestWatch } from "./rest-watch.ts";
import { createModel, EFFECTS_FILE, type Model } from "./model.ts";
import { type Acknowledged, tokensIn, violations } from "./invariants.ts";
import { type PreloadedServer, preloadServerProcess, startServerProcess, type ServerProcess } from "./server-process.ts";
import { describeLog, readSessionRecord, type SessionRecord } from "./session-record.ts";

/** Kept between runs: hundreds of starts must fit into minutes. */
const COMPILED = fileURLToPath(new URL("../../node_modules/.cache/crash-tests", import.meta.url));
const API_KEY = "key-of-the-crash-tests";

type Client = Anthropic;
export type EventParams = Parameters<Client["beta"]["sessions"]["events"]["send"]>[1]["events"][number];

export interface ServerOptions {
  /** Default: the stage's database without a proxy. */
  databaseUrl?: string;
  environment?: Readonly<Record<string, string>>;
}

/**
 * Everything around the servers that the tests kill: a database, a scripted model, a data directory, and a record of
 * what clients were told.
 */
export interface Stage {
  /** Connections of the test's own, past every proxy. */
  readonly db: pg.Pool;
  readonly database: TestDatabase;
  readonly model: Model;
  readonly dataDir: string;
  /** Starts a server on the stage's database and data directory. */
  startServer(options?: ServerOptions): Promise<ServerProcess>;
  /** A server that is started later, and then fast. */
  preloadServer(options?: ServerOptions): PreloadedServer;
  /** The official SDK without its retries: what is not acknowledged is not sent again. */
  client(server: ServerProcess): Client;
  createSession(server: ServerProcess, options?: SessionOptions): Promise<string>;
  /** Sends and keeps what was acknowledged. */
  send(server: ServerProcess, sessionId: string, events: EventParams[]): Promise<void>;
  /** Sessions in the database with this title, also those whose creation nobody acknowledged. */
  sessionIdsOf(title: string): Promise<string[]>;
  /** @param context for the message of a failure */
  untilRest(sessionId: string, context?: () => string): Promise<SessionRecord>;
  record(sessionId: string): Promise<SessionRecord>;
  /** Of a session at rest; empty when all is well. */
  violations(record: SessionRecord): Promise<string[]>;
  /** A file of the session's sandbox, as the host has it. */
  workspacePath(sessionId: string, name: string): Promise<string | null>;
  /** Kills what still runs, and fails when anything is left behind. */
  close(): Promise<void>;
}

export interface SessionOptions {
  /** Default `free`. */
  agent?: AgentName;
  title?: string;
  initialText?: string;
  memoryStoreId?: string;
  /** Default: the server's own, with a model that fits. */
  on?: { name: string; model: string };
}

/** `free` runs its tools at once; `asking` has the client confirm bash. Both have the client's tool `lookup`. */
export type AgentName = "free" | "asking";

/** Leaves compiled code behind, once a file: servers that are killed would each compile it again. */
const compiled = (async () => {
  const preloaded = preloadServerProcess({ NODE_COMPILE_CACHE: COMPILED });
  await preloaded.loaded;
  await preloaded.kill();
})();

/** @param options.embedded the servers run their own Postgres in the data directory */
export async function createStage(options: { embedded?: boolean } = {}): Promise<Stage> {
  await compiled;
  const root = await mkdtemp(join(tmpdir(), "sandbox0-crash-"));
  return new TestStage(root, await createScriptedProvider(), options.embedded ? null : await createTestDatabase());
}

class TestStage implements Stage {
  readonly db: pg.Pool;
  readonly database: TestDatabase;
  readonly model: Model;
  readonly dataDir: string;
  private readonly watch: RestWatch;
  private readonly isEmbedded: boolean;
  private readonly root: string;
  private readonly provider: ScriptedProvider;
  private readonly servers = new Set<ServerProcess>();
  private readonly preloaded = new Set<PreloadedServer>();
  private readonly acknowledged = new Map<string, Acknowledged[]>();
  private readonly agentIds = new Map<AgentName, string>();
  private environmentId = "";
  private furnished: Promise<void> | null = null;

  constructor(root: string, provider: ScriptedProvider, database: TestDatabase | null) {
    this.root = root;
    this.dataDir = join(root, "data");
    this.provider = provider;
    this.model = createModel(provider);
    this.isEmbedded = database === null;
    const socketDirectory = join(this.dataDir, "postgres/data");
    const connectionString = `postgresql:///postgres?host=${encodeURIComponent(socketDirectory)}&user=postgres`;
    this.database = database ?? { connectionString, drop: async () => undefined };
    this.db = new pg.Pool({ connectionString: this.database.connectionString, max: 4 });
    this.watch = new RestWatch(this.db);
    // A free connection that is lost is replaced.
    this.db.on("error", () => undefined);
  }

  async startServer(options: ServerOptions = {}): Promise<ServerProcess> {
    return this.keep(await startServerProcess(this.environment(options)));
  }

  preloadServer(options: ServerOptions = {}): PreloadedServer {
    const preloaded = preloadServerProcess(this.environment(options));
    this.preloaded.add(preloaded);
    return preloaded;
  }

  private keep(server: ServerProcess): ServerProcess {
    this.servers.add(server);
    void server.exited.then(() => this.servers.delete(server));
    return server;
  }

  private environment(options: ServerOptions): Record<string, string> {
    return {
      SANDBOX0_DATA_DIR: this.dataDir,
      SANDBOX0_API_KEY: API_KEY,
      ...(this.isEmbedded ? {} : { DATABASE_URL: options.databaseUrl ?? this.database.connectionString }),
      ANTHROPIC_BASE_URL: this.provider.url,
      ANTHROPIC_API_KEY: "scripted",
      OPENAI_BASE_URL: this.provider.url,
      OPENAI_API_KEY: "scripted",
      // Sessions that go on have their volume already: what a new server kept ready would be for nobody.
      SANDBOX0_WARM_SANDBOXES: "0",
      NODE_COMPILE_CACHE: COMPILED,
      ...options.environment,
    };
  }

  client(server: ServerProcess): Client {
    return new Anthropic({ baseURL: server.url, apiKey: API_KEY, maxRetries: 0 });
  }

  /** Makes the environment and the agents of `createSession`. */
  private async furnish(server: ServerProcess): Promise<void> {
    const client = this.client(server);
    this.environmentId = (await client.beta.environments.create({ name: "crash" })).id;
    for (const name of ["free", "asking"] as const)
      this.agentIds.set(name, (await client.beta.agents.create(agentParams(name, { model: "claude-haiku-5-5" }))).id);
  }

  private async agentOf(server: ServerProcess, { agent = "free", on }: SessionOptions): Promise<string> {
    if (on === undefined) return this.agentIds.get(agent) as string;
    const params = agentParams(agent, { model: on.model, metadata: { "sandbox0.harness": on.name } });
    return (await this.client(server).beta.agents.create(params)).id;
  }

  async createSession(server: ServerProcess, options: SessionOptions = {}): Promise<string> {
    const { title, initialText, memoryStoreId } = options;
    this.furnished ??= this.furnish(server);
    await this.furnished;
    const session = await this.client(server).beta.sessions.create({
      agent: await this.agentOf(server, options),
      environment_id: this.environmentId,
      ...(title === undefined ? {} : { title }),
      ...(memoryStoreId === undefined ? {} : { resources: [{ type: "memory_store", memory_store_id: memoryStoreId }] }),
      ...(initialText === undefined ? {} : { initial_events: [message(initialText)] }),
    });
    return session.id;
  }

  async send(server: ServerProcess, sessionId: string, events: EventParams[]): Promise<void> {
    const { data = [] } = await this.client(server).beta.sessions.events.send(sessionId, { events });
    const told = this.acknowledged.get(sessionId) ?? [];
    this.acknowledged.set(sessionId, told);
    for (const { id, type } of data) if (!told.some((known) => known.id === id)) told.push({ id, type });
  }

  async sessionIdsOf(title: string): Promise<string[]> {
    const { rows } = await this.db.query<{ id: string }>("select id from sessions where title = $1 order by created_at", [title]);
    return rows.map((row) => row.id);
  }

  async untilRest(sessionId: string, context = () => ""): Promise<SessionRecord> {
    try {
      await this.watch.untilRest(sessionId);
    } catch (cause) {
      const record = await readSessionRecord(this.db, sessionId);
      throw new Error(`a session hangs\n${JSON.stringify(record.head)}\n${describeLog(record)}\n${context()}`, { cause });
    }
    return readSessionRecord(this.db, sessionId);
  }

  record(sessionId: string): Promise<SessionRecord> {
    return readSessionRecord(this.db, sessionId);
  }

  async violations(record: SessionRecord): Promise<string[]> {
    return violations(record, this.acknowledged.get(record.id) ?? [], await this.effects(record.id));
  }

  private async effects(sessionId: string): Promise<ReadonlyMap<string, number>> {
    const path = await this.workspacePath(sessionId, EFFECTS_FILE);
    const counts = new Map<string, number>();
    if (path === null || !existsSync(path)) return counts;
    for (const token of tokensIn(await readFile(path, "utf8"))) counts.set(token, (counts.get(token) ?? 0) + 1);
    return counts;
  }

  async workspacePath(sessionId: string, name: string): Promise<string | null> {
    const { rows } = await this.db.query<{ volume: string | null }>(
      "select volume_id as volume from session_volumes where session_id = $1",
      [sessionId],
    );
    const volume = rows[0]?.volume;
    return volume ? join(this.dataDir, "sandbox", "volumes", "volumes", volume, "workspace", name) : null;
  }

  async close(): Promise<void> {
    await this.db.end();
    // The last server to leave takes its Postgres with it, if nobody else is connected.
    if (this.isEmbedded) await Promise.all([...this.servers].map(stopInPeace));
    await Promise.all([...this.servers, ...this.preloaded].map((server) => server.kill()));
    await this.provider.close();
    const left = await processesLeft(this.dataDir);
    await this.database.drop();
    await rm(this.root, { recursive: true, force: true });
    if (left.length > 0) throw new Error(`processes were left behind:\n${left.join("\n")}`);
  }
}

function agentParams<T extends object>(name: AgentName, rest: T) {
  const configs = name === "asking" ? [{ name: "bash" as const, permission_policy: { type: "always_ask" as const } }] : [];
  const lookup = { type: "custom" as const, name: "lookup", description: "asks the client" };
  return {
    name,
    tools: [
      { type: "agent_toolset_20260401" as const, configs },
      { ...lookup, input_schema: { type: "object" as const, properties: {} } },
    ],
    ...rest,
  };
}

async function stopInPeace(server: ServerProcess): Promise<void> {
  server.signal("SIGTERM");
  await server.exited;
}

export function message(text: string): { type: "user.message"; content: { type: "text"; text: string }[] } {
  return { type: "user.message", content: [{ type: "text", text }] };
}

/** Sandboxes die with their server; a moment later nobody may work in the data directory any more. */
async function processesLeft(dataDir: string): Promise<string[]> {
  let left: string[] = [];
  await until(
    async () => {
      left = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).flatMap((pid) => commandIn(pid, dataDir));
      return left.length === 0;
    },
    { timeoutMs: 60_000 },
  ).catch((error: unknown) => {
    if (left.length === 0) throw error;
  });
  return left;
}

function commandIn(pid: string, dataDir: string): string[] {
  try {
    const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
    const environment = readFileSync(`/proc/${pid}/environ`, "utf8");
    return command.includes(dataDir) || environment.includes(dataDir) ? [`${pid} ${command}`] : [];
  } catch (error) {
    // It ended while we looked.
    if (error instanceof Error) return [];
    throw error;
  }
}
