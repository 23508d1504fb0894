import { type Stats, fstatSync, lstatSync, openSync, readdirSync, readlinkSync, constants, closeSync } from "node:fs";
import { entryOf, openEntry, pathOf } from "./open-entry.ts";

/** Directories in directories; each that is open takes a file descriptor. */
export const DEPTH_MAX = 400;

/** Of a path from the root of the walk: the system's PATH_MAX. No program can name what lies beyond, but from a directory on the way. */
export const PATH_BYTES_MAX = 4096;

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
  /** Told of what is left out with all that is in it, and why. */
  omit(path: string, reason: string): void;
}

/**
 * Walks the trees of `names` below `root`, each directory before what is in it and names by their bytes. No symbolic link
 * is followed, not even one that takes a directory's place while the walk goes on; what vanishes is left out. Between two
 * entries the directories on the way are open.
 */
export function* walkTrees(root: string, names: readonly string[], options: WalkOptions): Generator<Found, void, undefined> {
  const fd = openSync(root, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    for (const name of [...names].sort()) yield* walkEntry({ fd, path: "", depth: 0 }, name, options);
  } finally {
    closeSync(fd);
  }
}

const TOO_DEEP = `more than ${DEPTH_MAX} directories deep`;
const TOO_LONG = `a path of more than ${PATH_BYTES_MAX} bytes`;

interface OpenDirectory {
  fd: number;
  /** Ends with a slash, but for the root, which has "". */
  path: string;
  depth: number;
}

function* walkEntry(dir: OpenDirectory, name: string, options: WalkOptions): Generator<Found, void, undefined> {
  const path = dir.path + name;
  // A character is a byte.
  if (path.length > PATH_BYTES_MAX) return options.omit(path, TOO_LONG);
  const found = look(dir, name, path);
  if (found === null) return;
  yield found;
  if (!found.stat.isDirectory()) return;
  if (dir.depth >= DEPTH_MAX) return options.omit(path, TOO_DEEP);
  const inner = unlessGone(() => openEntry(dir.fd, name));
  if (inner === null) return;
  try {
    // What is open may be a file by now.
    if (!fstatSync(inner.fd).isDirectory()) return;
    const below = { fd: inner.fd, path: `${path}/`, depth: dir.depth + 1 };
    const names = readdirSync(pathOf(inner.fd), { encoding: "latin1" }).sort();
    for (const each of names) yield* walkEntry(below, each, options);
  } finally {
    inner.close();
  }
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
