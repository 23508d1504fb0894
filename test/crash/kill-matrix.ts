import { armKill, type KillPoint, type Statements } from "./kill-points.ts";
import { createPostgresProxy, type PostgresProxy } from "./postgres-proxy.ts";
import type { ServerProcess } from "./server-process.ts";
import { describeLog, type SessionRecord } from "./session-record.ts";
import type { Stage } from "./stage.ts";

/** A server, and a client that uses it. */
export interface Play {
  readonly stage: Stage;
  /** Another one after the kill. */
  server: ServerProcess;
  /** Set by `prepare`, or by the part that creates it. */
  sessionId: string | null;
}

type Part = (play: Play) => Promise<void>;

/** What the client does. */
export interface Scenario {
  /** Before a kill is armed. */
  prepare?: Part;
  /**
   * Calls of the client, each when the session is at rest. One that a kill left without an answer is made again after
   * the restart, so it must be what a client may repeat.
   */
  parts: readonly Part[];
  /** What else must hold at the end of every run: one sentence a violation. */
  check?(record: SessionRecord, killedAt: string | null): string[];
}

export interface MatrixOptions {
  /** Default `commits`. */
  statements?: Statements;
  /** `kill`, the default: SIGKILL and a new server. `disconnect`: every connection to Postgres is lost and the server lives on. */
  blow?: "kill" | "disconnect";
}

export interface MatrixReport {
  /** Where the runs were hit, in order. */
  hits: string[];
  /** From the new server's first sign of life, or the loss of the connections, until the session was at rest again. */
  recoveriesMs: number[];
}

/**
 * Plays a scenario again and again, each time in a new session and with a blow at another point: a real SIGKILL of the
 * server, then a new one on the same database and data directory, which has the next run. Invariants are checked after
 * every run.
 */
export class KillMatrix {
  readonly report: MatrixReport = { hits: [], recoveriesMs: [] };
  private readonly stage: Stage;
  private readonly proxy: PostgresProxy;
  private readonly options: Required<MatrixOptions>;
  private readonly checked = new Set<string>();
  private server: ServerProcess;

  private constructor(stage: Stage, proxy: PostgresProxy, server: ServerProcess, options: MatrixOptions) {
    this.stage = stage;
    this.proxy = proxy;
    this.server = server;
    this.options = { statements: "commits", blow: "kill", ...options };
  }

  static async open(stage: Stage, options: MatrixOptions = {}): Promise<KillMatrix> {
    const proxy = await createPostgresProxy(stage.database.connectionString);
    return new KillMatrix(stage, proxy, await stage.startServer({ databaseUrl: proxy.connectionString }), options);
  }

  async close(): Promise<void> {
    await this.server.kill();
    await this.proxy.close();
  }

  /** Before and after each statement, until a run ends without meeting another one. @returns how many there were */
  async hitEveryStatement(scenario: Scenario): Promise<number> {
    for (let nth = 1; ; nth += 1) {
      for (const when of ["before", "after"] as const) {
        if ((await this.run(scenario, { kind: "statement", nth, when })) === null) return nth - 1;
      }
    }
  }

  /** At each request to the model, before the first byte of its answer and in the middle of it. */
  async hitEveryModelRequest(scenario: Scenario): Promise<number> {
    for (let nth = 1; ; nth += 1) {
      for (const at of ["asked", "answering"] as const) {
        if ((await this.run(scenario, { kind: "model", nth, at })) === null) return nth - 1;
      }
    }
  }

  /** @returns where it was hit; `null` when the run was over before the point came */
  async run(scenario: Scenario, point: KillPoint): Promise<string | null> {
    const play: Play = { stage: this.stage, server: this.server, sessionId: null };
    await scenario.prepare?.(play);
    const kill = armKill(this.stage, this.proxy, point, this.options.statements, () => play.sessionId);
    let hitAt: string | null = null;
    try {
      for (const part of scenario.parts) {
        // Once is enough: after the blow the rest is played as it comes.
        if (hitAt === null) hitAt = await this.playUntilHit(part, play, kill.reached);
        else await this.playToRest(part, play);
      }
    } finally {
      kill.disarm();
    }
    await this.check(play, scenario, hitAt);
    if (hitAt !== null) this.report.hits.push(hitAt);
    return hitAt;
  }

  private async playToRest(part: Part, play: Play): Promise<null> {
    await part(play);
    if (play.sessionId !== null) await this.stage.untilRest(play.sessionId, () => this.server.output());
    return null;
  }

  private async playUntilHit(part: Part, play: Play, reached: Promise<string>): Promise<string | null> {
    let isAnswered = false;
    const watched = async (): Promise<void> => {
      await part(play);
      isAnswered = true;
    };
    const played = this.playToRest(watched, play);
    // After the blow it counts only whether the client was answered.
    played.catch(() => undefined);
    const hitAt = await Promise.race([reached, played]);
    if (hitAt === null) return null;
    await this.strike(play, hitAt);
    await played.catch(() => undefined);
    if (!isAnswered) await this.playToRest(part, play);
    return hitAt;
  }

  private async strike(play: Play, hitAt: string): Promise<void> {
    if (this.options.blow === "kill") {
      await this.server.kill();
      this.proxy.cut();
      this.stage.model.answerAll();
      this.server = await this.stage.startServer({ databaseUrl: this.proxy.connectionString });
      play.server = this.server;
    } else {
      this.proxy.cut();
      this.stage.model.answerAll();
    }
    const startedAt = performance.now();
    if (play.sessionId === null) return;
    await this.stage.untilRest(play.sessionId, () => `hit ${hitAt}\n${this.server.output()}`);
    this.report.recoveriesMs.push(performance.now() - startedAt);
  }

  /** Every session that this run has made, also one whose creation nobody was told of. */
  private async check(play: Play, scenario: Scenario, hitAt: string | null): Promise<void> {
    const { stage, server } = this;
    const where = hitAt === null ? "without a blow" : `hit ${hitAt}`;
    if (play.sessionId === null) throw new Error(`${where}: no session came of it`);
    for (const id of await stage.sessionIds()) {
      if (this.checked.has(id)) continue;
      this.checked.add(id);
      const record = await stage.untilRest(id, () => `${where}\n${server.output()}`);
      const found = [...(await stage.violations(record)), ...(scenario.check?.(record, hitAt) ?? [])];
      if (found.length > 0) throw new Error([`${where}:`, ...found, describeLog(record), server.output()].join("\n"));
    }
  }
}
