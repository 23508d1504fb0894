import { createHash } from "node:crypto";
import { constants, existsSync } from "node:fs";
import { chmod, copyFile, link, lstat, readdir, readlink, realpath, rename, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { makeDir, PASSAGE_MODE } from "../make-dir.ts";
import { SandboxError } from "../port.ts";
import type { SandboxProgram } from "../programs.ts";
import { isReachableForAll, isRoot } from "./host.ts";

interface TreeEntry {
  /** Below the tree's root; empty: the root itself. */
  path: string;
  type: "file" | "directory" | "symlink";
  mode: number;
  facts: string;
}

/**
 * The program's directory where the users that sandboxes run as can read it: its own, or, when that is closed to them
 * (below `/root`, or installed with a narrow umask), one with the same files in `parent`, made once for each version.
 * Safe to run in two processes at the same time.
 * @throws SandboxError `unavailable`
 */
export async function openProgram(program: SandboxProgram, parent: string): Promise<SandboxProgram> {
  const directory = await realpath(program.directory).catch((error: NodeJS.ErrnoException) => {
    throw new SandboxError("unavailable", `the program at ${program.directory} is not there any more: ${error.message}`);
  });
  // Run by a user, sandboxes are that user and read what the server reads.
  if (!isRoot()) return { ...program, directory };
  const entries = await listTree(directory);
  if (isReachableForAll(directory) && entries.every(isOpenForAll)) return { ...program, directory };
  const dir = join(parent, treeKey(directory, entries));
  if (!existsSync(dir)) await makeCopy(directory, entries, dir, parent);
  return { ...program, directory: dir };
}

async function makeCopy(source: string, entries: readonly TreeEntry[], dir: string, parent: string): Promise<void> {
  makeDir(parent, PASSAGE_MODE);
  const draft = `${dir}.${process.pid}.draft`;
  await rm(draft, { recursive: true, force: true });
  for (const entry of entries) await copyEntry(source, entry, join(draft, entry.path));
  try {
    await rename(draft, dir);
  } catch (error) {
    // Another process was faster: its directory has the same content.
    if (!["EEXIST", "ENOTEMPTY"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
    await rm(draft, { recursive: true, force: true });
  }
}

/** A hard link where possible: such files have hundreds of megabytes. */
async function copyEntry(sourceDir: string, entry: TreeEntry, target: string): Promise<void> {
  const source = join(sourceDir, entry.path);
  if (entry.type === "directory") return makeDir(target, 0o755);
  if (entry.type === "symlink") return symlink(await readlink(source), target);
  if (isOpenForAll(entry) && (await tryLink(source, target))) return;
  await copyFile(source, target, constants.COPYFILE_FICLONE);
  await chmod(target, (entry.mode & 0o100) === 0 ? 0o644 : 0o755);
}

async function tryLink(source: string, target: string): Promise<boolean> {
  try {
    await link(source, target);
    return true;
  } catch (error) {
    if (!["EXDEV", "EPERM", "EACCES", "EMLINK"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
    return false;
  }
}

async function listTree(root: string): Promise<TreeEntry[]> {
  const paths = ["", ...(await readdir(root, { recursive: true })).sort()];
  const entries = await Promise.all(paths.map((path) => readEntry(root, path)));
  return entries.flatMap((entry) => entry ?? []);
}

async function readEntry(root: string, path: string): Promise<TreeEntry | null> {
  const entry = await lstat(join(root, path));
  const facts = `${path} ${entry.mode} ${entry.size} ${entry.mtimeMs}`;
  if (entry.isDirectory()) return { path, type: "directory", mode: entry.mode, facts };
  if (entry.isSymbolicLink()) return { path, type: "symlink", mode: entry.mode, facts };
  return entry.isFile() ? { path, type: "file", mode: entry.mode, facts } : null;
}

/** Others may do what the owner may, writing aside. */
function isOpenForAll({ type, mode }: TreeEntry): boolean {
  if (type === "symlink") return true;
  const wanted = type === "directory" ? 0o5 : 0o4 | ((mode & 0o100) === 0 ? 0 : 0o1);
  return (mode & wanted) === wanted;
}

function treeKey(directory: string, entries: readonly TreeEntry[]): string {
  const facts = entries.filter(({ type }) => type !== "directory").map((entry) => entry.facts);
  return createHash("sha256")
    .update(JSON.stringify([directory, ...facts]))
    .digest("hex")
    .slice(0, 16);
}
