import { readdirSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { belongsToTheDead, instanceTag } from "../instance.ts";

/**
 * Which layers sandboxes run with, of all servers on the same directory: a server that has such a sandbox keeps a file
 * `<instance>.<layer>` there. That of a server that is gone says nothing any more.
 */
export class LayerUses {
  readonly #dir: string;
  readonly #instance = instanceTag();
  /** Of this server, by layer. */
  readonly #counts = new Map<string, number>();

  /** @param dir exists when the first layer is held */
  constructor(dir: string) {
    this.#dir = dir;
  }

  /** @returns to be called once, when the sandbox is gone */
  hold(name: string): () => void {
    const count = this.#counts.get(name) ?? 0;
    if (count === 0) writeFileSync(this.#mark(name), "");
    this.#counts.set(name, count + 1);
    return () => this.#give(name);
  }

  /** The layers that are held by anybody. Forgets the servers that are gone. */
  all(): Set<string> {
    const names = new Set<string>();
    for (const mark of readMarks(this.#dir)) {
      if (belongsToTheDead(mark)) removeMark(join(this.#dir, mark));
      else names.add(mark.replace(/^\d+\.\d+\./, ""));
    }
    return names;
  }

  #give(name: string): void {
    const left = (this.#counts.get(name) ?? 1) - 1;
    if (left > 0) return void this.#counts.set(name, left);
    this.#counts.delete(name);
    removeMark(this.#mark(name));
  }

  #mark(name: string): string {
    return join(this.#dir, `${this.#instance}.${name}`);
  }
}

/** None where no layer was ever used. */
function readMarks(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

/** Another server may have removed it. */
function removeMark(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}
