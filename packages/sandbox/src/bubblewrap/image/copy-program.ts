import { execFile } from "node:child_process";
import { chmod, copyFile, readFile, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";
import { SandboxError } from "../../port.ts";
import { HELPER_ENV } from "../host.ts";
import { useOwnLoader } from "./own-loader.ts";

const run = promisify(execFile);
export const PROGRAM_MODE = 0o755;
const LIBRARY_MODE = 0o644;
/** `\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)`, as the loader lists what it would load. */
const LISTED = /^\t(\S+) => (\/\S.*) \(0x[0-9a-f]+\)$/gm;

/**
 * Copies a program of the host so that it runs in any image, with the libraries that it needs beside it.
 * @returns the loader that it had; `null`: it needs none
 * @throws SandboxError `unavailable` for one of another kind
 */
export async function copyWithLibraries(path: string, to: string): Promise<string | null> {
  const program = await readFile(path);
  let loader: string | null;
  try {
    loader = useOwnLoader(program);
  } catch (error) {
    const why = (error as Error).message;
    throw new SandboxError("unavailable", `sandboxes here can have no image: ${path}: ${why}`, { cause: error });
  }
  await writeFile(to, program);
  await chmod(to, PROGRAM_MODE);
  if (loader === null) return null;
  const { stdout } = await run(loader, ["--list", path], { env: HELPER_ENV });
  for (const [, wanted = "", found = ""] of stdout.matchAll(LISTED)) {
    await copyAs(found, join(dirname(to), basename(wanted)), LIBRARY_MODE);
  }
  return loader;
}

export async function copyAs(path: string, to: string, mode: number): Promise<void> {
  await copyFile(path, to);
  await chmod(to, mode);
}
