import { execFile } from "node:child_process";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { makeDir, PASSAGE_MODE } from "../make-dir.ts";
import { HELPER_ENV } from "./host.ts";

const run = promisify(execFile);

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
    await writeFile(this.#path(name), String(bytes));
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
      return /^\d+$/.test(text) ? Number(text) : null;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw error;
    }
  }

  #path(name: string): string {
    return join(this.#dir, name);
  }
}

/** Blocks on the disk; by `du`, in a process of its own, because it may be a million files. */
export async function treeBytes(path: string): Promise<number> {
  const { stdout } = await run("du", ["-s", "--block-size=1", "--", path], { env: HELPER_ENV });
  const bytes = /^\d+/.exec(stdout)?.[0];
  if (bytes === undefined) throw new Error(`what ${path} takes on the disk could not be counted`);
  return Number(bytes);
}
