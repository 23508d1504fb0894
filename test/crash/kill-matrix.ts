import { type Hold, type HoldPoint, holdAt, listStatements, type Seen, type Statements, type Watched } from "./hold-points.ts";
import { newTag } from "./model.ts";
import { createPostgresProxy, type PostgresProxy } from "./postgres-proxy.ts";
import type { ServerProcess } from "./server-process.ts";
import { describeLog, type SessionRecord } from "./session-record.ts";
import type { Stage } from "./stage.ts";

/** A client with a session, and the server it uses: another one after a kill. */
export interface Play extends Watched {
  readonly stage: Stage;
  readonly server: ServerProcess;
}

type Part = (play: Play) => Promise<void>;

/** What the client does. */
export interface Scenario {
  /** Before anything is held. */
  prepare?: Part;
  /**
   * Calls of the client, each when the session is at rest. One that the blow left without an answer is made again
   * afterwards, so it must be what a client may repeat.
   */
  parts: readonly Part[];
  /** What else must hold at the end: one sentence a violation. */
  check?(record: SessionRecord, hitAt: string | null): string[];
}

/** A scenario that is held at one point when the blow falls. */
export interface Run {
  scenario: Scenario;
  point: HoldPoint;
}

export interface MatrixOptions {
  /** `kill`, the default: SIGKILL and a new server. `disconnect`: every connection to Postgres is lost and the server lives on. */
  blow?: "kill" | "disconnect";
}

export interface MatrixReport {
  /** Where the runs were hit. */
  hits: string[];
  blows: number;
  /** From the new server's first sign of life, or the loss of the connections, until a session was at rest again. */
  recoveriesMs: number[];
}

/** Statements that come in the same moment may share a commit; such a play has a point less, and is made again. */
const PLAYS_MAX = 3;
/** Sessions that one blow hits: each may hold a connection, and the server's pool has 32. */
const A_BLOW_MAX = 14;
/**
 * Those of them that hold what the others need too. They come last, and one kind a blow: behind a held read or group
 * nobody gets on who meets it, and who meets it is a matter of luck.
 */
const SHARED_MAX = { reads: 1, commits: 2 };

/**
 * Plays scenarios, each in a session of its own and held at a point of its own. When all are held the blow falls: a real
 * SIGKILL of the server, then a new one on the same database and data directory. So each session is cut exactly there,
 * and all of them must go on. Invariants are checked for every session.
 */
export class KillMatrix {
  readonly report: MatrixReport = { hits: [], blows: 0, recoveriesMs: [] };
  private readonly stage: Stage;
  private readonly proxy: PostgresProxy;
  private readonly options: Required<MatrixOptions>;
  private readonly checked = new Set<string>();
  private server: ServerProcess;

  private constructor(stage: Stage, proxy: PostgresProxy, server: ServerProcess, options: MatrixOptions) {
    this.stage = stage;
    this.proxy = proxy;
    this.server = server;
    this.options = { blow: "kill", ...options };
  }

  static async open(stage: Stage, options: MatrixOptions = {}): Promise<KillMatrix> {
    const proxy = await createPostgresProxy(stage.database.connectionString);
    return new KillMatrix(stage, proxy, await stage.startServer({ databaseUrl: proxy.connectionString }), options);
  }

  async close(): Promise<void> {
    await this.server.kill();
    await this.proxy.close();
  }

  /** All points of a scenario, found by playing it undisturbed: before and after each statement, twice in each model request. */
  async pointsOf(scenario: Scenario, which: Statements = "commits"): Promise<Run[]> {
    const play = this.newPlay();
    await scenario.prepare?.(play);
    const asked = this.stage.model.received(play.tag);
    const list = listStatements(this.proxy, play, which);
    for (const part of scenario.parts) await this.playToRest(part, play);
    const statements = list();
    const requests = this.stage.model.received(play.tag) - asked;
    await this.check(play, scenario, null);
    return [
      ...statements.flatMap(({ shares }, index) =>
        (["before", "after"] as const).map((when) => ({
          scenario,
          point: { kind: "statement" as const, nth: nthOfItsKind(statements, index), shares, when, which },
        })),
      ),
      ...Array.from({ length: requests }).flatMap((_, index) =>
        (["asked", "answering"] as const).map((at) => ({ scenario, point: { kind: "model" as const, nth: index + 1, at } })),
      ),
    ];
  }

  async hitAll(runs: readonly Run[]): Promise<void> {
    const [alone, reads, commits] = (["nothing", "reads", "commits"] as const).map((shares) =>
      runs.filter(({ point }) => (point.kind === "statement" ? point.shares : "nothing") === shares),
    ) as [Run[], Run[], Run[]];
    const last = [...chunks(reads, SHARED_MAX.reads), ...chunks(commits, SHARED_MAX.commits)];
    const blows = Math.max(last.length, Math.ceil(runs.length / A_BLOW_MAX));
    for (let blow = blows; blow > 0; blow--)
      await this.hit([...alone.splice(0, Math.ceil(alone.length / blow)), ...(last.pop() ?? [])]);
  }

  private async hit(runs: readonly Run[]): Promise<void> {
    const held: Awaited<ReturnType<KillMatrix["playUntilHeld"]>>[] = [];
    // One after the other, so that each statement is a session's own and not one that several share.
    for (const run of runs) held.push(await this.playUntilHeld(run));
    await this.strike();
    for (const { release } of held) release();
    const startedAt = performance.now();
    await Promise.all(
      held.map(async ({ play, hitAt, goOn }) => {
        if (play.sessionId !== null) await this.rest(play.sessionId, hitAt);
        this.report.recoveriesMs.push(performance.now() - startedAt);
        await goOn();
      }),
    );
    for (const { play, scenario, hitAt } of held) await this.check(play, scenario, hitAt);
    this.report.hits.push(...held.map(({ hitAt }) => hitAt));
    this.report.blows += 1;
  }

  private async strike(): Promise<void> {
    if (this.options.blow === "kill") await this.server.kill();
    this.proxy.cut();
    if (this.options.blow === "kill") this.server = await this.stage.startServer({ databaseUrl: this.proxy.connectionString });
  }

  private async playUntilHeld(run: Run) {
    for (let plays = 1; ; plays++) {
      const held = await this.playOnce(run, plays === PLAYS_MAX);
      if (held !== null) return held;
    }
  }

  /**
   * @returns when the session does not get on any more; `goOn` does what is left after the blow. `null`: it was at rest
   * without having come by the point
   * @throws Error instead of `null` for the last play
   */
  private async playOnce({ scenario, point }: Run, isLast: boolean) {
    const play = this.newPlay();
    await scenario.prepare?.(play);
    const hold = holdAt(this.stage, this.proxy, play, point);
    for (const [index, part] of scenario.parts.entries()) {
      const held = await this.playPartUntilHeld(part, play, hold);
      if (held === null) continue;
      const goOn = async (): Promise<void> => {
        if (!(await held.isAnswered())) await this.playToRest(part, play);
        for (const next of scenario.parts.slice(index + 1)) await this.playToRest(next, play);
      };
      return { play, scenario, hitAt: held.hitAt, goOn, release: () => this.release(play, hold) };
    }
    hold.release();
    await this.check(play, scenario, null);
    if (!isLast) return null;
    throw new Error(
      `the point never came: ${JSON.stringify(point)}\n${describeLog(await this.stage.record(play.sessionId as string))}`,
    );
  }

  private async playPartUntilHeld(part: Part, play: Play, hold: Hold) {
    let isAnswered = false;
    const answered = part(play).then(() => {
      isAnswered = true;
    });
    // Cut off by the blow; whether it was answered is what counts.
    const over = answered.catch(() => undefined);
    const rested = answered.then(async () => {
      if (play.sessionId !== null) await this.stage.untilRest(play.sessionId);
      return hold.isComing() ? hold.reached : null;
    });
    const hitAt = await Promise.race([hold.reached, rested]);
    rested.catch(() => undefined);
    if (hitAt === null) return null;
    return {
      hitAt,
      async isAnswered(): Promise<boolean> {
        await over;
        return isAnswered;
      },
    };
  }

  private release(play: Play, hold: Hold): void {
    hold.release();
    this.stage.model.letGoOn(play.tag);
  }

  private newPlay(): Play {
    const server = () => this.server;
    return {
      stage: this.stage,
      tag: newTag(),
      sessionId: null,
      get server() {
        return server();
      },
    };
  }

  private async playToRest(part: Part, play: Play): Promise<void> {
    await part(play);
    if (play.sessionId !== null) await this.rest(play.sessionId, "nowhere yet");
  }

  private rest(sessionId: string, hitAt: string): Promise<SessionRecord> {
    return this.stage.untilRest(sessionId, () => `hit ${hitAt}\n${this.server.output()}`);
  }

  /** The session of this play, or all that are new when it does not know its own: their creation was not answered. */
  private async check(play: Play, scenario: Scenario, hitAt: string | null): Promise<void> {
    const { stage, server } = this;
    if (play.sessionId === null) throw new Error(`hit ${hitAt}: no session came of it`);
    for (const id of await stage.sessionIdsOf(play.tag)) {
      if (this.checked.has(id)) continue;
      this.checked.add(id);
      const record = await this.rest(id, hitAt ?? "nowhere");
      const found = [...(await stage.violations(record)), ...(scenario.check?.(record, hitAt) ?? [])];
      if (found.length > 0) throw new Error([`hit ${hitAt}:`, ...found, describeLog(record), server.output()].join("\n"));
    }
  }
}

function nthOfItsKind(statements: readonly Seen[], index: number): number {
  const { shares } = statements[index] as Seen;
  return statements.slice(0, index + 1).filter((statement) => statement.shares === shares).length;
}

function chunks<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, index) => items.slice(index * size, (index + 1) * size));
}
