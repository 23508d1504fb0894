import { setTimeout as delay } from "node:timers/promises";
import { until } from "@sandbox0/testkit";
import { Feeder, Slot } from "./random-kills.ts";
import { killProcess, type SandboxProcess, sandboxProcesses } from "./sandbox-processes.ts";
import { seededRandom } from "./seeded-random.ts";
import type { ServerProcess } from "./server-process.ts";
import { describeLog, type SessionRecord } from "./session-record.ts";
import type { Stage } from "./stage.ts";

const VICTIMS = ["program", "sandbox", "server"] as const;
type Victim = (typeof VICTIMS)[number];

export interface HarnessKillsOptions {
  seed: number;
  harness: { name: string; model: string };
  sessions: number;
  /** Of each: the program, everything in one sandbox at once, the server. */
  killsOfEach: number;
}

export interface HarnessKillsReport {
  kills: Record<Victim, number>;
  sent: number;
  unanswered: number;
  turns: number;
  ended: number;
  givenUp: number;
  cut: number;
  seconds: number;
  violations: string[];
}

/** After the victim was found at work; a turn of three requests and three commands takes some hundred. */
const KILL_MS_MAX = 400;
const VICTIM_TIMEOUT_MS = 120_000;

/**
 * Keeps sessions of a harness that lives in their sandboxes busy, kills its programs, their sandboxes and the server at
 * random, and looks at every session when it has come to rest.
 */
export async function killHarnessAtRandom(stage: Stage, options: HarnessKillsOptions): Promise<HarnessKillsReport> {
  const startedAt = performance.now();
  const random = seededRandom(options.seed);
  const slot = new Slot(stage);
  await slot.start();
  const session = { on: options.harness };
  const ids = await Promise.all(
    Array.from({ length: options.sessions }, () => stage.createSession(slot.server as ServerProcess, session)),
  );
  const feeder = new Feeder(stage, [slot], ids, seededRandom(options.seed + 1));
  const feeding = feeder.run();
  const kills = { program: 0, sandbox: 0, server: 0 };
  try {
    for (const victim of plan(options.killsOfEach, random)) {
      await someWork(stage, ids);
      await kill(victim, slot, random);
      kills[victim] += 1;
    }
    await slot.settle();
  } finally {
    feeder.stop();
    await feeding;
  }
  const records: SessionRecord[] = [];
  for (const id of ids) records.push(await stage.untilRest(id));
  const found = await Promise.all(records.map((record) => violationsOf(stage, record)));
  const { sent, unanswered } = feeder;
  const seconds = Math.round((performance.now() - startedAt) / 1000);
  return { kills, sent, unanswered, ...countIn(records), seconds, violations: found.flat() };
}

/** Between two kills a call gets its result: a machine that is slow to start things would see nothing but starts killed. */
async function someWork({ db }: Stage, ids: readonly string[]): Promise<void> {
  const results = async (): Promise<number> => {
    const query = "select count(*)::int as n from events where type = 'agent.tool_result' and session_id = any($1)";
    return (await db.query<{ n: number }>(query, [ids])).rows[0]?.n ?? 0;
  };
  const before = await results();
  await until(async () => (await results()) > before, { timeoutMs: VICTIM_TIMEOUT_MS, describe: "the sessions to get on" });
}

function plan(killsOfEach: number, random: () => number): Victim[] {
  return VICTIMS.flatMap((victim) => Array.from({ length: killsOfEach }, () => ({ victim, at: random() })))
    .toSorted((a, b) => a.at - b.at)
    .map(({ victim }) => victim);
}

async function kill(victim: Victim, slot: Slot, random: () => number): Promise<void> {
  if (victim === "server") return slot.killOnce(random);
  await until(() => programsOf(slot).length > 0, { timeoutMs: VICTIM_TIMEOUT_MS, describe: "a program of the harness to run" });
  await delay(random() * KILL_MS_MAX);
  const programs = programsOf(slot);
  const chosen = programs[Math.floor(random() * programs.length)];
  // It ended by itself meanwhile: the next one will do.
  if (chosen === undefined) return kill(victim, slot, random);
  const pids = victim === "program" ? [chosen.pid] : inSandboxOf(chosen, slot);
  for (const pid of pids) killProcess(pid);
}

function inSandboxOf({ volume }: SandboxProcess, { server }: Slot): number[] {
  if (server === null) return [];
  return sandboxProcesses(server.pid)
    .filter((each) => each.volume === volume)
    .map(({ pid }) => pid);
}

function programsOf({ server }: Slot): SandboxProcess[] {
  return server === null ? [] : sandboxProcesses(server.pid).filter(({ program }) => program.startsWith("/opt/harness/"));
}

/** With the log that they are of. */
async function violationsOf(stage: Stage, record: SessionRecord): Promise<string[]> {
  const found = await stage.violations(record);
  return found.length === 0 ? [] : [...found, describeLog(record)];
}

function countIn(records: readonly SessionRecord[]) {
  const count = (type: string, part = "") =>
    records.flatMap(({ events }) => events).filter((event) => event.type === type && JSON.stringify(event.body).includes(part))
      .length;
  return {
    turns: count("session.status_running"),
    ended: count("session.status_idle", "end_turn"),
    givenUp: count("session.status_idle", "retries_exhausted"),
    cut: count("agent.tool_result", "server failure"),
  };
}
