import { createHash } from "node:crypto";
import type { Stats } from "node:fs";
import { LineWriter, readLines } from "./line-file.ts";
import {
  comparePaths,
  decodeEntry,
  encodeEntry,
  type FileEntry,
  type ManifestBlob,
  type ManifestEntry,
  ZEROS,
} from "./manifest.ts";
import { NumberedBlobs } from "./numbered-blobs.ts";
import { identityOf, microseconds, readInto, readUnchanged, safeIdentityOf } from "./read-content.ts";
import { DEPTH_MAX, type Found, walkTrees } from "./walk-tree.ts";

/** A larger file has blobs of its own. */
export const SMALL_BYTES_MAX = 256 * 1024;
/** Small files are stored together, up to so much of them: 10,000 are not 10,000 blobs. */
export const PACK_BYTES = 8 * 1024 * 1024;
/** Of a large file; only those that have changed are stored again. */
export const CHUNK_BYTES = 8 * 1024 * 1024;
/** Blobs that are being stored while the next one is read; each is in memory. */
const STORES_AT_ONCE = 2;
/** A pack of which less is still used is left: its files are packed anew. */
const PACK_USED_MIN = 0.3;
/** In one volume. */
export const ENTRIES_MAX = 1_000_000;
/** A file with holes is read to its end like any other: a larger one is left out. */
export const SPARSE_BYTES_MAX = 32 * 1024 ** 3;
/** What was left out is named so often, and counted. */
const OMISSIONS_SHOWN = 10;
const BLOCK_BYTES = 512;

export interface CaptureJob {
  root: string;
  /** Of directories below the root. */
  names: readonly string[];
  /** The last capture of this volume; `null`: everything is read. */
  previous: { blobs: readonly ManifestBlob[]; entriesPath: string } | null;
  /** Where the entries of this one go. */
  entriesPath: string;
}

export interface Captured {
  blobs: ManifestBlob[];
  entries: number;
  /** Of the files, as `ls` shows them. */
  bytes: number;
  /** Stored by this one. */
  storedBytes: number;
  /** Whether anything differs from the last one. */
  hasChanged: boolean;
  /** What is not in it, and why. */
  omitted: { count: number; shown: string[] };
}

/** The volume has more than {@link ENTRIES_MAX} entries. */
export class TooManyEntries extends Error {
  readonly code = "too_many_entries";
  constructor() {
    super(`there are more than ${ENTRIES_MAX} files and directories`);
    this.name = "TooManyEntries";
  }
}

/**
 * Writes down what the files of a volume are and stores the content that is not stored yet. Blocks its thread.
 * @param store keeps the content, which becomes its own, and answers with its hash
 * @throws TooManyEntries, what `store` and `checkStopped` throw
 */
export async function captureTree(
  job: CaptureJob,
  store: (content: Uint8Array<ArrayBuffer>) => Promise<string>,
  checkStopped: () => void,
): Promise<Captured> {
  const capture = new Capture(job, store);
  try {
    for (const found of walkTrees(job.root, job.names, { onTooDeep: (path) => capture.omit(path, TOO_DEEP) })) {
      checkStopped();
      await capture.take(found);
    }
    return await capture.finish();
  } finally {
    capture.close();
  }
}

const TOO_DEEP = `more than ${DEPTH_MAX} directories deep`;
const TOO_SPARSE = `a file with holes of more than ${SPARSE_BYTES_MAX / 1024 ** 3} GiB`;

class Capture {
  readonly #previous: PreviousEntries;
  readonly #blobs: NumberedBlobs;
  readonly #lines: LineWriter;
  readonly #storing: Stores;
  /** The first name of files that have several, by inode. */
  readonly #linked = new Map<string, string>();
  readonly #omitted = { count: 0, shown: [] as string[] };
  #pack: { number: number; content: Buffer<ArrayBuffer>; length: number } | null = null;
  #entries = 0;
  #bytes = 0;
  #hasChanged: boolean;

  constructor({ previous, entriesPath }: CaptureJob, store: (content: Uint8Array<ArrayBuffer>) => Promise<string>) {
    this.#previous = new PreviousEntries(previous?.entriesPath ?? null);
    this.#blobs = new NumberedBlobs(previous?.blobs ?? [], PACK_USED_MIN);
    this.#lines = new LineWriter(entriesPath);
    this.#storing = new Stores(this.#blobs, store);
    this.#hasChanged = previous === null;
  }

  async take(found: Found): Promise<void> {
    const { path, stat } = found;
    const before = this.#previous.at(path);
    const mtimeUs = microseconds(stat.mtimeMs);
    if (stat.isDirectory()) this.#add(before, { type: "directory", path, mode: modeOf(stat), mtimeUs });
    else if (stat.isSymbolicLink()) this.#add(before, { type: "symlink", path, mtimeUs, target: found.target });
    // Pipes, sockets and devices are nothing without the processes that made them.
    else if (stat.isFile()) await this.#takeFile(found, before);
  }

  omit(path: string, reason: string): void {
    this.#omitted.count++;
    if (this.#omitted.shown.length < OMISSIONS_SHOWN)
      this.#omitted.shown.push(`${Buffer.from(path, "latin1").toString("utf8")} (${reason})`);
  }

  async finish(): Promise<Captured> {
    await this.#closePack();
    await this.#storing.all();
    if (this.#previous.hasMore()) this.#hasChanged = true;
    return {
      blobs: this.#blobs.used(),
      entries: this.#entries,
      bytes: this.#bytes,
      storedBytes: this.#storing.bytes,
      hasChanged: this.#hasChanged,
      omitted: this.#omitted,
    };
  }

  close(): void {
    this.#previous.close();
    this.#lines.close();
  }

  async #takeFile(found: Found, before: ManifestEntry | null): Promise<void> {
    const { path, stat } = found;
    if (stat.nlink > 1) {
      const inode = `${stat.dev}:${stat.ino}`;
      const target = this.#linked.get(inode);
      if (target !== undefined) return this.#add(before, { type: "hardlink", path, target });
      this.#linked.set(inode, path);
    }
    const known = before?.type === "small" || before?.type === "large" ? this.#unchanged(stat, before) : null;
    if (known !== null) return this.#addFile(before, known);
    const hasHoles = stat.size > SPARSE_BYTES_MAX && stat.blocks * BLOCK_BYTES < stat.size;
    if (hasHoles && stat.blocks > 0) return this.omit(path, TOO_SPARSE);
    const read = stat.size <= SMALL_BYTES_MAX ? await this.#readSmall(found) : await this.#readLarge(found);
    if (read !== null) this.#addFile(before, read);
  }

  /** What the last capture knows of the file, if that is still so. */
  #unchanged(stat: Stats, before: FileEntry): FileEntry | null {
    const isSame =
      before.identity !== "" &&
      before.identity === identityOf(stat) &&
      before.sizeBytes === stat.size &&
      before.mtimeUs === microseconds(stat.mtimeMs);
    if (!isSame || (before.type === "small" && this.#blobs.isWasted(before.blob))) return null;
    return before;
  }

  async #readSmall(found: Found): Promise<FileEntry | null> {
    const startedAtMs = Date.now();
    const read = await readUnchanged(found, (fd, sizeBytes) => {
      if (sizeBytes > SMALL_BYTES_MAX) return null;
      const content = Buffer.allocUnsafe(sizeBytes);
      readInto(fd, content, 0);
      return content;
    });
    if (read === null) return null;
    const { content } = read;
    // It has grown since the walk came to it.
    if (content === null) return this.#readLarge(found);
    const placed = content.length === 0 ? { blob: ZEROS, offset: 0 } : await this.#putInPack(content);
    const identity = read.isStable ? safeIdentityOf(read.stat, startedAtMs) : "";
    return { type: "small", ...stamp(found, read.stat), sizeBytes: content.length, ...placed, identity };
  }

  async #putInPack(content: Uint8Array): Promise<{ blob: number; offset: number }> {
    if (this.#pack !== null && this.#pack.length + content.length > PACK_BYTES) await this.#closePack();
    this.#pack ??= { number: this.#blobs.add(0), content: Buffer.from(new ArrayBuffer(PACK_BYTES)), length: 0 };
    const { number, length } = this.#pack;
    this.#pack.content.set(content, length);
    this.#pack.length += content.length;
    return { blob: number, offset: length };
  }

  async #closePack(): Promise<void> {
    const pack = this.#pack;
    if (pack === null) return;
    this.#pack = null;
    await this.#storing.add(pack.number, pack.content.subarray(0, pack.length));
  }

  async #readLarge(found: Found): Promise<FileEntry | null> {
    const startedAtMs = Date.now();
    const isHole = found.stat.blocks === 0;
    const read = await readUnchanged(found, async (fd, sizeBytes) => {
      const chunks: number[] = [];
      for (let at = 0; at < sizeBytes; at += CHUNK_BYTES)
        chunks.push(isHole ? ZEROS : await this.#readChunk(fd, at, Math.min(CHUNK_BYTES, sizeBytes - at)));
      return { chunks, sizeBytes };
    });
    if (read === null) return null;
    const identity = read.isStable ? safeIdentityOf(read.stat, startedAtMs) : "";
    return { type: "large", ...stamp(found, read.stat), ...read.content, identity };
  }

  async #readChunk(fd: number, position: number, length: number): Promise<number> {
    const content = Buffer.from(new ArrayBuffer(length));
    readInto(fd, content, position);
    if (isZeros(content)) return ZEROS;
    const sha256 = createHash("sha256").update(content).digest("hex");
    const known = this.#blobs.numberOf(sha256);
    if (known !== undefined) return known;
    const number = this.#blobs.add(length);
    this.#blobs.setContent(number, sha256, length);
    await this.#storing.add(number, content);
    return number;
  }

  #addFile(before: ManifestEntry | null, file: FileEntry): void {
    this.#bytes += file.sizeBytes;
    if (file.type === "small" && file.blob !== ZEROS) this.#blobs.use(file.blob, file.sizeBytes);
    if (file.type === "large")
      file.chunks.forEach((number, index) => {
        if (number !== ZEROS) this.#blobs.use(number, Math.min(CHUNK_BYTES, file.sizeBytes - index * CHUNK_BYTES));
      });
    this.#add(before, file);
  }

  #add(before: ManifestEntry | null, entry: ManifestEntry): void {
    if (++this.#entries > ENTRIES_MAX) throw new TooManyEntries();
    // What is the same is the line that it was.
    const line = entry === before ? this.#previous.lastLine : encodeEntry(entry);
    if (entry !== before && line !== this.#previous.lastLine && !isSame(before, entry)) this.#hasChanged = true;
    this.#lines.write(line);
  }
}

/** But for what only this host can say of it. */
function isSame(a: ManifestEntry | null, b: ManifestEntry): boolean {
  const anonymous = (entry: ManifestEntry): ManifestEntry => ("identity" in entry ? { ...entry, identity: "" } : entry);
  return a !== null && encodeEntry(anonymous(a)) === encodeEntry(anonymous(b));
}

function modeOf({ mode }: Stats): number {
  return mode & 0o7777;
}

/** The mode as the walk found it: a file that is closed to its owner is open while it is read. */
function stamp({ path, stat }: Found, read: Stats): { path: string; mode: number; mtimeUs: number } {
  return { path, mode: modeOf(stat), mtimeUs: microseconds(read.mtimeMs) };
}

function isZeros(content: Buffer): boolean {
  return content[0] === 0 && content.subarray(1).equals(content.subarray(0, -1));
}

/** Stores blobs while the next ones are read. */
class Stores {
  readonly #blobs: NumberedBlobs;
  readonly #store: (content: Uint8Array<ArrayBuffer>) => Promise<string>;
  readonly #pending = new Set<Promise<void>>();
  bytes = 0;

  constructor(blobs: NumberedBlobs, store: (content: Uint8Array<ArrayBuffer>) => Promise<string>) {
    this.#blobs = blobs;
    this.#store = store;
  }

  async add(number: number, content: Uint8Array<ArrayBuffer>): Promise<void> {
    while (this.#pending.size >= STORES_AT_ONCE) await Promise.race(this.#pending);
    const { length } = content;
    this.bytes += length;
    const task = this.#store(content).then((sha256) => {
      this.#blobs.setContent(number, sha256, length);
      // One that failed stays, for whoever looks next.
      this.#pending.delete(task);
    });
    task.catch(() => undefined);
    this.#pending.add(task);
  }

  async all(): Promise<void> {
    await Promise.all(this.#pending);
  }
}

/** The entries of the last capture, in the order in which the walk asks for them. */
class PreviousEntries {
  readonly #lines: Iterator<string> & { return?(): unknown };
  #next: ManifestEntry | null = null;
  #nextLine = "";
  /** Of the entry that `at` found last. */
  lastLine = "";
  #hasSkipped = false;

  constructor(path: string | null) {
    this.#lines = path === null ? [][Symbol.iterator]() : readLines(path);
    this.#advance();
  }

  at(path: string): ManifestEntry | null {
    for (let entry = this.#next; entry !== null; entry = this.#next) {
      const order = comparePaths(entry.path, path);
      if (order > 0) return null;
      this.lastLine = this.#nextLine;
      this.#advance();
      if (order === 0) return entry;
      this.#hasSkipped = true;
    }
    return null;
  }

  /** Entries that the walk has not come to: they are gone. */
  hasMore(): boolean {
    return this.#hasSkipped || this.#next !== null;
  }

  close(): void {
    this.#lines.return?.();
  }

  #advance(): void {
    const { value, done } = this.#lines.next();
    this.#nextLine = done ? "" : value;
    this.#next = done ? null : decodeEntry(value);
  }
}
