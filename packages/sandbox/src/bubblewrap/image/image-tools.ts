import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { chmod, copyFile, readFile, realpath, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { makeDir, PASSAGE_MODE } from "../../make-dir.ts";
import { SandboxError } from "../../port.ts";
import { HELPER_ENV } from "../host.ts";
import { useOwnLoader } from "./own-loader.ts";

const run = promisify(execFile);
/** Raise it when the content of the directory changes for a reason the key below does not see. */
const TOOLS_FORMAT = 1;
const UNPACKER = fileURLToPath(new URL("./main.ts", import.meta.url));
/** As in the plain runtime: its user may run it and not read it. */
const SHELL_MODE = 0o111;
const PROGRAM_MODE = 0o755;
/** `\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)`, as the loader lists what it would load. */
const LISTED = /^\t(\S+) => (\/\S.*) \(0x[0-9a-f]+\)$/gm;

/** In the directory. */
export const UNPACKER_NAME = "unpack-image.cjs";

export interface ImageToolsSource {
  /** Of sandboxes without an image: the tool server is the same. */
  runtimeDir: string;
  socat: string;
  bash: string;
}

/**
 * What is shown at `/opt/sandbox0` in place of the runtime where a sandbox has an image: the same programs, able to run over any
 * root, and the unpacker of images. Made once for each version of what goes into it.
 * @param parent holds one directory a version
 * @throws SandboxError `unavailable` where the host's programs are of no kind that can be made so
 */
export async function prepareImageTools(parent: string, source: ImageToolsSource): Promise<string> {
  const programs = {
    node: await realpath(process.execPath),
    socat: await realpath(source.socat),
    bash: await realpath(source.bash),
  };
  const unpacker = await bundleUnpacker();
  const dir = join(parent, await toolsKey(source, Object.values(programs), unpacker));
  if (await isThere(join(dir, UNPACKER_NAME))) return dir;
  makeDir(parent, PASSAGE_MODE);
  const draft = `${dir}.${process.pid}.draft`;
  await rm(draft, { recursive: true, force: true });
  makeDir(draft, 0o755);
  makeDir(join(draft, "bin"), 0o755);
  for (const [name, path] of Object.entries(programs)) await copyProgram(name, path, draft);
  await chmod(join(draft, "bin/bash"), SHELL_MODE);
  await copyFile(join(source.runtimeDir, "tool-server.cjs"), join(draft, "tool-server.cjs"));
  await writeFile(join(draft, UNPACKER_NAME), unpacker);
  await chmod(join(draft, UNPACKER_NAME), 0o644);
  await rename(draft, dir).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST" && error.code !== "ENOTEMPTY") throw error;
    // Another process was faster: its directory has the same content.
    await rm(draft, { recursive: true });
  });
  return dir;
}

async function toolsKey({ runtimeDir }: ImageToolsSource, programs: readonly string[], unpacker: string): Promise<string> {
  const stats = await Promise.all(programs.map((path) => stat(path)));
  const facts = [TOOLS_FORMAT, basename(runtimeDir), stats.map(({ size, mtimeMs }) => [size, mtimeMs])];
  return createHash("sha256").update(JSON.stringify(facts)).update(unpacker).digest("hex").slice(0, 16);
}

/** With its loader, and its libraries beside it. */
async function copyProgram(name: string, path: string, dir: string): Promise<void> {
  const program = await readFile(path);
  let loader: string | null;
  try {
    loader = useOwnLoader(program);
  } catch (error) {
    const why = (error as Error).message;
    throw new SandboxError("unavailable", `sandboxes here can have no image: ${path}: ${why}`, { cause: error });
  }
  await writeFile(join(dir, "bin", name), program);
  await chmod(join(dir, "bin", name), PROGRAM_MODE);
  if (loader === null) return;
  await copyFor(loader, join(dir, "ld"), PROGRAM_MODE);
  const { stdout } = await run(loader, ["--list", path], { env: HELPER_ENV });
  for (const [, wanted = "", found = ""] of stdout.matchAll(LISTED)) {
    await copyFor(found, join(dir, "bin", basename(wanted)), 0o644);
  }
}

async function copyFor(path: string, to: string, mode: number): Promise<void> {
  await copyFile(path, to);
  await chmod(to, mode);
}

async function bundleUnpacker(): Promise<string> {
  const { rolldown } = await import("rolldown");
  const build = await rolldown({
    input: UNPACKER,
    platform: "node",
    logLevel: "silent",
    treeshake: { moduleSideEffects: false },
  });
  const { output } = await build.generate({ format: "cjs", minify: true, codeSplitting: false });
  await build.close();
  return output[0].code;
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return false;
      throw error;
    },
  );
}
