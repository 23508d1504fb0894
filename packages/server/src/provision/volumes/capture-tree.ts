import { createHash } from "node:crypto";
import { fstatSync, type Stats } from "node:fs";
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
import { TooManyEntries } from "./too-many-entries.ts";
import { type Found, walkTrees } from "./walk-tree.ts";

/** A larger file has blobs of its own: each costs the store some milliseconds, whatever is in it. */
export const SMALL_BYTES_MAX = 1024 * 1024;
/** Small files are stored together, up to so much of them: 10,000 are not 10,000 blobs. */
export const PACK_BYTES = 8 * 1024 * 1024;
/** Of a large file; only those that have changed are stored again. */
export const CHUNK_BYTES = 8 * 1024 * 1024;
const BLOB_BYTES = Math.max(PACK_BYTES, CHUNK_BYTES);
/** Blobs that are being stored while the next one is read; each is in memory. Most of it is waiting for the disk. */
const STORES_AT_ONCE = 4;
/** A pack of which less is still used is left: its files are packed anew. */
const PACK_USED_MIN = 0.3;
/** Of holes, which are read like content, in all files of one capture: files beyond that are left out. One without content is none. */
export const HOLE_BYTES_MAX = 16 * 1024 ** 3;
/** Of the lines about a volume's entries, which this server writes for a session and stores again with each change. */
const MANIFEST_BYTES_MAX = 256 * 1024 ** 2;
/** What was left out is named so often, and counted. */
const OMISSIONS_SHOWN = 10;
/** Of a path in a notice, which is for people. */
const SHOWN_BYTES_MAX = 200;
const BLOCK_BYTES = 512;

/** For tests. */
export interface CaptureBounds {
  /** Default {@link HOLE_BYTES_MAX}. */
  holeBytesMax?: number;
  /** Default: a million. */
  entriesMax?: number;
  /** Default {@link MANIFEST_BYTES_MAX}. */
  manifestBytesMax?: number;
}

export interface CaptureJob extends CaptureBounds {
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

/**
 * Writes down what the files of a volume are and stores the content that is not stored yet. Blocks its thread.
 * @param store keeps the content, which becomes its own and has this hash
 * @throws TooManyEntries, what `store` and `checkStopped` throw
 */
export async function captureTree(job: CaptureJob, store: Store, checkStopped: () => void): Promise<Captured> {
  const capture = new Capture(job, store, checkStopped);
  try {
    const options = { entriesMax: job.entriesMax, omit: (path: string, reason: string) => capture.omit(path, reason) };
    for (const found of walkTrees(job.root, job.names, options)) {
      checkStopped();
      await capture.take(found);
    }
    return await capture.finish();
  } finally {
    capture.close();
  }
}

/** @returns the memory of the content, when it is no longer needed there; `null`: it stays there */
type Store = (content: Uint8Array<ArrayBuffer>, sha256: string) => Promise<ArrayBuffer | null>;

const TOO_SPARSE = `files with holes of more than ${HOLE_BYTES_MAX / 1024 ** 3} GiB together`;

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
  readonly #checkStopped: () => void;
  #holeBytesLeft: number;
  readonly #manifestBytesMax: number;
  #manifestBytes = 0;

  constructor(job: CaptureJob, store: Store, checkStopped: () => void) {
    const { previous, entriesPath, holeBytesMax = HOLE_BYTES_MAX, manifestBytesMax = MANIFEST_BYTES_MAX } = job;
    this.#checkStopped = checkStopped;
    this.#holeBytesLeft = holeBytesMax;
    this.#manifestBytesMax = manifestBytesMax;
    this.#previous = new PreviousEntries(previous?.entriesPath ?? null);
    this.#blobs = new NumberedBlobs(previous?.blobs ?? [], PACK_USED_MIN);
    this.#lines = new LineWriter(entriesPath);
    this.#storing = new Stores(store);
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
    if (this.#omitted.shown.length === OMISSIONS_SHOWN) return;
    const shown = Buffer.from(path.slice(0, SHOWN_BYTES_MAX), "latin1").toString("utf8");
    this.#omitted.shown.push(`${shown}${path.length > SHOWN_BYTES_MAX ? "…" : ""} (${reason})`);
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
    this.#pack ??= { number: this.#blobs.add(0), content: Buffer.from(this.#storing.memory()), length: 0 };
    const { number, length } = this.#pack;
    this.#pack.content.set(content, length);
    this.#pack.length += content.length;
    return { blob: number, offset: length };
  }

  async #closePack(): Promise<void> {
    const pack = this.#pack;
    if (pack === null) return;
    this.#pack = null;
    const content = pack.content.subarray(0, pack.length);
    const sha256 = hashOf(content);
    this.#blobs.setContent(pack.number, sha256, content.length);
    await this.#storing.add(content, sha256);
  }

  async #readLarge(found: Found): Promise<FileEntry | null> {
    const startedAtMs = Date.now();
    const read = await readUnchanged(found, async (fd, sizeBytes) => {
      const chunks = await this.#readChunks(fd, sizeBytes);
      return chunks === null ? null : { chunks, sizeBytes };
    });
    if (read === null) return null;
    if (read.content === null) {
      this.omit(found.path, TOO_SPARSE);
      return null;
    }
    const identity = read.isStable ? safeIdentityOf(read.stat, startedAtMs) : "";
    return { type: "large", ...stamp(found, read.stat), ...read.content, identity };
  }

  /** Without the zeros at the end. `null`: it has too many holes. */
  async #readChunks(fd: number, sizeBytes: number): Promise<number[] | null> {
    const { blocks } = fstatSync(fd);
    if (blocks === 0) return [];
    const holeBytes = Math.max(0, sizeBytes - blocks * BLOCK_BYTES);
    if (holeBytes > this.#holeBytesLeft) return null;
    this.#holeBytesLeft -= holeBytes;
    const chunks: number[] = [];
    for (let at = 0; at < sizeBytes; at += CHUNK_BYTES) {
      this.#checkStopped();
      chunks.push(await this.#readChunk(fd, at, Math.min(CHUNK_BYTES, sizeBytes - at)));
    }
    return chunks.slice(0, chunks.findLastIndex((number) => number !== ZEROS) + 1);
  }

  async #readChunk(fd: number, position: number, length: number): Promise<number> {
    const memory = this.#storing.memory();
    const content = Buffer.from(memory, 0, length);
    readInto(fd, content, position);
    const sha256 = isZeros(content) ? null : hashOf(content);
    const known = sha256 === null ? ZEROS : this.#blobs.numberOf(sha256);
    if (sha256 === null || known !== undefined) {
      this.#storing.giveBack(memory);
      return known ?? ZEROS;
    }
    const number = this.#blobs.add(length);
    this.#blobs.setContent(number, sha256, length);
    await this.#storing.add(content, sha256);
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
    this.#entries++;
    // What is the same is the line that it was.
    const line = entry === before ? this.#previous.lastLine : encodeEntry(entry);
    if (entry !== before && line !== this.#previous.lastLine && !isSame(before, entry)) this.#hasChanged = true;
    this.#manifestBytes += Buffer.byteLength(line) + 1;
    if (this.#manifestBytes > this.#manifestBytesMax)
      throw new TooManyEntries(`the list of the files takes more than ${this.#manifestBytesMax} bytes`);
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

function hashOf(content: Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

/** Stores blobs while the next ones are read, in the same memory: fresh one costs half as much as all the rest. */
class Stores {
  readonly #store: Store;
  readonly #pending = new Set<Promise<void>>();
  readonly #free: ArrayBuffer[] = [];
  bytes = 0;

  constructor(store: Store) {
    this.#store = store;
  }

  /** For one blob, with whatever is in it. */
  memory(): ArrayBuffer {
    return this.#free.pop() ?? new ArrayBuffer(BLOB_BYTES);
  }

  giveBack(memory: ArrayBuffer): void {
    this.#free.push(memory);
  }

  async add(content: Uint8Array<ArrayBuffer>, sha256: string): Promise<void> {
    while (this.#pending.size >= STORES_AT_ONCE) await Promise.race(this.#pending);
    this.bytes += content.length;
    // One that failed stays, for whoever looks next.
    const task = this.#store(content, sha256).then((memory) => {
      this.#pending.delete(task);
      if (memory !== null) this.giveBack(memory);
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
