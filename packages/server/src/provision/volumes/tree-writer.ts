import { closeSync, constants, fchownSync, lchownSync, linkSync, mkdirSync, openSync, symlinkSync } from "node:fs";
import { entryOf } from "./open-entry.ts";

const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
const NEW_FILE = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
/** Until everything is in it. */
const DIRECTORY_MODE = 0o700;
const FILE_MODE = 0o600;

/** Whose the files are; `null`: the server's own user's. */
export type FileOwner = { uid: number; gid: number } | null;

/**
 * Makes files and directories below a root, by paths of any length. No symbolic link is followed on the way. The directories
 * of the last path stay open, so that what lies together is found quickly.
 */
export class TreeWriter {
  readonly #owner: FileOwner;
  /** From the root on. */
  readonly #open: { name: string; fd: number }[];

  constructor(root: string, owner: FileOwner) {
    this.#owner = owner;
    this.#open = [{ name: "", fd: openSync(root, constants.O_RDONLY | constants.O_DIRECTORY) }];
  }

  /** For one of the system's calls, until the next path is asked for. */
  at(path: string): Buffer {
    const names = path.split("/");
    const name = names.pop() ?? "";
    return entryOf(this.#enter(names), name);
  }

  makeDirectory(path: string): void {
    const at = this.at(path);
    try {
      mkdirSync(at, { mode: DIRECTORY_MODE });
    } catch (error) {
      // Those that a volume begins with are there.
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    if (this.#owner !== null) lchownSync(at, this.#owner.uid, this.#owner.gid);
  }

  /** Makes an empty file, gives it to `write` and closes it. */
  makeFile(path: string, write: (fd: number) => void): void {
    const fd = this.createFile(path);
    try {
      write(fd);
    } finally {
      closeSync(fd);
    }
  }

  /** The caller closes it. */
  createFile(path: string): number {
    const fd = openSync(this.at(path), NEW_FILE, FILE_MODE);
    if (this.#owner !== null) fchownSync(fd, this.#owner.uid, this.#owner.gid);
    return fd;
  }

  makeSymlink(path: string, target: string): void {
    const at = this.at(path);
    symlinkSync(Buffer.from(target, "latin1"), at);
    if (this.#owner !== null) lchownSync(at, this.#owner.uid, this.#owner.gid);
  }

  makeHardLink(path: string, target: string): void {
    const name = target.slice(target.lastIndexOf("/") + 1);
    const names = target.split("/").slice(0, -1);
    // Both directories must be open at once.
    const fd = openSync(this.#directoryPath(names), DIRECTORY);
    try {
      linkSync(entryOf(fd, name), this.at(path));
    } finally {
      closeSync(fd);
    }
  }

  close(): void {
    for (const { fd } of this.#open.splice(0).reverse()) closeSync(fd);
  }

  #directoryPath(names: readonly string[]): Buffer {
    return entryOf(this.#enter(names), ".");
  }

  #enter(names: readonly string[]): number {
    let depth = 1;
    while (depth <= names.length && this.#open[depth]?.name === names[depth - 1]) depth++;
    for (const { fd } of this.#open.splice(depth).reverse()) closeSync(fd);
    for (const name of names.slice(depth - 1)) {
      const fd = openSync(entryOf(this.#deepest(), name), DIRECTORY);
      this.#open.push({ name, fd });
    }
    return this.#deepest();
  }

  #deepest(): number {
    return (this.#open.at(-1) as { fd: number }).fd;
  }
}
