import { SandboxError } from "@sandbox0/sandbox";
import {
  type Effects,
  type Harness,
  type Step,
  type ToolResult,
  type Turn,
  TurnStopped,
  type TurnOutcome,
} from "@sandbox0/harness";
import { createId, type EventParams } from "@sandbox0/protocol";
import { createTestDatabase, until } from "@sandbox0/testkit";
import { type Bells, createBells } from "../log/bells.ts";
import { createEventLog } from "../log/event-log.ts";
import { FreshEvents } from "../log/fresh-events.ts";
import { createFollower } from "../log/follow.ts";
import { createMcpConnector, type McpConnector } from "../mcp/connector.ts";
import { McpFailure } from "../mcp/mcp-failure.ts";
import { createHarnesses } from "../resources/harnesses/harnesses.ts";
import { createModelCatalogue } from "../resources/models/model-catalogue.ts";
import type { Sessions } from "../sessions/api.ts";
import { createSessions } from "../sessions/sessions.ts";
import { DatabaseUnavailable } from "../store/database-error.ts";
import { readEventsAfter } from "../store/events.ts";
import { createPool, type Database } from "../store/pool.ts";
import type { Queryable } from "../store/query.ts";
import { insertSession } from "../store/sessions.ts";
import { Troubles } from "../store/troubles.fixture.ts";
import type { Judge } from "./judge.ts";
import type { WebTools } from "../web/web-tools.ts";
import { isWebTool, runWebTool } from "./run-web-tool.ts";
import { createOrchestrator, type Orchestrator, type OrchestratorDeps, type OrchestratorTimes } from "./orchestrator.ts";

const WORKSPACE = "wrkspc_1";
const THREAD = "sthr_1";
const MODEL = "claude-test";

/** A turn that the test plays: it acts through `effects` and says how the turn ends. */
export interface PlayedTurn {
  turn: Turn;
  effects: Effects;
  end(outcome: TurnOutcome): void;
  fail(error: unknown): void;
}

export interface RunningTool {
  sessionId: string;
  name: string;
  signal: AbortSignal;
  end(result?: Partial<ToolResult>): void;
  fail(error: unknown): void;
}

/** One server without HTTP. Its harness and its tools wait for the test. */
export interface StageNode {
  id: number;
  orchestrator: Orchestrator;
  db: Faults;
  /** The next turn that this node's harness is given, or the next tool that it runs. */
  nextTurn(): Promise<PlayedTurn>;
  nextTool(): Promise<RunningTool>;
  turnsStarted(): number;
  /** Stops it, whatever the test has left unplayed. */
  close(): Promise<void>;
  rested: string[];
  left: string[];
  troubles: unknown[];
  bugs: unknown[];
}

export interface NodeOptions {
  /** No hint reaches it: it finds out by sweeping and renewing. */
  deaf?: boolean;
  times?: Partial<OrchestratorTimes>;
  /** Its sandboxes do not end. */
  stuck?: boolean;
  /** Default: every server refuses. */
  mcp?: McpConnector;
  judge?: Judge;
  /** Runs the web tools; without it they wait for the test like the others. */
  web?: WebTools;
  /** Default: there are no sandboxes. */
  openSandbox?: OrchestratorDeps["openSandbox"];
  /** Default: the model gateway has seen no request. */
  measured?: OrchestratorDeps["measured"];
}

export interface Stage {
  db: Database;
  sessions: Sessions;
  workspaceId: string;
  bells: Bells;
  node(options?: NodeOptions): StageNode;
  /** Nodes that hold their lock: a node that is taken out of here is dead to the others. */
  alive: Set<number>;
  newSession(agent?: Record<string, unknown>): Promise<string>;
  send(sessionId: string, ...events: EventParams[]): Promise<string[]>;
  types(sessionId: string): Promise<string[]>;
  status(sessionId: string): Promise<string>;
  close(): Promise<void>;
}

export const say = (text: string): EventParams => ({ type: "user.message", content: [{ type: "text", text }] });
export const interrupt: EventParams = { type: "user.interrupt" };

/** A model response with this text and these calls. */
export function step(effects: Effects, text: string, ...names: string[]): Step {
  const usage = { input_tokens: 1, output_tokens: 1, cache_creation_input_tokens: 0, cache_read_input_tokens: 0 };
  return {
    message: { id: effects.newEventId(), content: [{ type: "text", text }] },
    calls: names.map((name) => ({ id: effects.newEventId(), name, input: {} })),
    usage,
    timing: { firstTokenMs: 1, totalMs: 1 },
  };
}

export const TOOLS = [
  { type: "agent_toolset_20260401", default_config: { enabled: true, permission_policy: { type: "always_allow" } }, configs: [] },
  { type: "custom", name: "ask", description: "d", input_schema: { type: "object" } },
];

export async function createStage(): Promise<Stage> {
  const database = await createTestDatabase();
  const db = createPool({ connectionString: database.connectionString, max: 8 });
  await db.query("insert into workspaces (id, name) values ($1, 'test')", [WORKSPACE]);
  await db.query(
    `insert into environments (id, workspace_id, name, config, created_at, updated_at)
     values ('env_1', $1, 'e', '{"type":"cloud","networking":{"type":"unrestricted"}}', now(), now())`,
    [WORKSPACE],
  );
  const bus = new Bus();
  const bells = createBells(bus.member());
  const fresh = new FreshEvents();
  const troubles = new Troubles();
  const log = createEventLog(db, bells, fresh);
  const follower = createFollower(db, bells, troubles.add, fresh);
  const models = createModelCatalogue([]);
  const apis = ["anthropic-messages"];
  const sandpi = { name: "sandpi", version: null, placement: "sandbox-as-tool" as const, apis, unavailable: null };
  const harnesses = createHarnesses([sandpi], "sandpi");
  const vaults = { llmOf: async () => null };
  const tokens = { seal: () => Promise.reject(new Error("no session of this stage has a token")) };
  const apiOf = () => "anthropic-messages";
  const sessions = createSessions({ db, log, bells, follower, models, harnesses, vaults, tokens, apiOf });
  const alive = new Set<number>();
  const nodes: StageNode[] = [];
  const pools: Database[] = [];
  return {
    db,
    sessions,
    workspaceId: WORKSPACE,
    bells,
    alive,
    node(options = {}) {
      const own = createPool({ connectionString: database.connectionString, max: 8 });
      pools.push(own);
      const made = createNode(nodes.length + 1, own, createBells(bus.member(options.deaf)), alive, options);
      nodes.push(made);
      return made;
    },
    newSession: (agent = {}) => newSession(db, agent),
    send: (sessionId, ...events) => sessions.sendEvents(WORKSPACE, sessionId, events),
    types: async (sessionId) =>
      (await readEventsAfter(db, sessionId, 0, { rows: 10_000, bytes: 1e9 })).map((event) => event.type),
    status: async (sessionId) => (await sessions.get(WORKSPACE, sessionId)).status,
    async close() {
      await Promise.all(nodes.map((node) => node.close()));
      follower.close();
      await Promise.all([db, ...pools].map((pool) => pool.close()));
      await database.drop();
      troubles.check();
    },
  };
}

/** Without vaults and without a network. */
function refusingMcp(): McpConnector {
  return createMcpConnector({
    credentials: { credentialForMcp: async () => null, refreshMcp: async () => ({ status: "gone" }) },
    fetch: () => Promise.reject(new McpFailure("connection", "there is no network on this stage")),
    version: "0",
    onTrouble: rethrow,
  });
}

async function newSession(db: Database, agent: Record<string, unknown>): Promise<string> {
  const id = createId("session");
  await insertSession(db, {
    id,
    workspaceId: WORKSPACE,
    threadId: THREAD,
    agentId: "agent_1",
    agentVersion: 1,
    agent: { name: "agent", system: null, model: { id: MODEL }, tools: TOOLS, mcp_servers: [], ...agent },
    environmentId: "env_1",
    harness: "sandpi",
    title: null,
    metadata: {},
    vaultIds: [],
    createdAt: new Date(),
  });
  return id;
}

function createNode(
  id: number,
  database: Database,
  bells: Bells,
  alive: Set<number>,
  { times, stuck, judge, web, mcp = refusingMcp(), openSandbox = noSandbox, measured = NOTHING_MEASURED }: NodeOptions,
): StageNode {
  const turns = new Queue<PlayedTurn>();
  const tools = new Queue<RunningTool>();
  const seen: Pick<StageNode, "rested" | "left" | "troubles" | "bugs"> = { rested: [], left: [], troubles: [], bugs: [] };
  const harness: Harness = {
    name: "sandpi",
    capabilities: { placement: "sandbox-as-tool", apis: ["anthropic-messages"] },
    runTurn(turn, effects) {
      const { promise, resolve, reject } = Promise.withResolvers<TurnOutcome>();
      turns.add({ turn, effects, end: resolve, fail: reject });
      return promise;
    },
  };
  alive.add(id);
  const faults = new Faults();
  const db = faults.between(database);
  const orchestrator = createOrchestrator(
    {
      db,
      log: createEventLog(db, bells),
      bells,
      node: { id: () => id, aliveNodes: async () => [...alive] },
      harnesses: new Map([["sandpi", harness]]),
      retry: { baseMs: 1 },
      builtinTools: new Map(),
      judge: judge ?? null,
      resolveModel: async () => ({ ...NO_PROVIDER }),
      findPolicyErrors: async () => [],
      withFiles: async (_workspaceId, transcript) => transcript,
      sandboxes: NO_SANDBOXES,
      record: () => undefined,
      meter: NO_METER,
      costOf: () => null,
      runTool: toolRunner(tools, web),
      openSandbox,
      measured,
      mcp,
      fitText: async (_turn, _callId, text) => text,
      onRest: (sessionId) => seen.rested.push(sessionId),
      onLeave: async (sessionId) => {
        seen.left.push(sessionId);
        if (stuck) await new Promise(() => undefined);
      },
      onTrouble: (error) => seen.troubles.push(error),
      onBug: (error) => seen.bugs.push(error),
    },
    { sweepMs: 50, renewMs: 50, ...times },
  );
  orchestrator.start();
  return {
    id,
    orchestrator,
    db: faults,
    nextTurn: () => turns.next(),
    nextTool: () => tools.next(),
    turnsStarted: () => turns.added,
    close: () => stopUnplayed(orchestrator, [turns, tools]),
    ...seen,
  };
}

const NOTHING_MEASURED = { take: () => null };

/** No request is sent: the test is the harness. */
const NO_PROVIDER = {
  api: "anthropic-messages",
  baseUrl: "http://127.0.0.1:1",
  apiKey: "key",
  contextWindow: 1,
  outputTokensMax: 1,
} as const;

const NO_METER: OrchestratorDeps["meter"] = {
  turn: () => undefined,
  modelRequest: () => undefined,
  toolCall: () => undefined,
  leaseLost: () => undefined,
};
const NO_SANDBOXES: OrchestratorDeps["sandboxes"] = {
  claim: noSandbox,
  begin: async () => [],
  afterCall: async () => [],
  beforeIdle: async () => undefined,
  atRest: async () => undefined,
};

function noSandbox(): Promise<never> {
  return Promise.reject(new SandboxError("unavailable", "this stage has no sandboxes"));
}

/** Web tools run when the node has them; every other tool waits for the test. */
function toolRunner(tools: Queue<RunningTool>, web: WebTools | undefined): OrchestratorDeps["runTool"] {
  const fitText = async (_turn: unknown, _callId: string, text: string) => text;
  return (turn, call) => {
    if (web && isWebTool(call.name)) return runWebTool({ web, fitText }, turn, call);
    const { promise, resolve, reject } = Promise.withResolvers<ToolResult>();
    tools.add({
      sessionId: turn.sessionId,
      name: call.name,
      signal: turn.controller.signal,
      end: (result) => resolve({ content: [{ type: "text", text: "done" }], isError: false, ...result }),
      fail: reject,
    });
    return promise;
  };
}

async function stopUnplayed(orchestrator: Orchestrator, played: readonly { close(): void }[]): Promise<void> {
  const stopped = orchestrator.stop(0);
  for (const queue of played) queue.close();
  await stopped;
}

/** What the test plays. */
class Queue<T extends { fail(error: unknown): void }> {
  added = 0;
  private readonly items: T[] = [];
  private readonly all: T[] = [];
  private isClosed = false;
  add(item: T): void {
    this.added++;
    this.items.push(item);
    this.all.push(item);
    if (this.isClosed) this.close();
  }
  /** Fails what was not played to its end, and what is still to come: a stop would wait for it. */
  close(): void {
    this.isClosed = true;
    for (const item of this.all) item.fail(new TurnStopped("shutdown"));
  }
  async next(): Promise<T> {
    await until(() => this.items.length > 0);
    return this.items.shift() as T;
  }
}

/** Hints in one process: every member hears what any member says, in a later turn of the event loop. */
class Bus {
  private readonly subscribers: { channel: string; fn: (payload: string) => void }[] = [];

  member(deaf = false): Parameters<typeof createBells>[0] {
    return {
      ready: Promise.resolve(),
      publish: (channel, payload) => {
        setImmediate(() => {
          for (const each of [...this.subscribers]) if (each.channel === channel) each.fn(payload);
        });
      },
      subscribe: (channel, fn) => {
        const entry = { channel, fn };
        if (!deaf) this.subscribers.push(entry);
        return () => {
          const at = this.subscribers.indexOf(entry);
          if (at >= 0) this.subscribers.splice(at, 1);
        };
      },
      onReconnect: () => () => undefined,
      close: async () => undefined,
    };
  }
}

/** What is between a node and its database: the test cuts it, before the next matching statement, behind it, or for good. */
class Faults {
  private fault: { sql: RegExp; when: "before" | "after"; met: () => void } | null = null;
  private held: { sql: RegExp; count: number; met: () => void; released: Promise<void> } | null = null;
  /** Nothing gets through while it is set. */
  down = false;

  /** `after`: it is carried out, and committed, but its answer is lost. Resolves when it has happened. */
  cut(when: "before" | "after", sql: RegExp): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.fault = { sql, when, met: resolve };
    return promise;
  }

  /** Keeps the `count`th matching statement, and what its transaction does behind it, back until `release`. */
  pause(sql: RegExp, count = 1): { met: Promise<void>; release: () => void } {
    const met = Promise.withResolvers<void>();
    const released = Promise.withResolvers<void>();
    this.held = { sql, count, met: met.resolve, released: released.promise };
    return { met: met.promise, release: released.resolve };
  }

  between(real: Database): Database {
    return {
      ...real,
      query: (sql, values, name) =>
        this.watched((watch) => real.withClient((client) => watch(client.query)<never>(sql, values, name))),
      transaction: (fn) =>
        this.watched((watch) => real.transaction((tx) => fn({ query: watch(tx.query), last: watch(tx.last) }))),
      grouped: (key, fn) => this.watched((watch) => real.grouped(key, (db) => fn({ query: watch(db.query) }))),
      withClient: (fn) => this.watched((watch) => real.withClient((client) => fn({ query: watch(client.query) }))),
    };
  }

  private async watched<T>(run: (watch: (query: Queryable["query"]) => Queryable["query"]) => Promise<T>): Promise<T> {
    let late = false;
    let held: Promise<void> | null = null;
    const value = await run((query) => async (sql, values, name) => {
      late = this.check(sql) || late;
      held = this.hold(sql) ?? held;
      if (held) await held;
      return query<never>(sql, values, name);
    });
    if (late) throw new DatabaseUnavailable("connection", true);
    return value;
  }

  private hold(sql: string): Promise<void> | null {
    const { held } = this;
    if (!held?.sql.test(sql) || --held.count > 0) return null;
    this.held = null;
    held.met();
    return held.released;
  }

  /** True when the answer shall be lost. */
  private check(sql: string): boolean {
    if (this.down) throw new DatabaseUnavailable("connection", false);
    const { fault } = this;
    if (!fault?.sql.test(sql)) return false;
    this.fault = null;
    fault.met();
    if (fault.when === "before") throw new DatabaseUnavailable("connection", false);
    return true;
  }
}

function rethrow(error: unknown): never {
  throw error;
}
