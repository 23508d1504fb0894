import { randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { BlobMissing, type BlobRef, type BlobStore, BlobsUnavailable, type ByteRange, type StageOptions } from "./port.ts";
import { Measured } from "./measured.ts";

const DIRECTORY_MODE = 0o700;
const FILE_MODE = 0o600;
/** Why the disk has no room, as the system says it. */
const FULL = new Set(["ENOSPC", "EDQUOT", "EFBIG"]);

const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;

/**
 * Blobs as files: `objects/ab/abcdef…` by address, `staging/<uuid>` while they come. Servers that share the directory share
 * the blobs. Readable by this server's user only.
 */
export async function createDirectoryStore(path: string): Promise<BlobStore> {
  const objects = join(path, "objects");
  const staging = join(path, "staging");
  for (const each of [objects, staging]) await mkdir(each, { recursive: true, mode: DIRECTORY_MODE });
  const addressOf = (sha256: string): string => join(objects, sha256.slice(0, 2), sha256);
  return {
    async stage(source, options) {
      const file = join(staging, randomUUID());
      const ref = await writeWhole(file, source, options);
      return { ...ref, publish: () => publish(file, addressOf(ref.sha256)), discard: () => rm(file, { force: true }) };
    },
    get: (sha256, range) => read(sha256, addressOf(sha256), range),
    pathOf: addressOf,
    exists: (sha256) => exists(addressOf(sha256)),
    delete: (sha256) => rm(addressOf(sha256), { force: true }),
    sweep: (before) => sweep(staging, before),
    close: async () => undefined,
  };
}

/** Writes to the disk, not to its cache. Leaves no file when it fails. */
async function writeWhole(file: string, source: AsyncIterable<Uint8Array>, options: StageOptions): Promise<BlobRef> {
  const measured = new Measured(source, options);
  const handle = await open(file, "wx", FILE_MODE);
  try {
    for await (const chunk of measured) await writeChunk(handle, chunk);
    await flush(handle);
    return measured.ref;
  } catch (error) {
    await rm(file, { force: true });
    throw error;
  } finally {
    await handle.close();
  }
}

async function writeChunk(handle: FileHandle, chunk: Uint8Array): Promise<void> {
  try {
    for (let at = 0; at < chunk.byteLength; ) at += (await handle.write(chunk, at)).bytesWritten;
  } catch (error) {
    throw translate(error);
  }
}

async function flush(handle: FileHandle): Promise<void> {
  try {
    await handle.sync();
  } catch (error) {
    throw translate(error);
  }
}

function translate(error: unknown): unknown {
  return FULL.has(codeOf(error) ?? "") ? new BlobsUnavailable("full", error) : error;
}

/** Over what is there, which is the same. The name is on the disk when this resolves, and so is its directory's. */
async function publish(file: string, address: string): Promise<void> {
  const directory = dirname(address);
  try {
    const made = await mkdir(directory, { recursive: true, mode: DIRECTORY_MODE });
    if (made !== undefined) await syncDirectory(dirname(directory));
    await rename(file, address);
    await syncDirectory(directory);
  } catch (error) {
    throw translate(error);
  }
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function read(sha256: string, address: string, { start, end }: ByteRange = { start: 0 }): Promise<Readable> {
  if (end !== undefined && end <= start) {
    if (await exists(address)) return Readable.from([]);
    throw new BlobMissing(sha256);
  }
  try {
    const handle = await open(address, "r");
    return createReadStream("", { fd: handle, start, ...(end === undefined ? {} : { end: end - 1 }) });
  } catch (error) {
    throw codeOf(error) === "ENOENT" ? new BlobMissing(sha256, error) : error;
  }
}

async function exists(address: string): Promise<boolean> {
  try {
    await stat(address);
    return true;
  } catch (error) {
    if (codeOf(error) === "ENOENT") return false;
    throw error;
  }
}

async function sweep(staging: string, before: Date): Promise<number> {
  let removed = 0;
  for (const name of await readdir(staging)) {
    const file = join(staging, name);
    if (!(await isOlder(file, before))) continue;
    await rm(file, { force: true });
    removed += 1;
  }
  return removed;
}

/** A file that was published or discarded in between is no longer here to be old. */
async function isOlder(file: string, before: Date): Promise<boolean> {
  try {
    return (await stat(file)).mtime < before;
  } catch (error) {
    if (codeOf(error) === "ENOENT") return false;
    throw error;
  }
}
