import { closeSync, constants, fstatSync, openSync, read } from "node:fs";
import { promisify } from "node:util";
import { type OpenEntry, openEntry } from "../volumes/open-entry.ts";
import { unlessGone } from "../volumes/walk-tree.ts";

const readInto = promisify(read);
const CHUNK_BYTES = 256 * 1024;

/**
 * Gives `use` the content of a file that a scan has found, if it is still one.
 * @returns `null` when there is no such file any more
 */
export async function readOutput<T>(
  root: string,
  path: string,
  use: (content: AsyncIterable<Uint8Array>) => Promise<T>,
): Promise<T | null> {
  const entry = openOutput(root, path);
  if (entry === null) return null;
  // A read that is under way must not meet another file under the same number.
  let reading: Promise<unknown> = Promise.resolve();
  async function* chunks(fd: number): AsyncGenerator<Uint8Array> {
    for (;;) {
      const chunk = readInto(fd, Buffer.allocUnsafe(CHUNK_BYTES), 0, CHUNK_BYTES, null);
      reading = chunk.catch(() => undefined);
      const { bytesRead, buffer } = await chunk;
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  }
  try {
    return await use(chunks(entry.fd));
  } finally {
    await reading;
    entry.close();
  }
}

/** From one open directory to the next: no link on the way is followed. */
function openOutput(root: string, path: string): OpenEntry | null {
  const fd = openSync(root, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  let at: OpenEntry = { fd, close: () => closeSync(fd) };
  for (const name of path.split("/")) {
    const outer = at;
    try {
      const next = unlessGone(() => openEntry(outer.fd, name));
      if (next === null) return null;
      at = next;
    } finally {
      outer.close();
    }
  }
  if (fstatSync(at.fd).isFile()) return at;
  at.close();
  return null;
}
