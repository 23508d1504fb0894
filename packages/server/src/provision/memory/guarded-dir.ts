import {
  closeSync,
  constants,
  fchownSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  opendirSync,
  openSync,
  readSync,
  renameSync,
  rmdirSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";

/** Whom files belong to; `null`: the server's own user. */
export type Owner = { uid: number; gid: number } | null;

/** What is at a name. `stamp` is another one when the content may be: no process in a sandbox can set a change time. */
export interface FileFacts {
  type: "file" | "directory" | "symlink" | "other";
  bytes: number;
  stamp: string;
  changedAtMs: number;
}

const OPEN_DIR = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
/** Also for what turns out to be a pipe: nobody is waited for. */
const OPEN_FILE = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const CREATE_FILE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
const ENTRIES_READ_AT_ONCE = 256;
const NS_PER_MS = 1_000_000n;

/**
 * A directory that a sandbox writes into at the same time. The host goes from one directory to the next by open
 * descriptors and never through a link, so whatever is swapped meanwhile, it stays inside. Steps are small and synchronous.
 * Names are bytes: they need not be UTF-8.
 */
export class GuardedDir {
  readonly #fd: number;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** @param path of the host's own, with no link in it that a sandbox could have made */
  static open(path: string): GuardedDir {
    return new GuardedDir(openSync(path, OPEN_DIR));
  }

  /** `null`: a sandbox has closed it to everybody. */
  static tryOpen(path: string): GuardedDir | null {
    return unless(["EACCES"], () => GuardedDir.open(path));
  }

  /** `null`: there is no directory of that name that can be opened. */
  openDir(name: Buffer | string): GuardedDir | null {
    const fd = unless(["ENOENT", "ENOTDIR", "ELOOP", "EACCES", "ENAMETOOLONG"], () => openSync(this.#at(name), OPEN_DIR));
    return fd === null ? null : new GuardedDir(fd);
  }

  /** @returns `null` when something that is no directory is in the way, or this one has been removed */
  makeDir(name: string, owner: Owner): GuardedDir | null {
    // Mostly it is there: what fails costs ten times what succeeds.
    const there = this.openDir(name);
    if (there !== null) return there;
    const made = unless(["EEXIST", "ENOENT", "EACCES", "ENAMETOOLONG"], () => mkdirSync(this.#at(name), 0o755)) !== null;
    const dir = this.openDir(name);
    if (dir !== null && made && owner !== null) fchownSync(dir.#fd, owner.uid, owner.gid);
    return dir;
  }

  *names(): Generator<Buffer, void, undefined> {
    // Its types know texts only.
    const options = { encoding: "buffer", bufferSize: ENTRIES_READ_AT_ONCE } as unknown as { encoding: "utf8" };
    const entries = opendirSync(`/proc/self/fd/${this.#fd}`, options);
    try {
      for (let entry = entries.readSync(); entry !== null; entry = entries.readSync()) yield entry.name as unknown as Buffer;
    } finally {
      entries.closeSync();
    }
  }

  look(name: Buffer | string): FileFacts | null {
    const stat = unless(["ENOTDIR", "ENAMETOOLONG"], () => lstatSync(this.#at(name), { bigint: true, throwIfNoEntry: false }));
    return stat === null || stat === undefined ? null : factsOf(stat);
  }

  /**
   * Reads a file, and no more of it than `bytesMax` and one byte.
   * @returns `null` when there is no file of that name that can be read; the facts are from before the reading
   */
  read(name: Buffer | string, bytesMax: number): { bytes: Buffer; facts: FileFacts } | null {
    const fd = unless(["ENOENT", "ENOTDIR", "ELOOP", "EACCES", "ENXIO", "ENAMETOOLONG"], () =>
      openSync(this.#at(name), OPEN_FILE),
    );
    if (fd === null) return null;
    try {
      const facts = factsOf(fstatSync(fd, { bigint: true }));
      if (facts.type !== "file") return null;
      return { bytes: readUpTo(fd, Math.min(facts.bytes, bytesMax) + 1), facts };
    } finally {
      closeSync(fd);
    }
  }

  /** Moves a file of the host's to this name, over what is there. @returns false when a directory is in the way, or this one has been removed */
  receive(name: string, source: string): boolean {
    const codes = ["EISDIR", "ENOTEMPTY", "EEXIST", "ENOENT", "EACCES", "ENAMETOOLONG"];
    return unless(codes, () => renameSync(source, this.#at(name))) !== null;
  }

  /** A new file of this name, in place of one that is there. @returns false when that cannot be */
  write(name: string, bytes: Buffer, owner: Owner): boolean {
    this.unlink(name);
    const fd = unless(["EEXIST", "ENOENT", "EACCES"], () => openSync(this.#at(name), CREATE_FILE, 0o644));
    if (fd === null) return false;
    try {
      writeFileSync(fd, bytes);
      if (owner !== null) fchownSync(fd, owner.uid, owner.gid);
      return true;
    } finally {
      closeSync(fd);
    }
  }

  unlink(name: string): void {
    unless(["ENOENT", "EISDIR", "EACCES"], () => unlinkSync(this.#at(name)));
  }

  /** @returns whether it was empty, and is gone */
  removeDir(name: Buffer | string): boolean {
    return (
      unless(["ENOENT", "ENOTEMPTY", "ENOTDIR", "EEXIST", "EACCES", "EBUSY", "ENAMETOOLONG"], () => rmdirSync(this.#at(name))) !==
      null
    );
  }

  close(): void {
    closeSync(this.#fd);
  }

  /** Through the descriptor; the last name is followed by none of the calls that are made with it. */
  #at(name: Buffer | string): Buffer | string {
    const path = `/proc/self/fd/${this.#fd}/`;
    return typeof name === "string" ? path + name : Buffer.concat([Buffer.from(path), name]);
  }
}

function readUpTo(fd: number, bytesMax: number): Buffer {
  const buffer = Buffer.alloc(bytesMax);
  let filled = 0;
  for (let count = -1; count !== 0 && filled < bytesMax; filled += count)
    count = readSync(fd, buffer, filled, bytesMax - filled, null);
  return buffer.subarray(0, filled);
}

function factsOf(stat: import("node:fs").BigIntStats): FileFacts {
  const type = stat.isFile() ? "file" : stat.isDirectory() ? "directory" : stat.isSymbolicLink() ? "symlink" : "other";
  return {
    type,
    bytes: Number(stat.size),
    stamp: `${stat.ino}.${stat.size}.${stat.ctimeNs}`,
    changedAtMs: Number(stat.ctimeNs / NS_PER_MS),
  };
}

function unless<T>(codes: readonly string[], work: () => T): T | null {
  try {
    return work();
  } catch (error) {
    if (codes.includes((error as NodeJS.ErrnoException).code ?? "")) return null;
    throw error;
  }
}
