import { fstatSync, readSync, type Stats } from "node:fs";
import { openEntry } from "./open-entry.ts";
import { type Found, unlessGone } from "./walk-tree.ts";

/** A file that changes while it is read is read so often; the last time it is taken as it came. */
export const READ_ATTEMPTS_MAX = 3;
/**
 * A file's times are no finer than the kernel's clock tick: one that changed this shortly before it was read may have changed
 * again since without a trace, and is read again next time.
 */
const TICK_MS = 100;

/** What was read of a file, as it was then. */
export interface ReadFile<Content> {
  stat: Stats;
  content: Content;
  /** It did not change meanwhile. */
  isStable: boolean;
}

/**
 * Reads the file with `read` until it stays the same meanwhile, a few times at most.
 * @param read is given the open file and its size; it may be called again
 * @returns `null`: it is gone, or no file any more
 */
export async function readUnchanged<Content>(
  found: Found,
  read: (fd: number, sizeBytes: number) => Content | Promise<Content>,
): Promise<ReadFile<Content> | null> {
  const file = unlessGone(() => openEntry(found.dirFd, found.name));
  if (file === null) return null;
  try {
    let before = fstatSync(file.fd);
    if (!before.isFile()) return null;
    for (let attempt = 1; ; attempt++) {
      const content = await read(file.fd, before.size);
      const after = fstatSync(file.fd);
      const isStable = isSame(before, after);
      if (isStable || attempt === READ_ATTEMPTS_MAX) return { stat: after, content, isStable };
      before = after;
    }
  } finally {
    file.close();
  }
}

/** Reads into the whole of `target`; what is missing, as the file was cut meanwhile, is zeros. */
export function readInto(fd: number, target: Uint8Array, position: number): void {
  let at = 0;
  while (at < target.length) {
    const length = readSync(fd, target, at, target.length - at, position + at);
    if (length === 0) break;
    at += length;
  }
  target.fill(0, at);
}

function isSame(a: Stats, b: Stats): boolean {
  return a.size === b.size && a.mtimeMs === b.mtimeMs && a.ctimeMs === b.ctimeMs;
}

/** Two equal ones: the file has not changed in between. */
export function identityOf({ ino, ctimeMs }: Stats): string {
  return `${ino}@${ctimeMs}`;
}

/** "": what was read from `startedAtMs` on may have changed since without a trace. */
export function safeIdentityOf(stat: Stats, startedAtMs: number): string {
  return stat.ctimeMs > startedAtMs - TICK_MS ? "" : identityOf(stat);
}

const US_PER_MS = 1_000;

/** Rounded: what is set as a floating-point number of seconds comes back a little off. */
export function microseconds(ms: number): number {
  return Math.round(ms * US_PER_MS);
}
