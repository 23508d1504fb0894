import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import { createBubblewrapDriver, createSandboxPool, type OpenEgress, type SandboxPool } from "@sandbox0/sandbox";
import { until } from "@sandbox0/testkit";
import { type Figure, times } from "../figure.ts";
import type { RunContext } from "../run-context.ts";

const COLD_STARTS = 30;
const WARM_CLAIMS = 30;
const WARM_COUNT = 4;

/** A sandbox from nothing to the output of its first command, and a claim of one that waits ready. */
export async function sandboxes({ directory }: RunContext): Promise<Figure[]> {
  const dir = await directory();
  const problems: Error[] = [];
  const onProblem = (problem: Error): void => void problems.push(problem);
  const driver = createBubblewrapDriver({ dir, onProblem });
  const makePool = (warmCount: number) =>
    createSandboxPool(driver, { dir: join(dir, "volumes"), warmCount, openEgress, onProblem });

  const coldPool = await makePool(0);
  const cold = await samples("cold", COLD_STARTS, coldPool, async (sessionId) => firstOutput(coldPool, sessionId));
  await coldPool.close();

  const warmPool = await makePool(WARM_COUNT);
  const claim: number[] = [];
  const warm = await samples("warm", WARM_CLAIMS, warmPool, async (sessionId) => {
    await until(() => warmPool.stats().warm === WARM_COUNT && warmPool.stats().starting === 0);
    const at = performance.now();
    const { source } = await warmPool.claim(sessionId, null);
    claim.push(performance.now() - at);
    if (source !== "warm") throw new Error(`a ${source} sandbox`);
    await firstOutput(warmPool, sessionId);
    return performance.now() - at;
  });
  await warmPool.close();
  if (problems.length > 0) throw new AggregateError(problems, "trouble with a sandbox");
  return [
    times("sandbox, cold to first output", cold, { p50Max: 25 }),
    times("sandbox, warm claim", claim, { p50Max: 5 }),
    times("sandbox, warm to first output", warm, {}),
  ];
}

/** Sandboxes have their socket and its forwarder, as in a server; nobody goes out here. */
const openEgress: OpenEgress = async (_sandboxId, socketPath) => {
  const server = createServer((socket) => socket.destroy());
  server.listen(socketPath);
  await once(server, "listening");
  return {
    close: async () => {
      server.close();
      await once(server, "close");
    },
  };
};

async function samples(
  name: string,
  count: number,
  pool: SandboxPool,
  sample: (sessionId: string) => Promise<number>,
): Promise<number[]> {
  const taken: number[] = [];
  for (let n = 0; n < count; n++) {
    const sessionId = `sesn_bench_${name}_${n}`;
    taken.push(await sample(sessionId));
    await pool.discard(sessionId);
  }
  return taken;
}

async function firstOutput(pool: SandboxPool, sessionId: string): Promise<number> {
  const at = performance.now();
  const { tools } = await pool.claim(sessionId, null);
  const { content, isError } = await tools.call("bash", { command: "echo ready" });
  if (isError || !JSON.stringify(content).includes("ready")) throw new Error(`the command failed: ${JSON.stringify(content)}`);
  return performance.now() - at;
}
