import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, lstatSync } from "node:fs";
import { open, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { makeDir, PASSAGE_MODE } from "../../make-dir.ts";
import type { SandboxProgram } from "../../programs.ts";
import { HELPER_ENV } from "../host.ts";
import { copyWithLibraries } from "./copy-program.ts";
import { hasLoader } from "./own-loader.ts";

const run = promisify(execFile);
/** Raise it when copies are made in another way. */
const COPY_FORMAT = 1;
/** Of a file: where it says whether it needs a loader. */
const START_BYTES = 4096;

/**
 * The same programs, able to run in any image: those that need a loader as copies, made once for each version.
 * @param parent holds one directory a version
 * @throws SandboxError `unavailable`
 */
export async function prepareImagePrograms(parent: string, programs: readonly SandboxProgram[]): Promise<SandboxProgram[]> {
  const prepared: SandboxProgram[] = [];
  for (const program of programs) prepared.push({ ...program, directory: await ownCopy(parent, program.directory) });
  return prepared;
}

async function ownCopy(parent: string, directory: string): Promise<string> {
  const paths = (await readdir(directory, { recursive: true })).sort();
  const files = paths.map((path) => ({ path, entry: lstatSync(join(directory, path)) })).filter(({ entry }) => entry.isFile());
  const loaded = [];
  for (const { path, entry } of files) {
    if ((entry.mode & 0o111) !== 0 && hasLoader(await startOf(join(directory, path)))) loaded.push(path);
  }
  if (loaded.length === 0) return directory;
  const facts = files.map(({ path, entry }) => [path, entry.mode, entry.size, entry.mtimeMs]);
  const key = createHash("sha256")
    .update(JSON.stringify([COPY_FORMAT, directory, facts]))
    .digest("hex")
    .slice(0, 16);
  const dir = join(parent, key);
  if (existsSync(dir)) return dir;
  const draft = `${dir}.${process.pid}.draft`;
  makeDir(parent, PASSAGE_MODE);
  await rm(draft, { recursive: true, force: true });
  await run("cp", ["-a", "--", directory, draft], { env: HELPER_ENV });
  for (const path of loaded) {
    // Another file: the copy may be a link to the one that is there.
    await rm(join(draft, path));
    await copyWithLibraries(join(directory, path), join(draft, path));
  }
  await rename(draft, dir).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST" && error.code !== "ENOTEMPTY") throw error;
    // Another process was faster: its directory has the same content.
    await rm(draft, { recursive: true });
  });
  return dir;
}

async function startOf(path: string): Promise<Buffer> {
  const file = await open(path, "r");
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(START_BYTES), 0, START_BYTES, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
