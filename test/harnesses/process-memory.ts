import { type FileHandle, open, readFile } from "node:fs/promises";
import type { Canaries } from "../attack/stage/canaries.ts";

const PAGE_BYTES = 4096;
const PAGEMAP_ENTRY_BYTES = 8;
/** Bits 63 and 62 of an entry: in memory, or swapped out. */
const IN_USE = 0b1100_0000;
/** Read at a time, with an overlap longer than anything that is looked for. */
const CHUNK_BYTES = 16 * 1024 * 1024;
const OVERLAP_BYTES = 4096;
const PAGES_A_LOOK = 1024 * 1024;

/** Searches all that a process has written to in its memory; root may. Most of what a runtime reserves it never touches. */
export async function findInMemory(pid: number, canaries: Canaries): Promise<string[]> {
  const maps = await readFile(`/proc/${pid}/maps`, "utf8");
  const [memory, pagemap] = [await open(`/proc/${pid}/mem`), await open(`/proc/${pid}/pagemap`)];
  const hits: string[] = [];
  try {
    for (const [, from = "", to = ""] of maps.matchAll(/^([0-9a-f]+)-([0-9a-f]+) rw/gm))
      for await (const run of runsInUse(pagemap, Number.parseInt(from, 16), Number.parseInt(to, 16)))
        for await (const bytes of chunks(memory, run)) hits.push(...canaries.find(bytes));
  } finally {
    await Promise.all([memory.close(), pagemap.close()]);
  }
  return hits;
}

interface Run {
  from: number;
  to: number;
}

async function* runsInUse(pagemap: FileHandle, from: number, to: number): AsyncGenerator<Run> {
  let start: number | null = null;
  for (let at = from; at < to; at += PAGES_A_LOOK * PAGE_BYTES) {
    const pages = Math.min(PAGES_A_LOOK, (to - at) / PAGE_BYTES);
    const entries = Buffer.alloc(pages * PAGEMAP_ENTRY_BYTES);
    await pagemap.read(entries, 0, entries.length, (at / PAGE_BYTES) * PAGEMAP_ENTRY_BYTES);
    for (let page = 0; page < pages; page++) {
      const isInUse = ((entries[page * PAGEMAP_ENTRY_BYTES + 7] ?? 0) & IN_USE) !== 0;
      const address = at + page * PAGE_BYTES;
      if (isInUse) start ??= address;
      else if (start !== null) {
        yield { from: start, to: address };
        start = null;
      }
    }
  }
  if (start !== null) yield { from: start, to };
}

async function* chunks(memory: FileHandle, { from, to }: Run): AsyncGenerator<Buffer> {
  for (let at = from; at < to; at += CHUNK_BYTES - OVERLAP_BYTES) {
    const buffer = Buffer.alloc(Math.min(CHUNK_BYTES, to - at));
    const bytesRead = await memory.read(buffer, 0, buffer.length, at).then(
      (read) => read.bytesRead,
      (error: NodeJS.ErrnoException) => {
        // Given back while we look.
        if (error.code === "EIO" || error.code === "EFAULT") return 0;
        throw error;
      },
    );
    yield buffer.subarray(0, bytesRead);
    if (at + buffer.length >= to) return;
  }
}
