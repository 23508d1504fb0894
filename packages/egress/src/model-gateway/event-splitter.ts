import type { HeldBytes } from "./held-bytes.ts";

/** A whole server-sent event with the blank line behind it, or a piece of one that is too long to be held. */
export interface StreamPiece {
  bytes: Buffer;
  whole: boolean;
}

export interface EventSplitter {
  /** What is complete with this chunk; pieces in order are exactly the stream. Those of earlier chunks have gone on. */
  push(chunk: Buffer): StreamPiece[];
  /** What came after the last blank line. */
  end(): StreamPiece;
}

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/** Cuts a server-sent event stream behind its blank lines (LF or CRLF). */
export function createEventSplitter(held: HeldBytes): EventSplitter {
  /** A part of this event has gone already. */
  let begun = false;
  /** Bytes of the current line so far, and whether they are one carriage return at most. */
  let lineBytes = 0;
  let lineBlank = true;

  const take = (bytes: Buffer, ends: boolean): StreamPiece => {
    const before = held.length();
    // Where there is no room for the rest, both go on unread.
    const fits = before === 0 || held.append(bytes);
    const piece = before === 0 ? bytes : fits ? held.take() : Buffer.concat([held.take(), bytes]);
    const whole = ends && !begun && fits;
    begun = !ends;
    return { bytes: piece, whole };
  };
  const isBlankLine = (chunk: Buffer, start: number, end: number): boolean => {
    const bytes = end - start;
    lineBlank &&= bytes === 0 || (lineBytes === 0 && bytes === 1 && chunk[start] === CARRIAGE_RETURN);
    lineBytes += bytes;
    return lineBlank;
  };

  return {
    push(chunk) {
      held.settle();
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
      if (!held.append(rest)) pieces.push(take(rest, false));
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
