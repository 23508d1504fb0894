import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { HARNESS_PROGRAMS_DIR } from "@sandbox0/sandbox";
import type { HarnessProgram } from "../port.ts";

/** Of the package that holds the program for Linux, by the processor's name in Node. Sandboxes are Linux. */
const TARGETS: Readonly<Record<string, string>> = { x64: "x86_64-unknown-linux-musl", arm64: "aarch64-unknown-linux-musl" };

/** Below `HarnessProgram.directory`. */
export const CODEX_BINARY = "bin/codex";

/** The Codex program that is installed here, or a sentence that says why there is none. */
export function findCodexProgram(): HarnessProgram | { unavailable: string } {
  const target = TARGETS[process.arch];
  if (process.platform !== "linux" || target === undefined) {
    return {
      unavailable: `Codex runs in Linux sandboxes on x64 and arm64, and this machine is ${process.platform} ${process.arch}.`,
    };
  }
  const name = `@openai/codex-linux-${process.arch}`;
  const manifest = findManifest(name);
  if (manifest === null) return { unavailable: "The package @openai/codex is not installed (npm install @openai/codex)." };
  const directory = join(dirname(manifest), "vendor", target);
  if (!existsSync(join(directory, CODEX_BINARY))) return { unavailable: `The package ${name} has no program for ${target}.` };
  const { version } = JSON.parse(readFileSync(manifest, "utf8")) as { version: string };
  // The version of the platform's package ends with the platform.
  return { version: version.replace(/-linux-.*$/, ""), directory, mountedAt: `${HARNESS_PROGRAMS_DIR}/codex` };
}

/** The program is in a package of its own, one for each platform, which @openai/codex depends on. */
function findManifest(name: string): string | null {
  try {
    const codex = createRequire(import.meta.url).resolve("@openai/codex/package.json");
    return createRequire(codex).resolve(`${name}/package.json`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "MODULE_NOT_FOUND") return null;
    throw error;
  }
}
