import { closeSync, openSync, readSync, writeSync } from "node:fs";

const BUFFER_BYTES = 1024 * 1024;
const NEWLINE = 0x0a;

/** The lines of a text file, without holding more than one of them and a buffer. */
export function* readLines(path: string): Generator<string, void, undefined> {
  const fd = openSync(path, "r");
  try {
    const buffer = Buffer.allocUnsafe(BUFFER_BYTES);
    let rest = Buffer.alloc(0);
    for (let length = readSync(fd, buffer); length > 0; length = readSync(fd, buffer)) {
      let from = 0;
      for (let at = buffer.indexOf(NEWLINE); at >= 0 && at < length; at = buffer.indexOf(NEWLINE, from)) {
        yield Buffer.concat([rest, buffer.subarray(from, at)]).toString("utf8");
        rest = Buffer.alloc(0);
        from = at + 1;
      }
      if (from < length) rest = Buffer.concat([rest, buffer.subarray(from, length)]);
    }
    if (rest.length > 0) yield rest.toString("utf8");
  } finally {
    closeSync(fd);
  }
}

/** Writes a text file line by line; anew if there is one. */
export class LineWriter {
  readonly #fd: number;
  #lines: string[] = [];
  #chars = 0;

  constructor(path: string) {
    this.#fd = openSync(path, "w", 0o600);
  }

  write(line: string): void {
    this.#lines.push(line);
    this.#chars += line.length;
    if (this.#chars >= BUFFER_BYTES) this.#flush();
  }

  close(): void {
    this.#flush();
    closeSync(this.#fd);
  }

  #flush(): void {
    if (this.#lines.length === 0) return;
    const bytes = Buffer.from(`${this.#lines.join("\n")}\n`);
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#fd, bytes, at);
    this.#lines = [];
    this.#chars = 0;
  }
}
