import { type BigIntStats, closeSync, constants, fstatSync, lstatSync, opendirSync, openSync } from "node:fs";
import { setImmediate as nextTask } from "node:timers/promises";
import { entryOf, openEntry, pathOf } from "../volumes/open-entry.ts";
import { unlessGone } from "../volumes/walk-tree.ts";

/** Directories inside each other; what is beyond is not listed. */
const DEPTH_MAX = 32;
/** Of a path below the directory: it is a key in the database. */
const PATH_BYTES_MAX = 1_024;
/** Between so many the server does other things. */
const ENTRIES_AT_ONCE = 256;

export interface FoundOutput {
  /** Below the directory; a character a byte, since names need not be UTF-8. */
  path: string;
  sizeBytes: number;
  /** Another one whenever the content may be: no process of a sandbox can set the time of a change. */
  stamp: string;
}

export interface OutputScan {
  files: FoundOutput[];
  /** There were more entries than may be looked at. */
  isCut: boolean;
  /** What lies too deep, or has too long a path. */
  tooDeep: number;
}

/**
 * The regular files below a directory in which a session may write at the same time. No symbolic link is followed, so that
 * nothing outside is ever found; what vanishes is left out.
 */
export async function scanOutputs(root: string, entriesMax: number): Promise<OutputScan> {
  const scan: RunningScan = { files: [], isCut: false, tooDeep: 0, entriesLeft: entriesMax };
  const fd = openSync(root, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    await visit(scan, { fd, path: "", depth: 0 });
  } finally {
    closeSync(fd);
  }
  return { files: scan.files, isCut: scan.isCut, tooDeep: scan.tooDeep };
}

interface RunningScan extends OutputScan {
  entriesLeft: number;
}

interface OpenDirectory {
  fd: number;
  /** Ends with a slash, but for the root, which has "". */
  path: string;
  depth: number;
}

async function visit(scan: RunningScan, directory: OpenDirectory): Promise<void> {
  for (const [index, name] of (await readNames(scan, directory.fd)).entries()) {
    if (index % ENTRIES_AT_ONCE === ENTRIES_AT_ONCE - 1) await nextTask();
    const path = directory.path + name;
    const stat = unlessGone(() => lstatSync(entryOf(directory.fd, name), { bigint: true }));
    if (stat === null || !(stat.isFile() || stat.isDirectory())) continue;
    if (path.length > PATH_BYTES_MAX || (stat.isDirectory() && directory.depth >= DEPTH_MAX)) scan.tooDeep += 1;
    else if (stat.isFile()) scan.files.push({ path, sizeBytes: Number(stat.size), stamp: stampOf(stat) });
    else await visitInner(scan, directory, name);
  }
}

async function visitInner(scan: RunningScan, outer: OpenDirectory, name: string): Promise<void> {
  const inner = unlessGone(() => openEntry(outer.fd, name));
  if (inner === null) return;
  try {
    // What is open may be a file by now.
    if (!fstatSync(inner.fd).isDirectory()) return;
    await visit(scan, { fd: inner.fd, path: `${outer.path}${name}/`, depth: outer.depth + 1 });
  } finally {
    inner.close();
  }
}

/** In an order that is the same each time, and no more of them than may be looked at. */
async function readNames(scan: RunningScan, fd: number): Promise<string[]> {
  const names: string[] = [];
  const entries = opendirSync(pathOf(fd), { encoding: "latin1", bufferSize: ENTRIES_AT_ONCE });
  try {
    for (let entry = entries.readSync(); entry !== null; entry = entries.readSync()) {
      if (scan.entriesLeft === 0) {
        scan.isCut = true;
        break;
      }
      scan.entriesLeft -= 1;
      names.push(entry.name);
      if (names.length % ENTRIES_AT_ONCE === 0) await nextTask();
    }
  } finally {
    entries.closeSync();
  }
  return names.sort();
}

export function stampOf(stat: BigIntStats): string {
  return `${stat.ino}.${stat.size}.${stat.ctimeNs}`;
}
