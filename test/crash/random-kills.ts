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
  /** A server is killed at a random time up to this long after it began to listen. */
  lifeMaxMs: number;
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
const FEED_MS = 20;

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
  await Promise.all(
    slots.map((slot) =>
      slot.killUntil(
        () => report.kills++ < options.kills,
        () => random() * options.lifeMaxMs,
      ),
    ),
  );
  report.kills = options.kills;
  feeder.stop();
  await feeding;
  for (const id of sessionIds) await stage.untilRest(id);
  return { ...report, sent: feeder.sent, unanswered: feeder.unanswered, seconds: (performance.now() - startedAt) / 1000 };
}

/** A server that is always started again, by a process that has loaded its code meanwhile. */
class Slot {
  server: ServerProcess | null = null;
  private readonly stage: Stage;
  private next: PreloadedServer;

  constructor(stage: Stage) {
    this.stage = stage;
    this.next = stage.preloadServer();
  }

  async start(): Promise<void> {
    const { next } = this;
    this.next = this.stage.preloadServer();
    this.server = await next.start();
  }

  async killUntil(mayKill: () => boolean, lifeMs: () => number): Promise<void> {
    while (mayKill()) {
      await delay(lifeMs());
      const { server } = this;
      this.server = null;
      await server?.kill();
      await this.start();
    }
    await this.next.kill();
  }
}

/** Clients: each session gets its next message as soon as it is idle, from whichever server answers. */
class Feeder {
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
      "select session_id as id from session_heads where shown_status = 'idle' and session_id = any($1)",
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
      if (!(error instanceof APIConnectionError || error instanceof InternalServerError)) throw error;
      this.unanswered += 1;
    } finally {
      this.sending.delete(id);
    }
  }
}
