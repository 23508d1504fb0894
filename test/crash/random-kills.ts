import { setTimeout as delay } from "node:timers/promises";
import { APIConnectionError, InternalServerError } from "@anthropic-ai/sdk";
import { seededRandom } from "./seeded-random.ts";
import type { PreloadedServer, ServerProcess } from "./server-process.ts";
import { message, type Stage } from "./stage.ts";

export interface RandomKillsOptions {
  seed: number;
  servers: number;
  sessions: number;
  kills: number;
}

export interface RandomKillsReport {
  sessionIds: string[];
  kills: number;
  /** Messages that were acknowledged, and sends that a kill left without an answer. */
  sent: number;
  unanswered: number;
  seconds: number;
}

/** How often idle sessions get their next message. */
const FEED_MS = 50;
/** Kills that come while a server starts and takes over what it finds; the others come when it has served a while. */
const EARLY_KILLS_SHARE = 1 / 3;
/** After a server was told to start; it listens after some 300 ms. */
const EARLY_KILL_MS_MAX = 600;
/** After a server listens and another one has its code loaded, to take its place. */
const LATE_KILL_MS_MAX = 300;

/**
 * Keeps sessions busy with tool calls while servers are killed at random and started again, and leaves all of them up
 * and every session at rest. The seed decides when and where; what the machine makes of it is its own.
 */
export async function killAtRandom(stage: Stage, options: RandomKillsOptions): Promise<RandomKillsReport> {
  const startedAt = performance.now();
  const random = seededRandom(options.seed);
  const slots = Array.from({ length: options.servers }, () => new Slot(stage));
  await Promise.all(slots.map((slot) => slot.start()));
  const first = slots[0]?.server as ServerProcess;
  const sessionIds = await Promise.all(Array.from({ length: options.sessions }, () => stage.createSession(first)));
  const report = { sessionIds, kills: 0, sent: 0, unanswered: 0, seconds: 0 };
  const feeder = new Feeder(stage, slots, sessionIds, seededRandom(options.seed + 1));
  const feeding = feeder.run();
  try {
    await Promise.all(slots.map((slot) => slot.killWhile(() => report.kills++ < options.kills, random)));
  } finally {
    feeder.stop();
    await feeding;
  }
  report.kills = options.kills;
  for (const id of sessionIds) await stage.untilRest(id);
  return { ...report, sent: feeder.sent, unanswered: feeder.unanswered, seconds: (performance.now() - startedAt) / 1000 };
}

/** A server that is always started again, by a process that has loaded its code meanwhile. */
export class Slot {
  /** While it listens. */
  server: ServerProcess | null = null;
  private readonly stage: Stage;
  private current: PreloadedServer;
  private next: PreloadedServer;
  private isUp: Promise<void> = Promise.resolve();

  constructor(stage: Stage) {
    this.stage = stage;
    this.current = this.next = stage.preloadServer();
  }

  /** @throws when the server ends by itself before it listens */
  async start(): Promise<void> {
    this.begin();
    await this.isUp;
  }

  async killWhile(mayKill: () => boolean, random: () => number): Promise<void> {
    while (mayKill()) await this.killOnce(random);
    await this.settle();
  }

  /** Kills it, and has its successor begin. */
  async killOnce(random: () => number): Promise<void> {
    const isEarly = random() < EARLY_KILLS_SHARE;
    const waitMs = random() * (isEarly ? EARLY_KILL_MS_MAX : LATE_KILL_MS_MAX);
    if (!isEarly) await Promise.all([this.isUp, this.next.loaded]);
    await delay(waitMs);
    this.server = null;
    await this.current.kill();
    await this.next.loaded;
    this.begin();
  }

  /** Leaves it up, and nobody to follow. */
  async settle(): Promise<void> {
    await this.isUp;
    await this.next.kill();
  }

  private begin(): void {
    const started = this.next;
    this.current = started;
    this.next = this.stage.preloadServer();
    this.isUp = started.start().then(
      (server) => {
        if (this.current === started && !started.isKilled) this.server = server;
      },
      (error: unknown) => {
        if (!started.isKilled) throw error;
      },
    );
    // Whoever waits for it hears of it.
    this.isUp.catch(() => undefined);
  }
}

/** Clients: each session gets its next message as soon as it is idle, from whichever server answers. */
export class Feeder {
  sent = 0;
  unanswered = 0;
  private readonly stage: Stage;
  private readonly slots: readonly Slot[];
  private readonly sessionIds: readonly string[];
  private readonly random: () => number;
  private readonly sending = new Set<string>();
  private isStopped = false;

  constructor(stage: Stage, slots: readonly Slot[], sessionIds: readonly string[], random: () => number) {
    this.stage = stage;
    this.slots = slots;
    this.sessionIds = sessionIds;
    this.random = random;
  }

  stop(): void {
    this.isStopped = true;
  }

  async run(): Promise<void> {
    const sends = new Set<Promise<void>>();
    while (!this.isStopped) {
      for (const id of await this.idleSessions()) {
        const sent = this.send(id).finally(() => sends.delete(sent));
        sends.add(sent);
      }
      await delay(FEED_MS);
    }
    await Promise.all(sends);
  }

  private async idleSessions(): Promise<string[]> {
    const { rows } = await this.stage.db.query<{ id: string }>(
      "select session_id as id from session_heads where session_heads.shown_status = 'idle' and session_id = any($1)",
      [this.sessionIds],
    );
    return rows.map(({ id }) => id).filter((id) => !this.sending.has(id));
  }

  private async send(id: string): Promise<void> {
    const servers = this.slots.flatMap(({ server }) => server ?? []);
    const server = servers[Math.floor(this.random() * servers.length)];
    if (server === undefined) return;
    this.sending.add(id);
    try {
      await this.stage.send(server, id, [message("three effects")]);
      this.sent += 1;
    } catch (error) {
      // A kill between the head of an answer and its body comes as the error of fetch itself.
      const isCut = [APIConnectionError, InternalServerError, TypeError].some((kind) => error instanceof kind);
      if (!isCut) throw error;
      this.unanswered += 1;
    } finally {
      this.sending.delete(id);
    }
  }
}
