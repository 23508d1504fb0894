import {
  closeSync,
  futimesSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  rmdirSync,
  rmSync,
  type Stats,
  symlinkSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { ImageError } from "./image-error.ts";

/** As the kernel has it. */
const LINKS_MAX = 40;
const PATH_BYTES_MAX = 4096;
const [DIR_MODE, FILE_MODE, PROGRAM_MODE] = [0o755, 0o644, 0o755];

/** Names from the root on. */
export type Names = readonly string[];

/**
 * The files of an image as they are unpacked. Links in paths are followed as the image itself would, its own root being `/`;
 * nothing else writes to the tree. Nothing has an owner, a set-user-id bit or attributes, and everybody may read all of it.
 */
export class ImageTree {
  readonly #root: string;
  readonly #takeDir: () => void;
  /** Directories that are known to be there and no links. */
  readonly #dirs = new Set<string>();

  /** @param takeDir told before a directory is made that nobody has named; may throw */
  constructor(root: string, takeDir: () => void) {
    this.#root = root;
    this.#takeDir = takeDir;
    mkdirSync(root, { mode: DIR_MODE });
  }

  /** Without links at its end. */
  at(names: Names): Stats | null {
    return lstatSync(this.path(names), { throwIfNoEntry: false }) ?? null;
  }

  list(names: Names): string[] {
    return readdirSync(this.path(names));
  }

  /** @param names of which none but the last is a link */
  path(names: Names): string {
    return join(this.#root, ...names);
  }

  /** What this directory is when all links are followed, made where it is missing. @throws ImageError when it is a file */
  makeDir(names: Names): Names {
    const found = this.#walk(names, true);
    if (found === null) throw new ImageError(`${show(names)} is not in a directory`);
    return found;
  }

  /** As `makeDir`. @returns `null`: there is none */
  findDir(names: Names): Names | null {
    return this.#walk(names, false);
  }

  /** What is there instead goes. @param names in a real directory, as for all below */
  placeDir(names: Names): void {
    if (this.at(names)?.isDirectory() === true) return;
    this.remove(names);
    mkdirSync(this.path(names), { mode: DIR_MODE });
  }

  placeLink(names: Names, target: string): void {
    if (target === "" || target.includes("\0") || target.length > PATH_BYTES_MAX)
      throw new ImageError(`the link ${show(names)} is damaged`);
    this.remove(names);
    symlinkSync(target, this.path(names));
  }

  placeHardLink(names: Names, to: Names): void {
    const dir = this.findDir(to.slice(0, -1));
    const target = dir === null ? null : [...dir, to.at(-1) ?? ""];
    const entry = target === null ? null : this.at(target);
    if (target === null || entry === null || entry.isDirectory()) {
      throw new ImageError(`${show(names)} is another name of ${show(to)}, which is not there`);
    }
    if (this.path(target) === this.path(names)) return;
    this.remove(names);
    linkSync(this.path(target), this.path(names));
  }

  async placeFile(names: Names, content: AsyncIterable<Buffer>, { mode = 0, mtime = new Date(0) } = {}): Promise<void> {
    this.remove(names);
    const file = openSync(this.path(names), "wx", (mode & 0o111) === 0 ? FILE_MODE : PROGRAM_MODE);
    try {
      for await (const chunk of content) for (let done = 0; done < chunk.length; ) done += writeSync(file, chunk, done);
      // Python, for one, compares times with those it has noted.
      const seconds = Math.max(0, mtime.getTime() / 1000);
      futimesSync(file, seconds, seconds);
    } finally {
      closeSync(file);
    }
  }

  /** With everything in it, and without following links. */
  remove(names: Names): void {
    const entry = this.at(names);
    if (entry?.isDirectory() === true) {
      this.#dirs.clear();
      rmSync(this.path(names), { recursive: true });
    } else if (entry !== null) unlinkSync(this.path(names));
  }

  /** Everything in a directory that `isKept` does not name, nor is above what it names. */
  removeBut(dir: Names, isKept: (path: string) => boolean): void {
    for (const name of this.list(dir)) {
      const names = [...dir, name];
      if (this.at(names)?.isDirectory() === true) {
        this.removeBut(names, isKept);
        if (isKept(this.path(names)) || this.list(names).length > 0) continue;
        this.#dirs.clear();
        rmdirSync(this.path(names));
      } else if (!isKept(this.path(names))) unlinkSync(this.path(names));
    }
  }

  #walk(names: Names, makes: boolean): Names | null {
    if (this.#dirs.has(join(...names, "."))) return names;
    const ahead = [...names];
    let at: string[] = [];
    let links = 0;
    for (let name = ahead.shift(); name !== undefined; name = ahead.shift()) {
      if (name === "" || name === ".") continue;
      if (name === "..") {
        at.pop();
        continue;
      }
      const entry = this.at([...at, name]);
      if (entry === null && !makes) return null;
      if (entry === null) {
        this.#takeDir();
        mkdirSync(this.path([...at, name]), { mode: DIR_MODE });
      }
      if (entry?.isSymbolicLink() === true) {
        if (++links > LINKS_MAX) throw new ImageError(`${show(names)} leads round in circles`);
        const target = readlinkSync(this.path([...at, name]));
        if (target.startsWith("/")) at = [];
        ahead.unshift(...target.split("/"));
        continue;
      }
      if (entry !== null && !entry.isDirectory()) return null;
      at.push(name);
    }
    this.#dirs.add(join(...at, "."));
    return at;
  }
}

/** @throws ImageError for a path that leads out of the root */
export function namesOf(path: string): Names {
  if (path.includes("\0") || path.length > PATH_BYTES_MAX) throw new ImageError("it has a name that is none");
  const names = path.split("/").filter((name) => name !== "" && name !== ".");
  if (names.includes("..")) throw new ImageError(`${JSON.stringify(path)} leads out of it`);
  return names;
}

export const show = (names: Names): string => `/${names.join("/")}`;
