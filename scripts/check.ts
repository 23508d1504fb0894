/**
 * `npm run check`: every static check, two at a time, each with its time; the output of those that fail at the end.
 * Exit code 1 if any fails.
 *
 * Usage: node scripts/check.ts [name ...]   (names of the checks to run; default all)
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { resolve } from "node:path";

const CHECKS_AT_ONCE = 2;
const ROOTS = ["packages", "apps", "test", "bench", "scripts"].filter((folder) => existsSync(folder));

/** Longest first, so that the short ones fill the second core. */
const CHECKS: Record<string, readonly string[]> = {
  types: ["tsc", "--noEmit", "--incremental", "--tsBuildInfoFile", "node_modules/.cache/check.tsbuildinfo"],
  // The console's code runs in browsers: other types, and JSX.
  console: [
    "tsc",
    "--noEmit",
    "--incremental",
    "-p",
    "apps/console",
    "--tsBuildInfoFile",
    "node_modules/.cache/console.tsbuildinfo",
  ],
  promises: ["oxlint", "--type-aware", "--deny-warnings", ...ROOTS],
  exports: ["knip", "--no-config-hints", "--include", "files,exports,types,unlisted,unresolved,duplicates"],
  imports: ["depcruise", "--config", ".dependency-cruiser.mjs", ...ROOTS],
  format: ["biome", "check", "--error-on-warnings", "."],
  tidy: ["node", "scripts/tidy.ts"],
};

interface Result {
  name: string;
  ok: boolean;
  output: string;
}

function run(name: string, [command = "", ...args]: readonly string[]): Promise<Result> {
  const startedAt = performance.now();
  return new Promise((settle, reject) => {
    const env = { ...process.env, PATH: `${resolve("node_modules/.bin")}:${process.env.PATH}` };
    const child = spawn(command, args, { env, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (chunk: string) => {
        output += chunk;
      });
    }
    child.on("error", reject);
    child.on("close", (code) => {
      const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
      console.log(`${code === 0 ? "ok  " : "FAIL"} ${name.padEnd(9)} ${seconds} s`);
      settle({ name, ok: code === 0, output });
    });
  });
}

async function main(names: readonly string[]): Promise<void> {
  const queue = Object.entries(CHECKS).filter(([name]) => names.length === 0 || names.includes(name));
  if (queue.length === 0) throw new Error(`No such check. There are: ${Object.keys(CHECKS).join(", ")}`);
  const results: Result[] = [];
  const lane = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) results.push(await run(...next));
  };
  await Promise.all(Array.from({ length: CHECKS_AT_ONCE }, lane));
  const failed = results.filter((result) => !result.ok);
  for (const { name, output } of failed) console.error(`\n--- ${name}\n${output.trimEnd()}`);
  if (failed.length > 0) process.exitCode = 1;
}

await main(process.argv.slice(2));
