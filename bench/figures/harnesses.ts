import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { sandboxProcesses } from "../../test/crash/sandbox-processes.ts";
import { type BareName, startBare } from "../bare-programs.ts";
import { type BenchServer, runTurn, SAY } from "../bench-server.ts";
import { type Budget, type Figure, percentile, times, value } from "../figure.ts";
import type { HttpConnection } from "../http-connection.ts";
import type { RunContext } from "../run-context.ts";

const HARNESSES: readonly { name: BareName; model: string; cold: Budget }[] = [
  { name: "claude", model: "claude-bench", cold: { p50Max: 600 } },
  { name: "codex", model: "gpt-bench", cold: {} },
];
/** What is added to the program's own time by a turn that finds it warm. */
const WARM_ADDED_MS_MAX = 60;
const COLD_SESSIONS = 10;
const WARM_TURNS = 30;
const MIB_KIB = 1024;
const HIBERNATION_LOOK_MS = 250;
/** Programs are kept for 20 s. */
const HIBERNATED_WITHIN_MS = 60_000;

interface Samples {
  /** Whole turns. */
  cold: number[];
  warm: number[];
  memoryMib: number;
}

/** The vendors' programs in sessions of ours, beside the same programs called directly. */
export async function harnesses({ provider, server: start }: RunContext): Promise<Figure[]> {
  const server = await start();
  const figures: Figure[] = [];
  for (const { name, model, cold } of HARNESSES) {
    const bare = await runBare(name, model, provider.url);
    const ours = await runSessions(server, name, model);
    const added = percentile(ours.warm, 0.5) - percentile(bare.warm, 0.5);
    const direct = (samples: number[]) => ({ name: `bare ${name}`, samples });
    figures.push(
      times(`${name}: cold turn with its sandbox`, ours.cold, cold, direct(bare.cold)),
      times("  to its first token", ours.coldFirst, {}),
      times(`${name}: warm turn`, ours.warm, {}, direct(bare.warm)),
      times("  to its first token", ours.warmFirst, {}),
      value("  added to the program's own", added, "ms", ours.warm.length, { valueMax: WARM_ADDED_MS_MAX }),
      value(`${name}: memory of a session, program kept`, ours.memoryMib, "MiB", 1, {}),
      value("  hibernated", ours.hibernatedMib, "MiB", 1, {}),
      value("  bare program", bare.memoryMib, "MiB", 1, {}),
    );
  }
  return figures;
}

async function runBare(name: BareName, model: string, providerUrl: string): Promise<Samples> {
  const samples: Samples = { cold: [], warm: [], memoryMib: 0 };
  for (let n = 0; n < COLD_SESSIONS; n++) {
    const startedAt = performance.now();
    const program = await startBare(name, model, providerUrl);
    try {
      await program.turn();
      samples.cold.push(performance.now() - startedAt);
      if (n > 0) continue;
      for (let t = 0; t < WARM_TURNS; t++) samples.warm.push(await program.turn());
      samples.memoryMib = await memoryMib([program.pid]);
    } finally {
      await program.stop();
    }
  }
  return samples;
}

async function runSessions(
  server: BenchServer,
  name: string,
  model: string,
): Promise<Samples & { coldFirst: number[]; warmFirst: number[]; hibernatedMib: number }> {
  const connection = await server.connect();
  const { id: agent } = await connection.json<{ id: string }>("POST", "/v1/agents", {
    name,
    model,
    metadata: { "sandbox0.harness": name },
  });
  const samples = { cold: [], warm: [], coldFirst: [], warmFirst: [], memoryMib: 0, hibernatedMib: 0 } as Awaited<
    ReturnType<typeof runSessions>
  >;
  try {
    for (let n = 0; n < COLD_SESSIONS; n++) {
      const params = { agent, environment_id: server.environmentId };
      const { id } = await connection.json<{ id: string }>("POST", "/v1/sessions", params);
      const first = await turnOf(server, connection, id);
      samples.cold.push(first.whole);
      samples.coldFirst.push(first.firstToken);
      if (n < COLD_SESSIONS - 1) continue;
      for (let t = 0; t < WARM_TURNS; t++) {
        const next = await turnOf(server, connection, id);
        samples.warm.push(next.whole);
        samples.warmFirst.push(next.firstToken);
      }
      Object.assign(samples, await memoryOfLast(server));
    }
  } finally {
    connection.close();
  }
  return samples;
}

async function turnOf(
  server: BenchServer,
  connection: HttpConnection,
  id: string,
): Promise<{ whole: number; firstToken: number }> {
  const stream = await server.stream(id, "?event_deltas[]=agent.message");
  const sentAt = performance.now();
  const delta = stream.seen(({ type }) => type === "event_delta");
  const [whole, deltaAt] = await Promise.all([runTurn(connection, stream, id, SAY), delta]);
  stream.close();
  return { whole, firstToken: deltaAt - sentAt };
}

/** Of the sandbox whose program was started last: with it, and when it has gone. */
async function memoryOfLast(server: BenchServer): Promise<{ memoryMib: number; hibernatedMib: number }> {
  const all = () => sandboxProcesses(server.process.pid);
  const last = all().findLast(({ program }) => program.startsWith("/opt/harness/"));
  if (last === undefined) throw new Error("no program was kept");
  const its = () => all().filter(({ volume }) => volume === last.volume);
  const kept = await memoryMib(its().map(({ pid }) => pid));
  const until = performance.now() + HIBERNATED_WITHIN_MS;
  while (its().some(({ program }) => program.startsWith("/opt/harness/"))) {
    if (performance.now() > until) throw new Error("the program was not hibernated");
    await delay(HIBERNATION_LOOK_MS);
  }
  return { memoryMib: kept, hibernatedMib: await memoryMib(its().map(({ pid }) => pid)) };
}

/** Proportional: what processes share is counted once. */
async function memoryMib(pids: readonly number[]): Promise<number> {
  let kib = 0;
  for (const pid of pids) {
    const rollup = await readFile(`/proc/${pid}/smaps_rollup`, "utf8");
    kib += Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1] ?? 0);
  }
  return kib / MIB_KIB;
}
