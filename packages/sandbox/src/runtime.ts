import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { chmod, copyFile, link, readFile, realpath, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { VERSION as SDK_VERSION } from "@anthropic-ai/sdk/version";
import { makeDir, PASSAGE_MODE } from "./make-dir.ts";
import { bundleToolServer } from "./bundle-tool-server.ts";

/** Raise it when the content of the runtime directory changes for a reason the key below does not see. */
const RUNTIME_FORMAT = 1;
const SOURCES = ["./tool-server/main.ts", "./bundle-tool-server.ts"].map((path) => fileURLToPath(new URL(path, import.meta.url)));
const BASH = "/bin/bash";

/** What is mounted read-only into sandboxes at `/opt/sandbox0`, as a host directory. */
export interface Runtime {
  dir: string;
  /** A bash that its user may run and not read; see `makeRuntime`. */
  bashPath: string;
}

/**
 * Makes the runtime directory, once for each version of what goes into it; later starts find it ready. Safe to run in
 * two processes at the same time.
 * @param parent holds one directory a version; must be reachable for the users that sandboxes run as
 */
export async function prepareRuntime(parent: string): Promise<Runtime> {
  const dir = join(parent, await runtimeKey());
  const runtime: Runtime = { dir, bashPath: join(dir, "bin/bash") };
  if (await exists(join(dir, "tool-server.cjs"))) return runtime;
  makeDir(parent, PASSAGE_MODE);
  const draft = `${dir}.${process.pid}.draft`;
  await rm(draft, { recursive: true, force: true });
  await makeRuntime(draft);
  try {
    await rename(draft, dir);
  } catch (error) {
    // Another process was faster: its directory has the same content.
    if (!["EEXIST", "ENOTEMPTY"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
    await rm(draft, { recursive: true, force: true });
  }
  return runtime;
}

async function runtimeKey(): Promise<string> {
  const [node, bash] = await Promise.all([stat(process.execPath), stat(BASH)]);
  const sources = await Promise.all(SOURCES.map((path) => readFile(path)));
  const facts = [RUNTIME_FORMAT, SDK_VERSION, process.version, node.size, node.mtimeMs, bash.size, bash.mtimeMs];
  return createHash("sha256").update(JSON.stringify(facts)).update(Buffer.concat(sources)).digest("hex").slice(0, 16);
}

async function makeRuntime(dir: string): Promise<void> {
  makeDir(dir, 0o755);
  makeDir(join(dir, "bin"), 0o755);
  await Promise.all([
    writeToolServer(join(dir, "tool-server.cjs")),
    copyNode(join(dir, "bin/node")),
    copyBash(join(dir, "bin/bash")),
  ]);
}

async function writeToolServer(target: string): Promise<void> {
  await writeFile(target, await bundleToolServer());
  await chmod(target, 0o644);
}

/** A hard link where possible: the file has 120 MB. */
async function copyNode(target: string): Promise<void> {
  const source = await realpath(process.execPath);
  try {
    await link(source, target);
  } catch (error) {
    if (!["EXDEV", "EPERM", "EACCES", "EMLINK"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
    await copyFile(source, target, constants.COPYFILE_FICLONE);
    await chmod(target, 0o755);
  }
}

/**
 * The kernel makes a process undumpable when its user may not read its program. Then a background command cannot reach
 * the shell of the bash tool through /proc/<pid>/fd, mem or environ although both run as the same user, and cannot put
 * words into the mouth of a later call.
 */
async function copyBash(target: string): Promise<void> {
  await copyFile(await realpath(BASH), target);
  await chmod(target, 0o111);
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return false;
      throw error;
    },
  );
}
