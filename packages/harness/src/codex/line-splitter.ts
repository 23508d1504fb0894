const NEWLINE = 10;

/**
 * Cuts a stream of bytes into lines.
 * @param onLine returns whether to go on
 * @param onTooLong a line has more bytes than this; nothing comes after it
 * @returns what takes the chunks
 */
export function createLineSplitter(
  lineBytesMax: number,
  onLine: (line: string) => boolean,
  onTooLong: () => void,
): (chunk: Buffer) => void {
  let partial: Buffer[] = [];
  let partialBytes = 0;
  let isOver = false;
  return (chunk) => {
    let start = 0;
    for (let newline = chunk.indexOf(NEWLINE); newline >= 0 && !isOver; newline = chunk.indexOf(NEWLINE, start)) {
      const line = Buffer.concat([...partial, chunk.subarray(start, newline)]);
      partial = [];
      partialBytes = 0;
      start = newline + 1;
      isOver = !onLine(line.toString("utf8"));
    }
    if (isOver) return;
    partial.push(chunk.subarray(start));
    partialBytes += chunk.length - start;
    if (partialBytes <= lineBytesMax) return;
    isOver = true;
    partial = [];
    onTooLong();
  };
}
