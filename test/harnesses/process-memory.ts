import { open, readFile } from "node:fs/promises";
import type { Canaries } from "../attack/stage/canaries.ts";

/** Read at a time, with an overlap longer than anything that is looked for. */
const CHUNK_BYTES = 16 * 1024 * 1024;
const OVERLAP_BYTES = 4096;

/** Searches all that a process can write to in its memory; root may. */
export async function findInMemory(pid: number, canaries: Canaries): Promise<string[]> {
  const maps = await readFile(`/proc/${pid}/maps`, "utf8");
  const memory = await open(`/proc/${pid}/mem`);
  const hits: string[] = [];
  try {
    for (const [, from = "", to = ""] of maps.matchAll(/^([0-9a-f]+)-([0-9a-f]+) rw/gm)) {
      const end = Number.parseInt(to, 16);
      for (let at = Number.parseInt(from, 16); at < end; at += CHUNK_BYTES - OVERLAP_BYTES) {
        const buffer = Buffer.alloc(Math.min(CHUNK_BYTES, end - at));
        const bytesRead = await memory.read(buffer, 0, buffer.length, at).then(
          (read) => read.bytesRead,
          (error: NodeJS.ErrnoException) => {
            // Reserved, or given back while we look.
            if (error.code === "EIO" || error.code === "EFAULT") return 0;
            throw error;
          },
        );
        hits.push(...canaries.find(buffer.subarray(0, bytesRead)));
        if (at + buffer.length >= end) break;
      }
    }
  } finally {
    await memory.close();
  }
  return hits;
}
