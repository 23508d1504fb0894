import { isUtf8 } from "node:buffer";
import { createHash } from "node:crypto";
import { setImmediate as nextRound } from "node:timers/promises";
import {
  describeMemoryPathProblem,
  MEMORIES_PER_STORE_MAX,
  MEMORY_CONTENT_BYTES_MAX,
  MEMORY_PATH_SEGMENTS_MAX,
} from "@sandbox0/protocol";
import type { FileFacts, GuardedDir } from "./guarded-dir.ts";
import { readAt } from "./tree-files.ts";

/** Files and directories that are looked at in one store: 2,000 memories have 40,000 directories at most. */
export const ENTRIES_MAX = 50_000;
/** After so many files others get their turn. */
const FILES_A_ROUND = 64;
/** A file that changed so shortly before it was read may have changed behind it without a new time. */
const SAME_TIME_MS = 50;

/** A file that can be a memory. */
export interface LocalFile {
  sha256: string;
  /** Of the file that was read; `null` when a later change might have the same one. */
  stamp: string | null;
}

/** What is there and can not be a memory, with the reason: the end of a sentence. */
export interface Misfit {
  /** As it is shown: where the name is no text, something like it. */
  path: string;
  reason: string;
  /** Another one when the reason may be gone. */
  stamp: string;
}

/** What a session has made of a store. Paths are those of memories: `/notes/plan.md`. */
export interface LocalTree {
  files: Map<string, LocalFile>;
  misfits: Misfit[];
  /** There is more than is looked at: nothing is known but that. */
  isCut: boolean;
  /** Whether anything is at the path that could not be taken for what it is: nothing follows from its absence in `files`. */
  isUnclear(path: string): boolean;
}

interface Candidate {
  path: string;
  facts: FileFacts;
}

/**
 * Reads what a sandbox has made of the directory of a store, while it goes on. Links are not followed, nothing but regular
 * files is opened, and what is too large is not read.
 * @param known files as they were read before: those with the same stamp are not read again
 * @param entriesMax files and directories that are looked at
 */
export async function readLocalTree(
  root: GuardedDir,
  known: ReadonlyMap<string, LocalFile>,
  entriesMax: number,
): Promise<LocalTree> {
  const walk = new Walk(known, entriesMax);
  await walk.enter(root, "", 0);
  if (walk.isCut) return { files: new Map(), misfits: [], isCut: true, isUnclear: () => true };
  const { misfits, unclear } = walk;
  const files = new Map<string, LocalFile>();
  const [wanted, excess] = firstOfAll(walk.candidates, known);
  for (const { path, facts } of excess)
    misfits.push({ path, reason: `a store can have ${MEMORIES_PER_STORE_MAX} memories`, stamp: facts.stamp });
  let read = 0;
  for (const { path, facts } of wanted) {
    const before = known.get(path);
    if (before !== undefined && before.stamp === facts.stamp) {
      files.set(path, before);
      continue;
    }
    read += 1;
    if (read % FILES_A_ROUND === 0) await nextRound();
    const file = readCandidate(root, path);
    if (file === null) unclear.add(path);
    else if ("reason" in file) misfits.push(file);
    else files.set(path, file);
  }
  for (const { path } of misfits) unclear.add(path);
  return { files, misfits, isCut: false, isUnclear: (path) => hasAtOrAbove(unclear, path) };
}

/** No more than a store can have, and those that it has first; and the others. */
function firstOfAll(
  candidates: readonly Candidate[],
  known: ReadonlyMap<string, LocalFile>,
): [readonly Candidate[], readonly Candidate[]] {
  if (candidates.length <= MEMORIES_PER_STORE_MAX) return [candidates, []];
  const rank = ({ path }: Candidate): string => `${known.has(path) ? 0 : 1}${path}`;
  const sorted = candidates.toSorted((a, b) => (rank(a) < rank(b) ? -1 : 1));
  return [sorted.slice(0, MEMORIES_PER_STORE_MAX), sorted.slice(MEMORIES_PER_STORE_MAX)];
}

function readCandidate(root: GuardedDir, path: string): LocalFile | Misfit | null {
  const startedAtMs = Date.now();
  const read = readAt(root, path, MEMORY_CONTENT_BYTES_MAX);
  if (read === null) return null;
  const { bytes, facts } = read;
  const reason = describeContentProblem(bytes);
  if (reason !== null) return { path, reason, stamp: facts.stamp };
  const isSettled = facts.changedAtMs + SAME_TIME_MS < startedAtMs;
  return { sha256: sha256Of(bytes), stamp: isSettled ? facts.stamp : null };
}

/** What is wrong with the content of a file for a memory; the end of a sentence. */
export function describeContentProblem(bytes: Buffer): string | null {
  if (bytes.length > MEMORY_CONTENT_BYTES_MAX) return `a memory can have ${MEMORY_CONTENT_BYTES_MAX} bytes`;
  return isUtf8(bytes) ? null : "a memory is UTF-8 text";
}

export function sha256Of(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

class Walk {
  readonly candidates: Candidate[] = [];
  readonly misfits: Misfit[] = [];
  readonly unclear = new Set<string>();
  isCut = false;
  readonly #known: ReadonlyMap<string, LocalFile>;
  readonly #entriesMax: number;
  #entries = 0;

  constructor(known: ReadonlyMap<string, LocalFile>, entriesMax: number) {
    this.#known = known;
    this.#entriesMax = entriesMax;
  }

  async enter(dir: GuardedDir, prefix: string, depth: number): Promise<void> {
    for (const name of dir.names()) {
      this.#entries += 1;
      if (this.#entries > this.#entriesMax) this.isCut = true;
      if (this.isCut) return;
      if (this.#entries % FILES_A_ROUND === 0) await nextRound();
      await this.#take(dir, name, prefix, depth);
    }
  }

  async #take(dir: GuardedDir, bytes: Buffer, prefix: string, depth: number): Promise<void> {
    const isText = isUtf8(bytes);
    const text = bytes.toString("utf8");
    const name = isText ? text : bytes;
    const facts = dir.look(name);
    // It is gone again.
    if (facts === null) return;
    const path = `${prefix}/${text}`;
    const isGood = isText && this.#known.has(path);
    const reason = (isGood ? null : describeNameProblem(isText, path, depth)) ?? describeTypeProblem(facts);
    if (reason !== null) this.misfits.push({ path, reason, stamp: facts.stamp });
    else if (facts.type === "file") this.candidates.push({ path, facts });
    else await this.#descend(dir, name, path, depth);
  }

  async #descend(dir: GuardedDir, name: Buffer | string, path: string, depth: number): Promise<void> {
    const below = dir.openDir(name);
    if (below === null) {
      // Closed by its mode, or exchanged for something else.
      this.misfits.push({ path, reason: "its mode does not let it be read", stamp: dir.look(name)?.stamp ?? "" });
      return;
    }
    try {
      await this.enter(below, path, depth + 1);
    } finally {
      below.close();
    }
  }
}

function describeNameProblem(isText: boolean, path: string, depth: number): string | null {
  if (!isText) return "its name is not UTF-8";
  if (depth >= MEMORY_PATH_SEGMENTS_MAX) return `a path can have ${MEMORY_PATH_SEGMENTS_MAX} segments`;
  const problem = describeMemoryPathProblem(path);
  return problem === null ? null : `a path ${problem}`;
}

function describeTypeProblem({ type, bytes }: FileFacts): string | null {
  if (type === "symlink") return "it is a symbolic link";
  if (type === "other") return "it is not a regular file";
  if (type === "file" && bytes > MEMORY_CONTENT_BYTES_MAX) return `a memory can have ${MEMORY_CONTENT_BYTES_MAX} bytes`;
  return null;
}

function hasAtOrAbove(paths: ReadonlySet<string>, path: string): boolean {
  for (let end = path.length; end > 0; end = path.lastIndexOf("/", end - 1)) if (paths.has(path.slice(0, end))) return true;
  return false;
}
