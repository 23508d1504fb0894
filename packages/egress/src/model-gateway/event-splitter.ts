/** A whole server-sent event with the blank line behind it, or a piece of one that is too long to be held. */
export interface StreamPiece {
  bytes: Buffer;
  whole: boolean;
}

export interface EventSplitter {
  /** What is complete with this chunk; pieces in order are exactly the stream. */
  push(chunk: Buffer): StreamPiece[];
  /** What came after the last blank line. */
  end(): StreamPiece;
}

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/** Cuts a server-sent event stream behind its blank lines (LF or CRLF). */
export function createEventSplitter(eventBytesMax: number): EventSplitter {
  let held: Buffer[] = [];
  let heldBytes = 0;
  /** A part of this event has gone already. */
  let begun = false;
  /** Bytes of the current line so far, and whether they are one carriage return at most. */
  let lineBytes = 0;
  let lineBlank = true;

  const take = (bytes: Buffer, ends: boolean): StreamPiece => {
    const piece = { bytes: held.length === 0 ? bytes : Buffer.concat([...held, bytes]), whole: ends && !begun };
    held = [];
    heldBytes = 0;
    begun = !ends;
    return piece;
  };
  const isBlankLine = (chunk: Buffer, start: number, end: number): boolean => {
    const bytes = end - start;
    lineBlank &&= bytes === 0 || (lineBytes === 0 && bytes === 1 && chunk[start] === CARRIAGE_RETURN);
    lineBytes += bytes;
    return lineBlank;
  };

  return {
    push(chunk) {
      const pieces: StreamPiece[] = [];
      let from = 0;
      let line = 0;
      for (let feed = chunk.indexOf(LINE_FEED); feed !== -1; feed = chunk.indexOf(LINE_FEED, line)) {
        if (isBlankLine(chunk, line, feed)) {
          pieces.push(take(chunk.subarray(from, feed + 1), true));
          from = feed + 1;
        }
        line = feed + 1;
        lineBytes = 0;
        lineBlank = true;
      }
      isBlankLine(chunk, line, chunk.length);
      const rest = chunk.subarray(from);
      if (rest.length === 0) return pieces;
      if (heldBytes + rest.length > eventBytesMax) {
        pieces.push(take(rest, false));
      } else {
        held.push(rest);
        heldBytes += rest.length;
      }
      return pieces;
    },
    end: () => take(Buffer.alloc(0), true),
  };
}

/** The data of an event, its lines joined; empty for a comment. */
export function dataOf(event: Buffer): string {
  return event
    .toString("utf8")
    .split(/\r?\n/)
    .filter((line) => line.startsWith("data:"))
    .map((line) => line.slice(line[5] === " " ? 6 : 5))
    .join("\n");
}
