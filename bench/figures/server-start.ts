import { startServerProcess } from "../../test/crash/server-process.ts";
import { type Figure, times } from "../figure.ts";
import type { RunContext } from "../run-context.ts";

const FIRST_STARTS = 3;
const LATER_STARTS = 5;

/** From the start of the process until it says that it listens; the first one makes the database. */
export async function serverStart({ directory }: RunContext): Promise<Figure[]> {
  const first: number[] = [];
  const later: number[] = [];
  let dataDir = "";
  for (let start = 0; start < FIRST_STARTS; start++) {
    dataDir = await directory();
    first.push(await startOnce(dataDir));
  }
  for (let start = 0; start < LATER_STARTS; start++) later.push(await startOnce(dataDir));
  return [
    times("server ready, first start", first, { p50Max: 3000 }),
    times("server ready, later starts", later, { p50Max: 1000 }),
  ];
}

async function startOnce(dataDir: string): Promise<number> {
  const startedAt = performance.now();
  const server = await startServerProcess({ SANDBOX0_DATA_DIR: dataDir });
  const ready = performance.now() - startedAt;
  server.signal("SIGTERM");
  const code = await server.exited;
  if (code !== 0) throw new Error(`the server ended with ${code}\n${server.output()}`);
  return ready;
}
