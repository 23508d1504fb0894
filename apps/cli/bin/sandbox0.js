#!/usr/bin/env node
// The door of the CLI, in JavaScript that an old Node still reads: the project runs on Node 24, which npm has put beside
// its dependencies. Started by an older Node, this starts itself again under that one and passes signals on.
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import module from "node:module";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const NODE_MAJOR_MIN = 24;
const PARENT_CHECK_MS = 200;
const here = dirname(fileURLToPath(import.meta.url));

/** The nearest `node_modules` above this file that npm has linked the packaged Node into. */
function findModules() {
  for (let folder = here; ; folder = dirname(folder)) {
    const candidate = join(folder, "node_modules");
    if (existsSync(join(candidate, ".bin", "node"))) return candidate;
    if (dirname(folder) === folder) return undefined;
  }
}

/**
 * Half of a start is turning TypeScript into code: the next one finds it done. Beside the code, where only those can write
 * who can change the code as well; where we cannot, every start does it anew.
 */
function keepCompiledCode() {
  const modules = findModules();
  if (modules !== undefined) module.enableCompileCache(join(modules, ".cache", "sandbox0"));
}

/**
 * npx runs its command in a shell and gives a signal to that shell only, which dies and leaves us running. So under npm,
 * and only there, a parent that is gone is a hang-up.
 */
function hangUpWithParent() {
  if (process.env.npm_command === undefined || process.connected) return;
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    process.kill(process.pid, "SIGHUP");
  }, PARENT_CHECK_MS);
  timer.unref();
}

/** By any Node, and before anything else can go wrong: whoever asks may be about to report a fault. */
function printVersion() {
  console.log(JSON.parse(readFileSync(join(here, "..", "package.json"), "utf8")).version);
}

function relaunch(node) {
  // The channel lets the child see this process die by any signal, SIGKILL too, and stop as well.
  const child = spawn(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
    stdio: ["inherit", "inherit", "inherit", "ipc"],
  });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, () => {
      // A terminal's Ctrl-C has reached the child already: the whole process group gets it.
      if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
    });
  }
  child.on("error", (error) => {
    console.error(`sandbox0: cannot start ${node}: ${error.message}. Install sandbox0's npm dependencies again.`);
    process.exit(1);
  });
  child.on("exit", (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
}

async function start() {
  if (process.connected) {
    process.once("disconnect", () => process.kill(process.pid, "SIGHUP"));
    process.channel.unref();
  }
  keepCompiledCode();
  const { main } = await import(pathToFileURL(join(here, "..", "src", "main.ts")).href);
  process.exitCode = await main(process.argv.slice(2), { stdout: process.stdout, stderr: process.stderr });
}

hangUpWithParent();
if (["--version", "-v"].includes(process.argv[2])) {
  printVersion();
} else if (Number(process.versions.node.split(".")[0]) >= NODE_MAJOR_MIN) {
  start().catch((error) => {
    console.error(error);
    process.exit(1);
  });
} else {
  const modules = findModules();
  if (modules === undefined) {
    console.error(
      `sandbox0: needs Node ${NODE_MAJOR_MIN} or newer, this is ${process.version}: install that, or sandbox0 with npm's optional dependencies ('make setup' in a checkout), which bring it.`,
    );
    process.exit(1);
  }
  relaunch(join(modules, ".bin", "node"));
}
