import { chmodSync, closeSync, constants, fstatSync, openSync } from "node:fs";

/** Linux's, which Node does not name: the file itself, neither read nor written. */
const O_PATH = 0o10000000;
const READ = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY;
const OWNER_READS = 0o400;
const OWNER_READS_AND_PASSES = 0o500;

/**
 * An entry of an open directory, for one of the system's calls. The kernel leads from the number to that very directory,
 * whatever became of its name meanwhile: no link that a session swaps in leads out of its volume.
 */
export function entryOf(dirFd: number, name: string): Buffer {
  return Buffer.from(`/proc/self/fd/${dirFd}/${name}`, "latin1");
}

/** The directory or file that is open, by a path. */
export function pathOf(fd: number): string {
  return `/proc/self/fd/${fd}`;
}

/** A file or directory that is open for reading. */
export interface OpenEntry {
  fd: number;
  close(): void;
}

/**
 * Opens a file or directory for reading: never what a link leads to, and never waits for the other end of a pipe. One
 * that its owner has closed to itself (mode 000) is open to it until `close`.
 * @throws Error with `ELOOP` for a symbolic link, `ENOENT` when it is gone
 */
export function openEntry(dirFd: number, name: string): OpenEntry {
  try {
    const fd = openSync(entryOf(dirFd, name), READ);
    return isClosedDirectory(fd) ? openClosed(fd) : { fd, close: () => closeSync(fd) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EACCES") throw error;
    return openClosed(openSync(entryOf(dirFd, name), O_PATH | constants.O_NOFOLLOW));
  }
}

/** It can be listed, and what is in it cannot be reached. Never so for root. */
function isClosedDirectory(fd: number): boolean {
  const { mode } = fstatSync(fd);
  return process.getuid?.() !== 0 && (mode & constants.S_IFMT) === constants.S_IFDIR && (mode & 0o100) === 0;
}

/** @param found is closed with it */
function openClosed(found: number): OpenEntry {
  const restored: (() => void)[] = [() => closeSync(found)];
  const close = (): void => {
    for (const restore of restored.splice(0).reverse()) restore();
  };
  try {
    const file = fstatSync(found);
    if (!file.isFile() && !file.isDirectory()) throw Object.assign(new Error("not a file"), { code: "EACCES" });
    const mode = file.mode & 0o7777;
    chmodSync(pathOf(found), mode | (file.isDirectory() ? OWNER_READS_AND_PASSES : OWNER_READS));
    restored.push(() => chmodSync(pathOf(found), mode));
    // The links of /proc lead to the file that is open, and to no other.
    const fd = openSync(pathOf(found), READ & ~constants.O_NOFOLLOW);
    restored.push(() => closeSync(fd));
    return { fd, close };
  } catch (error) {
    close();
    throw error;
  }
}
