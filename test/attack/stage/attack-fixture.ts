import { afterAll, beforeAll, expect } from "vitest";
import { type AttackServer, type AttackStage, createAttackStage, type StageOptions } from "./attack-stage.ts";
import type { Attack, Outcome } from "./hostile-client.ts";
import { encodeAttacks, type HostileOptions, type HostileSession, startHostileSession } from "./hostile-session.ts";
import { refusalsIn } from "./http-words.ts";
import type { Reached, ReachedHttp, Zone } from "./records.ts";

const CLIENT = new URL("hostile-client.ts", import.meta.url).pathname;
/** What the sites of the pretend Internet say of themselves. */
const GREETING = "reached ";

export interface FixtureOptions {
  stage?: StageOptions;
  /** Of the server. */
  environment?: Record<string, string>;
  /** Before the server starts. */
  prepare?(stage: AttackStage): Promise<void>;
}

/** One server in one pretend Internet for the tests of a file. */
export class AttackFixture {
  #stage: AttackStage | undefined;
  #server: AttackServer | undefined;
  #environment: Record<string, string> = {};

  async open(zone: Zone, { stage = {}, environment = {}, prepare }: FixtureOptions): Promise<void> {
    this.#stage = await createAttackStage(zone, stage);
    await prepare?.(this.#stage);
    this.#environment = environment;
    this.#server = await this.#stage.startServer(environment);
  }

  async close(): Promise<void> {
    await this.#stage?.close();
  }

  get stage(): AttackStage {
    if (this.#stage === undefined) throw new Error("the stage of this file is not up");
    return this.#stage;
  }

  get server(): AttackServer {
    if (this.#server === undefined) throw new Error("the server of this file is not up");
    return this.#server;
  }

  /** Another server in place of this one, on its data. */
  async restartServer(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    await this.server.stop(signal);
    this.#server = await this.stage.startServer(this.#environment);
  }

  /** @param client of another workspace than the server's first */
  session(options: HostileOptions, client = this.server.client): Promise<HostileSession> {
    return startHostileSession(this.stage.provider, client, options);
  }

  /** Makes the attack and gives what it was answered and what it reached. */
  async try(session: HostileSession, attack: Attack): Promise<{ outcome: Outcome; reached: Reached[] }> {
    const { outcomes, reached } = await this.tryAll(session, [attack]);
    return { outcome: outcomes[0] as Outcome, reached };
  }

  /** One after the other, in one command: a process each costs more than the attack. */
  async tryAll(session: HostileSession, attacks: readonly Attack[]): Promise<{ outcomes: Outcome[]; reached: Reached[] }> {
    await this.stage.inside.forget();
    const outcomes = await session.attack(attacks);
    return { outcomes, reached: await this.reached() };
  }

  /** The same attack from beside the sandbox, where nobody stops it: what it can do at all. */
  async tryOutside(attack: Attack): Promise<Reached[]> {
    await this.stage.inside.forget();
    await this.stage.inside.run("sh", ["-c", `echo ${encodeAttacks([attack])} | ${process.execPath} ${CLIENT}`]);
    return this.reached();
  }

  /** Looks twice: what was in a socket's buffer at the first look is there at the second. */
  async reached(): Promise<Reached[]> {
    await this.stage.inside.reached();
    return this.stage.inside.reached();
  }

  /** The attacks are refused in words or by silence, and nothing outside of the sandbox has seen any of them. */
  async expectRefused(session: HostileSession, ...attacks: readonly Attack[]): Promise<void> {
    const { outcomes, reached } = await this.tryAll(session, attacks);
    expect(reached, "what the attacks reached").toEqual([]);
    const wrong = outcomes.filter((outcome) => !isRefused(outcome));
    expect(wrong, "attacks that were not refused").toEqual([]);
  }

  /** The request goes through to where it should. */
  async expectServed(session: HostileSession, attack: Attack): Promise<ReachedHttp> {
    const { outcome, reached } = await this.try(session, attack);
    const requests = requestsIn(reached);
    expect(requests, `what was reached, with the answers ${JSON.stringify(outcome)}`).toHaveLength(1);
    expect(outcome.answers.at(-1)).toContain(GREETING);
    return requests[0] as ReachedHttp;
  }
}

export function attackFixture(zone: Zone, options: FixtureOptions = {}): AttackFixture {
  const fixture = new AttackFixture();
  beforeAll(() => fixture.open(zone, options));
  afterAll(() => fixture.close());
  return fixture;
}

/** A gateway that is not there refuses everything: that is no refusal. */
function isRefused(outcome: Outcome): boolean {
  const served = outcome.answers.some((answer) => answer.includes(GREETING));
  return !served && outcome.error !== "ECONNREFUSED" && refusalsIn(outcome).length > 0;
}

export function requestsIn(reached: readonly Reached[]): ReachedHttp[] {
  return reached.filter((each): each is ReachedHttp => each.kind === "http");
}
