import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { type Gate, until } from "@sandbox0/testkit";
import { test } from "vitest";
import { GO_FILE, type ModelPoint, newTag, type ScriptName, STARTED_FILE } from "./model.ts";
import { createPostgresProxy, type PostgresProxy } from "./postgres-proxy.ts";
import type { ServerProcess } from "./server-process.ts";
import type { SessionRecord } from "./session-record.ts";
import { createStage, type EventParams, message, type Stage } from "./stage.ts";

/** They wait more than they work, and for each other's processors. */
const NODES_TIMEOUT_MS = 5 * 60_000;

/** A test with servers on one database that nobody else uses. */
export function nodesTest(name: string, body: (nodes: Nodes) => Promise<void>): void {
  test(name, { timeout: NODES_TIMEOUT_MS }, async () => {
    const nodes = new Nodes(await createStage());
    try {
      await body(nodes);
    } finally {
      await nodes.close();
    }
  });
}

type Roles = "api" | "worker" | "api,worker";

/** Several servers, and one session. */
export class Nodes {
  readonly stage: Stage;
  sessionId = "";
  private readonly tag = newTag();
  private readonly proxies: PostgresProxy[] = [];

  constructor(stage: Stage) {
    this.stage = stage;
  }

  async start(roles: Roles = "api,worker"): Promise<ServerProcess> {
    return this.stage.startServer({ environment: { SANDBOX0_ROLES: roles } });
  }

  /** A server whose talk with Postgres the test can follow. */
  async startBehindProxy(roles: Roles): Promise<{ server: ServerProcess; proxy: PostgresProxy }> {
    const proxy = await createPostgresProxy(this.stage.database.connectionString);
    this.proxies.push(proxy);
    const server = await this.stage.startServer({ databaseUrl: proxy.connectionString, environment: { SANDBOX0_ROLES: roles } });
    return { server, proxy };
  }

  /** A server that no notification of another one reaches. */
  async startDeaf(roles: Roles): Promise<ServerProcess> {
    const { server, proxy } = await this.startBehindProxy(roles);
    proxy.losesNotifications = true;
    return server;
  }

  async createSession(server: ServerProcess): Promise<void> {
    this.sessionId = await this.stage.createSession(server);
  }

  async say(server: ServerProcess, script: ScriptName): Promise<void> {
    await this.send(server, message(`${script} [${this.tag}]`));
  }

  async send(server: ServerProcess, event: EventParams): Promise<void> {
    await this.stage.send(server, this.sessionId, [event]);
  }

  /** Says it, and waits until the model has its `nth` request and does not answer. */
  async sayUntilModelHolds(server: ServerProcess, script: ScriptName, nth: number, at: ModelPoint = "answering"): Promise<Gate> {
    const gate = this.stage.model.stopAt(this.tag, nth, at);
    await this.say(server, script);
    await gate.reached;
    return gate;
  }

  async sayUntilToolRuns(server: ServerProcess, script: ScriptName): Promise<void> {
    await this.say(server, script);
    const isRunning = async () => existsSync((await this.stage.workspacePath(this.sessionId, STARTED_FILE)) ?? "");
    await until(isRunning, { describe: "the tool to run" });
  }

  async letToolGoOn(): Promise<void> {
    await writeFile((await this.stage.workspacePath(this.sessionId, GO_FILE)) as string, "");
  }

  /** What the database does by itself when a lease is not renewed for its 15 seconds. */
  async expireLease(): Promise<void> {
    await this.stage.db.query("update session_heads set wake_at = clock_timestamp() where session_id = $1", [this.sessionId]);
  }

  record(): Promise<SessionRecord> {
    return this.stage.record(this.sessionId);
  }

  /** Waits until the session rests. @throws unless all is in order and it had so many turns */
  async untilTurns(turns: number): Promise<SessionRecord> {
    const record = await this.stage.untilRest(this.sessionId);
    const found = await this.stage.violations(record);
    const count = record.events.filter((event) => event.type === "session.status_running").length;
    if (count !== turns) found.push(`${count} turns, not ${turns}`);
    if (found.length > 0) throw new Error(found.join("\n"));
    return record;
  }

  async close(): Promise<void> {
    await this.stage.close();
    await Promise.all(this.proxies.map((proxy) => proxy.close()));
  }
}

/** Lets a stopped server run again, until it has found out that a turn is no longer its own. */
export async function thaw(frozen: ServerProcess): Promise<void> {
  frozen.signal("SIGCONT");
  await until(() => frozen.output().includes("a turn was left to be recovered"), {
    describe: () => `the node to notice that it lost its lease\n${frozen.output()}`,
  });
}
