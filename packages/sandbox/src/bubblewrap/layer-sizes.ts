import { execFile } from "node:child_process";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { makeDir, PASSAGE_MODE } from "../make-dir.ts";
import { HELPER_ENV } from "./host.ts";

const run = promisify(execFile);
/** Of how `treeBytes` counts: what was counted in another way is counted anew. */
const FORMAT = 2;
/** A file without content takes room in the tables of its file system, which may have room for no more of them. */
const INODE_BYTES = 4096;

/** What layers take on the disk: counted once, because nothing of a layer changes, and kept in a file for each. */
export class LayerSizes {
  readonly #dir: string;
  readonly #known = new Map<string, number>();

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** @param path of the layer, to count it where that was never done */
  async of(name: string, path: string): Promise<number> {
    const known = this.#known.get(name) ?? (await this.#read(name));
    if (known !== null) {
      this.#known.set(name, known);
      return known;
    }
    const bytes = await treeBytes(path);
    await this.set(name, bytes);
    return bytes;
  }

  async set(name: string, bytes: number): Promise<void> {
    makeDir(this.#dir, PASSAGE_MODE);
    await writeFile(this.#path(name), `${FORMAT} ${bytes}`);
    this.#known.set(name, bytes);
  }

  async forget(name: string): Promise<void> {
    this.#known.delete(name);
    await rm(this.#path(name), { force: true });
  }

  async #read(name: string): Promise<number | null> {
    try {
      const text = await readFile(this.#path(name), "utf8");
      // A server that died while it wrote leaves an empty file.
      const [, format, bytes] = /^(\d+) (\d+)$/.exec(text) ?? [];
      return Number(format) === FORMAT ? Number(bytes) : null;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw error;
    }
  }

  #path(name: string): string {
    return join(this.#dir, name);
  }
}

/** Blocks on the disk, and `INODE_BYTES` for each file, directory and link. */
export async function treeBytes(path: string): Promise<number> {
  return (await count("--block-size=1", path)) + INODE_BYTES * (await count("--inodes", path));
}

/** By `du`, in a process of its own, because it may be a million files. */
async function count(what: string, path: string): Promise<number> {
  const { stdout } = await run("du", ["-s", what, "--", path], { env: HELPER_ENV });
  const found = /^\d+/.exec(stdout)?.[0];
  if (found === undefined) throw new Error(`what ${path} takes on the disk could not be counted`);
  return Number(found);
}
