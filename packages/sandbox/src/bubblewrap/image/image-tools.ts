import { createHash } from "node:crypto";
import { chmod, copyFile, realpath, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { makeDir, PASSAGE_MODE } from "../../make-dir.ts";
import { copyAs, copyWithLibraries, PROGRAM_MODE } from "./copy-program.ts";
import { LOADER_PATH } from "./own-loader.ts";

/** Raise it when the content of the directory changes for a reason the key below does not see. */
const TOOLS_FORMAT = 1;
const UNPACKER = fileURLToPath(new URL("./main.ts", import.meta.url));
/** As in the plain runtime: its user may run it and not read it. */
const SHELL_MODE = 0o111;
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
  for (const [name, path] of Object.entries(programs)) {
    const loader = await copyWithLibraries(path, join(draft, "bin", name));
    if (loader !== null) await copyAs(loader, join(draft, basename(LOADER_PATH)), PROGRAM_MODE);
  }
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
