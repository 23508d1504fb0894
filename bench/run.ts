/**
 * Measures the figures of bench/README.md: one JSON line each as it comes, a table beside the budgets at the end. Nothing
 * is asserted about time; an operation that fails is an error, and the exit code is 1.
 *
 * Usage: node bench/run.ts [name ...]   (default: all)
 */
import { availableParallelism, loadavg, totalmem } from "node:os";
import { agents } from "./figures/agents.ts";
import { appendToStream, durableAppends } from "./figures/appends.ts";
import { consolePages } from "./figures/console.ts";
import { forks } from "./figures/forks.ts";
import { gateway } from "./figures/gateway.ts";
import { harnesses } from "./figures/harnesses.ts";
import { idleSessions } from "./figures/idle-sessions.ts";
import { manyAtOnce, manyWithBash } from "./figures/many-sessions.ts";
import { checkpoints, packageBases, resources } from "./figures/resources.ts";
import { recovery } from "./figures/recovery.ts";
import { sandboxes } from "./figures/sandboxes.ts";
import { serverStart } from "./figures/server-start.ts";
import { streams } from "./figures/streams.ts";
import { timeToFirstToken, turnWithBash, turnWithoutTool } from "./figures/turns.ts";
import type { Figure } from "./figure.ts";
import { type Bench, withRunContext } from "./run-context.ts";
import { table } from "./table.ts";

/** In this order: what is sensitive to a machine that is warm, or full of sandboxes, comes first. */
const BENCHES: Record<string, Bench> = {
  start: serverStart,
  "first-token": timeToFirstToken,
  turn: turnWithoutTool,
  "append-to-stream": appendToStream,
  append: durableAppends,
  agents,
  bash: turnWithBash,
  "many-bash": manyWithBash,
  forks,
  sandbox: sandboxes,
  gateway,
  resources,
  checkpoints,
  "package-bases": packageBases,
  streams,
  harnesses,
  "many-turns": manyAtOnce,
  idle: idleSessions,
  recovery,
  console: consolePages,
};
const GIB = 1024 ** 3;

/** Figures mean little without what they were measured on, and how busy it was with other things. */
function machine(): Record<string, unknown> {
  const [load = 0] = loadavg();
  return {
    name: "machine",
    cores: availableParallelism(),
    memoryGib: Math.round(totalmem() / GIB),
    node: process.version,
    loadBefore: Number(load.toFixed(2)),
  };
}

async function main(names: readonly string[]): Promise<void> {
  const unknown = names.filter((name) => !(name in BENCHES));
  if (unknown.length > 0) throw new Error(`no such figure: ${unknown.join(", ")}; there are: ${Object.keys(BENCHES).join(", ")}`);
  console.log(JSON.stringify(machine()));
  const figures: Figure[] = [];
  await withRunContext(async (context) => {
    for (const [name, bench] of Object.entries(BENCHES)) {
      if (names.length > 0 && !names.includes(name)) continue;
      try {
        for (const figure of await bench(context)) {
          figures.push(figure);
          console.log(JSON.stringify(figure));
        }
      } catch (error) {
        process.exitCode = 1;
        console.error(`${name}: an operation failed`, error);
      }
    }
  });
  console.log(`\n${table(figures)}`);
}

await main(process.argv.slice(2));
