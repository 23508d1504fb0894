import { createHash } from "node:crypto";
import {
  chmodSync,
  closeSync,
  fchmodSync,
  fstatSync,
  ftruncateSync,
  futimesSync,
  lstatSync,
  lutimesSync,
  openSync,
  writeSync,
} from "node:fs";
import { CHUNK_BYTES } from "./capture-tree.ts";
import { LineWriter, readLines } from "./line-file.ts";
import {
  decodeEntry,
  type DirectoryEntry,
  encodeEntry,
  type FileEntry,
  type HardLinkEntry,
  type LargeFileEntry,
  type ManifestBlob,
  type SmallFileEntry,
  type SymlinkEntry,
  ZEROS,
} from "./manifest.ts";
import { identityOf, readInto } from "./read-content.ts";
import { type FileOwner, TreeWriter } from "./tree-writer.ts";

const US_PER_SECOND = 1_000_000;
/** Each is in memory. */
const FETCHES_AT_ONCE = 3;

/** Content, or where it is on this machine's disk: then it is read there. */
export type BlobContent = { content: Uint8Array } | { path: string };

export interface RestoreJob {
  root: string;
  owner: FileOwner;
  /** A manifest, from its head on. */
  manifestPath: string;
  /** Those of its head. */
  blobs: readonly ManifestBlob[];
  /** Where they go as they are on this host now, for the next capture. */
  entriesPath: string;
}

/**
 * Makes the files of a manifest in a volume in which there are none, and in which nothing runs. Blocks its thread; memory is
 * for the entries, and for a few blobs. What it leaves when it fails is half a volume.
 * @param fetch one of the manifest's blobs
 */
export async function restoreTree(job: RestoreJob, fetch: Fetch, checkStopped: () => void): Promise<void> {
  const tree = new TreeWriter(job.root, job.owner);
  try {
    const plan = makeDirectories(job.manifestPath, tree);
    const content = new FetchedAhead(contentOrder(plan), fetch, new BlobReader(job.blobs), checkStopped);
    for (const [blob, files] of plan.packs) {
      const pack = blob === ZEROS ? new Uint8Array() : await content.next();
      for (const file of files) writeSmall(tree, file, pack);
    }
    for (const file of plan.large) await writeLarge(tree, file, content);
    for (const { path, target } of plan.hardLinks) tree.makeHardLink(path, target);
    // Behind all files: no path of theirs can lead through one.
    for (const { path, target, mtimeUs } of plan.symlinks) {
      tree.makeSymlink(path, target);
      lutimesSync(tree.at(path), seconds(mtimeUs), seconds(mtimeUs));
    }
    writeIdentities(job, tree);
    for (const { path, mode, mtimeUs } of plan.directories.reverse()) {
      chmodSync(tree.at(path), mode);
      lutimesSync(tree.at(path), seconds(mtimeUs), seconds(mtimeUs));
    }
  } finally {
    tree.close();
  }
}

type Fetch = (blob: number) => Promise<BlobContent>;

/** What comes back from the store is what went there, or an Error. */
class BlobReader {
  readonly #hashes: ReadonlyMap<number, string>;
  /** For content on this machine's disk: fresh memory would cost more than the reading. */
  #buffer: Buffer = Buffer.alloc(0);

  constructor(blobs: readonly ManifestBlob[]) {
    this.#hashes = new Map(blobs.map(({ number, sha256 }) => [number, sha256]));
  }

  /** @returns the blob's content, until the next one is read */
  read(blob: number, found: BlobContent): Uint8Array {
    const content = "path" in found ? this.#readFile(found.path) : found.content;
    const sha256 = createHash("sha256").update(content).digest("hex");
    if (sha256 !== this.#hashes.get(blob)) throw new Error(`blob ${this.#hashes.get(blob)} has another content than it should`);
    return content;
  }

  #readFile(path: string): Uint8Array {
    const fd = openSync(path, "r");
    try {
      const { size } = fstatSync(fd);
      if (this.#buffer.length < size) this.#buffer = Buffer.allocUnsafe(size);
      const content = this.#buffer.subarray(0, size);
      readInto(fd, content, 0);
      return content;
    } finally {
      closeSync(fd);
    }
  }
}

/** The blobs of small files, then those of large ones, each as often as it is needed. */
function contentOrder({ packs, large }: Plan): number[] {
  return [...packs.keys(), ...large.flatMap(({ chunks }) => chunks)].filter((blob) => blob !== ZEROS);
}

/** Content in the order in which it is needed; what comes next is on its way while the last is written. */
class FetchedAhead {
  readonly #left: number[];
  readonly #fetch: Fetch;
  readonly #reader: BlobReader;
  readonly #checkStopped: () => void;
  readonly #coming: { blob: number; found: Promise<BlobContent> }[] = [];

  constructor(order: readonly number[], fetch: Fetch, reader: BlobReader, checkStopped: () => void) {
    this.#left = order.toReversed();
    this.#fetch = fetch;
    this.#reader = reader;
    this.#checkStopped = checkStopped;
  }

  /** @returns content that is good until it is asked for the next */
  async next(): Promise<Uint8Array> {
    while (this.#coming.length < FETCHES_AT_ONCE && this.#left.length > 0) {
      const blob = this.#left.pop() as number;
      const found = this.#fetch(blob);
      // Whoever comes to it hears of it; after a failure nobody does.
      found.catch(() => undefined);
      this.#coming.push({ blob, found });
    }
    const { blob, found } = this.#coming.shift() as { blob: number; found: Promise<BlobContent> };
    this.#checkStopped();
    return this.#reader.read(blob, await found);
  }
}

interface Plan {
  directories: DirectoryEntry[];
  /** By the blob that they are in: each is fetched once. */
  packs: Map<number, SmallFileEntry[]>;
  large: LargeFileEntry[];
  hardLinks: HardLinkEntry[];
  symlinks: SymlinkEntry[];
}

/** Those behind the manifest's head. */
function* entryLines(manifestPath: string): Generator<string, void, undefined> {
  let isHead = true;
  for (const line of readLines(manifestPath)) {
    if (!isHead) yield line;
    isHead = false;
  }
}

function makeDirectories(manifestPath: string, tree: TreeWriter): Plan {
  const plan: Plan = { directories: [], packs: new Map(), large: [], hardLinks: [], symlinks: [] };
  for (const line of entryLines(manifestPath)) {
    const entry = decodeEntry(line);
    switch (entry.type) {
      case "directory":
        tree.makeDirectory(entry.path);
        plan.directories.push(entry);
        break;
      case "small": {
        const files = plan.packs.get(entry.blob);
        if (files === undefined) plan.packs.set(entry.blob, [entry]);
        else files.push(entry);
        break;
      }
      case "large":
        plan.large.push(entry);
        break;
      case "hardlink":
        plan.hardLinks.push(entry);
        break;
      case "symlink":
        plan.symlinks.push(entry);
        break;
    }
  }
  return plan;
}

function writeSmall(tree: TreeWriter, file: SmallFileEntry, content: Uint8Array): void {
  const end = file.offset + file.sizeBytes;
  if (file.blob !== ZEROS && end > content.length) throw new Error(`blob ${file.blob} of a manifest is too short`);
  tree.makeFile(file.path, (fd) => {
    if (file.blob !== ZEROS) writeAll(fd, content.subarray(file.offset, end), 0);
    finish(fd, file);
  });
}

async function writeLarge(tree: TreeWriter, file: LargeFileEntry, content: FetchedAhead): Promise<void> {
  const fd = tree.createFile(file.path);
  try {
    // What is not written is a hole, of zeros.
    ftruncateSync(fd, file.sizeBytes);
    for (const [index, blob] of file.chunks.entries()) {
      if (blob !== ZEROS) writeAll(fd, await content.next(), index * CHUNK_BYTES);
    }
    finish(fd, file);
  } finally {
    closeSync(fd);
  }
}

function writeAll(fd: number, content: Uint8Array, position: number): void {
  for (let at = 0; at < content.length; ) at += writeSync(fd, content, at, content.length - at, position + at);
}

function finish(fd: number, { mode, mtimeUs }: FileEntry): void {
  fchmodSync(fd, mode);
  futimesSync(fd, seconds(mtimeUs), seconds(mtimeUs));
}

const seconds = (us: number): number => us / US_PER_SECOND;

/** So that the next capture reads none of it again. Nothing runs in the volume: nothing can have changed. */
function writeIdentities({ manifestPath, entriesPath }: RestoreJob, tree: TreeWriter): void {
  const lines = new LineWriter(entriesPath);
  try {
    for (const line of entryLines(manifestPath)) {
      const entry = decodeEntry(line);
      if (entry.type !== "small" && entry.type !== "large") lines.write(line);
      else {
        const stat = lstatSync(tree.at(entry.path));
        lines.write(encodeEntry({ ...entry, identity: identityOf(stat) }));
      }
    }
  } finally {
    lines.close();
  }
}
