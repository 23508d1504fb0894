import { createWriteStream } from "node:fs";
import { chmod, lstat, mkdir, readdir, rename, rm, utimes } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { Blobs } from "../../blobs/blobs.ts";

/** Files that are written at the same time. */
const WRITES_MAX = 8;
/** Everybody may read; the mount keeps the sandbox from more, and on a server that is root so does the owner. */
const FILE_MODE = 0o444;
const DIRECTORY_MODE = 0o755;

export interface UploadedFile {
  /** Below the directory, without `.`, `..` or empty names. */
  path: string;
  sha256: string;
  sizeBytes: number;
  /** Tells two files at one place apart, with the size: it becomes the time of the last change. */
  givenAt: Date;
}

export interface UploadDirs {
  /** Sandboxes only read in here. */
  uploads: string;
  /** On the same file system; no sandbox sees it. */
  incoming: string;
}

/**
 * Makes a directory hold exactly these files. What is there already is known by its size and time, and not read again. A
 * file appears whole. @throws BlobMissing, BlobsUnavailable, and what the file system says
 */
export async function fillUploads(
  blobs: Pick<Blobs, "open">,
  dirs: UploadDirs,
  files: readonly UploadedFile[],
  signal: AbortSignal,
): Promise<void> {
  const missing = await keepOnly(dirs.uploads, new Map(files.map((file) => [file.path, file])));
  if (missing.length === 0) return;
  // What a server left that died here.
  await rm(dirs.incoming, { recursive: true, force: true });
  await mkdir(dirs.incoming, { mode: 0o700 });
  try {
    for (const directory of parentsOf(missing)) await makeDirectory(join(dirs.uploads, directory));
    const queue = missing.entries();
    const work = async (): Promise<void> => {
      for (const [index, file] of queue) {
        signal.throwIfAborted();
        await writeFile(blobs, join(dirs.incoming, String(index)), join(dirs.uploads, file.path), file, signal);
      }
    };
    const workers = await Promise.allSettled(Array.from({ length: WRITES_MAX }, work));
    for (const worker of workers) if (worker.status === "rejected") throw worker.reason;
  } finally {
    await rm(dirs.incoming, { recursive: true, force: true });
  }
}

/** Removes what is not wanted. @returns what is wanted and not there */
async function keepOnly(root: string, wanted: ReadonlyMap<string, UploadedFile>): Promise<UploadedFile[]> {
  const missing = new Map(wanted);
  const directories = new Set(parentsOf([...wanted.values()]));
  const visit = async (directory: string): Promise<void> => {
    for (const entry of await readdir(join(root, directory), { withFileTypes: true })) {
      const path = join(directory, entry.name);
      if (entry.isDirectory() && directories.has(path)) {
        await visit(path);
        continue;
      }
      const file = entry.isFile() ? wanted.get(path) : undefined;
      if (file !== undefined && (await isThere(join(root, path), file))) missing.delete(path);
      else await rm(join(root, path), { recursive: true, force: true });
    }
  };
  await visit("");
  return [...missing.values()];
}

async function isThere(path: string, { sizeBytes, givenAt }: UploadedFile): Promise<boolean> {
  const found = await lstat(path);
  return found.size === sizeBytes && Math.round(found.mtimeMs) === givenAt.getTime();
}

/** Every directory on the way to the files, the outer ones first. */
function parentsOf(files: readonly UploadedFile[]): string[] {
  const parents = new Set<string>();
  for (const { path } of files) for (let parent = dirname(path); parent !== "."; parent = dirname(parent)) parents.add(parent);
  return [...parents].sort((a, b) => a.length - b.length);
}

/** With exactly this mode, whatever the server's umask is. */
async function makeDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true });
  await chmod(path, DIRECTORY_MODE);
}

async function writeFile(
  blobs: Pick<Blobs, "open">,
  incoming: string,
  place: string,
  file: UploadedFile,
  signal: AbortSignal,
): Promise<void> {
  await pipeline(await blobs.open(file.sha256), createWriteStream(incoming, { flags: "wx", mode: 0o600 }), { signal });
  await chmod(incoming, FILE_MODE);
  await utimes(incoming, file.givenAt, file.givenAt);
  await rename(incoming, place);
}
