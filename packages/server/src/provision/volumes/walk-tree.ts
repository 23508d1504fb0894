import { closeSync, constants, fstatSync, lstatSync, opendirSync, openSync, readlinkSync, type Stats } from "node:fs";
import { entryOf, openEntry, pathOf } from "./open-entry.ts";
import { TooManyEntries } from "./too-many-entries.ts";

/** In one volume, whatever they are. */
const ENTRIES_MAX = 1_000_000;
/** Directories in directories; each that is open takes a file descriptor. */
const DEPTH_MAX = 400;

/** Of a path from the root of the walk: the system's PATH_MAX. No program can name what lies beyond, but from a directory on the way. */
const PATH_BYTES_MAX = 4096;

const NAMES_AT_ONCE = 1_024;

/** Something in a tree, while the walk is at it. */
export interface Found {
  /** From the root of the walk; bytes, as Latin-1. */
  path: string;
  /** Of the open directory that it is in. */
  dirFd: number;
  name: string;
  stat: Stats;
  /** Of a symbolic link; bytes, as Latin-1. */
  target: string;
}

export interface WalkOptions {
  /** Default {@link ENTRIES_MAX}. */
  entriesMax?: number | undefined;
  /** Told of what is left out with all that is in it, and why. */
  omit(path: string, reason: string): void;
}

/**
 * Walks the trees of `names` below `root`, each directory before what is in it and names by their bytes. No symbolic link
 * is followed, not even one that takes a directory's place while the walk goes on; what vanishes is left out. Between two
 * entries the directories on the way are open, and in memory are the names in them.
 * @throws TooManyEntries as soon as it has read the names of more, before it looks at what they are
 */
export function* walkTrees(root: string, names: readonly string[], options: WalkOptions): Generator<Found, void, undefined> {
  const { entriesMax = ENTRIES_MAX, omit } = options;
  const walk = { entriesMax, entries: names.length, omit };
  const fd = openSync(root, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    for (const name of [...names].sort()) yield* walkEntry(walk, { fd, path: "", depth: 0 }, name);
  } finally {
    closeSync(fd);
  }
}

const TOO_DEEP = `more than ${DEPTH_MAX} directories deep`;
const TOO_LONG = `a path of more than ${PATH_BYTES_MAX} bytes`;

interface Walk {
  entriesMax: number;
  /** Read of until now. */
  entries: number;
  omit: WalkOptions["omit"];
}

interface OpenDirectory {
  fd: number;
  /** Ends with a slash, but for the root, which has "". */
  path: string;
  depth: number;
}

function* walkEntry(walk: Walk, dir: OpenDirectory, name: string): Generator<Found, void, undefined> {
  const path = dir.path + name;
  // A character is a byte.
  if (path.length > PATH_BYTES_MAX) return walk.omit(path, TOO_LONG);
  const found = look(dir, name, path);
  if (found === null) return;
  yield found;
  if (!found.stat.isDirectory()) return;
  if (dir.depth >= DEPTH_MAX) return walk.omit(path, TOO_DEEP);
  const inner = unlessGone(() => openEntry(dir.fd, name));
  if (inner === null) return;
  try {
    // What is open may be a file by now.
    if (!fstatSync(inner.fd).isDirectory()) return;
    const below = { fd: inner.fd, path: `${path}/`, depth: dir.depth + 1 };
    for (const each of readNames(walk, inner.fd)) yield* walkEntry(walk, below, each);
  } finally {
    inner.close();
  }
}

/** By their bytes, as Latin-1. One by one: a session can make tens of millions of names in a directory. */
function readNames(walk: Walk, fd: number): string[] {
  const names: string[] = [];
  // As bytes, because Node looks at entries of which the file system does not say what they are; its types know only of text.
  const entries = opendirSync(pathOf(fd), { encoding: "buffer" as BufferEncoding, bufferSize: NAMES_AT_ONCE });
  try {
    for (let entry = entries.readSync(); entry !== null; entry = entries.readSync()) {
      if (++walk.entries > walk.entriesMax)
        throw new TooManyEntries(`there are more than ${walk.entriesMax} files and directories`);
      names.push((entry.name as unknown as Buffer).toString("latin1"));
    }
  } finally {
    entries.closeSync();
  }
  return names.sort();
}

function look(dir: OpenDirectory, name: string, path: string): Found | null {
  return unlessGone(() => {
    const stat = lstatSync(entryOf(dir.fd, name));
    const target = stat.isSymbolicLink() ? readlinkSync(entryOf(dir.fd, name), { encoding: "latin1" }) : "";
    return { path, dirFd: dir.fd, name, stat, target };
  });
}

/** What a session changes while it is looked at is as if it had never been there; the next walk finds what it is now. */
const CHANGED = new Set(["ENOENT", "ELOOP", "ENOTDIR", "EINVAL", "ENXIO"]);

export function unlessGone<T>(work: () => T): T | null {
  try {
    return work();
  } catch (error) {
    if (CHANGED.has((error as NodeJS.ErrnoException).code ?? "")) return null;
    throw error;
  }
}
