import { accessSync, constants, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { HARNESS_PROGRAMS_DIR } from "@sandbox0/sandbox";
import type { HarnessProgram } from "../port.ts";

const SDK = "@anthropic-ai/claude-agent-sdk";
/** Where sandboxes see the program. */
export const CLAUDE_DIR = `${HARNESS_PROGRAMS_DIR}/claude`;
export const CLAUDE_PATH = `${CLAUDE_DIR}/claude`;

/** The installed Claude Code, as npm brought it for this platform; or why there is none, as a sentence. */
export function findClaudeProgram(): HarnessProgram | { unavailable: string } {
  if (process.platform !== "linux")
    return { unavailable: `The claude harness runs in Linux sandboxes, not on ${process.platform}.` };
  const packageName = `${SDK}-linux-${process.arch}`;
  const require = createRequire(import.meta.url);
  try {
    require.resolve(SDK);
    const manifest = require.resolve(`${packageName}/package.json`);
    const { version } = JSON.parse(readFileSync(manifest, "utf8")) as { version: string };
    const directory = dirname(manifest);
    accessSync(join(directory, "claude"), constants.X_OK);
    return { version, directory, mountedAt: CLAUDE_DIR };
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (!["MODULE_NOT_FOUND", "ERR_PACKAGE_PATH_NOT_EXPORTED", "ENOENT", "EACCES"].includes(code)) throw error;
    return { unavailable: `The claude harness needs the npm packages ${SDK} and ${packageName} (npm install ${SDK}).` };
  }
}
