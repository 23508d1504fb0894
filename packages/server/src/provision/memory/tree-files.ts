import type { FileFacts, GuardedDir, Owner } from "./guarded-dir.ts";

/** In the place of one file. More are left to the agent. */
const EMPTY_DIRS_MAX = 50;

/** Files of a guarded tree by the paths of memories: `/notes/plan.md`. */

/** @returns `null` when there is no file that can be read; see `GuardedDir.read` */
export function readAt(root: GuardedDir, path: string, bytesMax: number): { bytes: Buffer; facts: FileFacts } | null {
  return inDirOf(root, path, (dir, name) => dir.read(name, bytesMax));
}

export function lookAt(root: GuardedDir, path: string): FileFacts | null {
  return inDirOf(root, path, (dir, name) => dir.look(name));
}

/**
 * Puts a file of the host's at the path, over the one that is there, and makes the directories that it lacks.
 * @returns false when something of the sandbox's is in the way
 */
export function receiveAt(root: GuardedDir, path: string, source: string, owner: Owner): boolean {
  const [name = "", ...above] = segmentsOf(path).reverse();
  return (
    within(
      root,
      above.reverse(),
      (dir, segment) => dir.makeDir(segment, owner),
      // Nothing but empty directories is cleared away.
      (dir) => dir.receive(name, source) || (removeEmpty(dir, name) && dir.receive(name, source)),
    ) ?? false
  );
}

/** Removes a directory in which there is no file. @returns whether it is gone */
function removeEmpty(dir: GuardedDir, name: string | Buffer, left = { dirs: EMPTY_DIRS_MAX }): boolean {
  left.dirs -= 1;
  if (left.dirs < 0) return false;
  if (dir.removeDir(name)) return true;
  const below = dir.openDir(name);
  if (below === null) return false;
  try {
    for (const each of below.names()) if (!removeEmpty(below, each, left)) return false;
  } finally {
    below.close();
  }
  return dir.removeDir(name);
}

/** Removes a file, and the directories that are empty without it. */
export function removeAt(root: GuardedDir, path: string): void {
  const segments = segmentsOf(path);
  inDirOf(root, path, (dir, name) => dir.unlink(name));
  for (let length = segments.length - 1; length > 0; length--) {
    const dirPath = `/${segments.slice(0, length).join("/")}`;
    if (inDirOf(root, dirPath, (dir, name) => dir.removeDir(name)) !== true) return;
  }
}

const segmentsOf = (path: string): string[] => path.slice(1).split("/");

function inDirOf<T>(root: GuardedDir, path: string, work: (dir: GuardedDir, name: string) => T): T | null {
  const [name = "", ...above] = segmentsOf(path).reverse();
  return within(
    root,
    above.reverse(),
    (dir, segment) => dir.openDir(segment),
    (dir) => work(dir, name),
  );
}

/** @returns `null` when one of the directories is not there */
function within<T>(
  root: GuardedDir,
  segments: readonly string[],
  step: (dir: GuardedDir, segment: string) => GuardedDir | null,
  work: (dir: GuardedDir) => T,
): T | null {
  const [segment, ...rest] = segments;
  if (segment === undefined) return work(root);
  const dir = step(root, segment);
  if (dir === null) return null;
  try {
    return within(dir, rest, step, work);
  } finally {
    dir.close();
  }
}
