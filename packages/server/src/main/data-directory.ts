import { mkdir, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { ConfigError } from "./config.ts";
import { hasCode } from "./has-code.ts";

const MODE = 0o755;

/**
 * Makes the data directory, and those above it, where they are missing.
 * @throws ConfigError when it cannot be: said at once, before anything is started
 */
export async function makeDataDirectory(path: string): Promise<void> {
  try {
    await make(path);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw new ConfigError([`SANDBOX0_DATA_DIR: ${path} cannot be made: ${error.message}`]);
  }
}

/** Level by level: Node's own recursion never ends where a directory that is there has no room for another (`/proc`). */
async function make(path: string): Promise<void> {
  if (await isDirectory(path)) return;
  const parent = dirname(path);
  if (parent !== path) await make(parent);
  try {
    await mkdir(path, { mode: MODE });
  } catch (error) {
    // Another server may have been faster.
    if (!hasCode(error, "EEXIST") || !(await isDirectory(path))) throw error;
  }
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (!hasCode(error, "ENOENT")) throw error;
    return false;
  }
}
