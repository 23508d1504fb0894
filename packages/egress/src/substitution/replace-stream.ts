import { Duplex } from "node:stream";
import { createByteReplacer, type Replacement } from "./byte-replacer.ts";

/**
 * How long bytes that may begin a match are held while nothing more comes. A message that happens to end like one begins
 * must not wait for the next; what is written in one piece arrives much sooner than this.
 */
const HELD_MS = 1_000;

/**
 * A stream that replaces as it goes: passes on at once what cannot be part of a match, and makes no more than its reader takes.
 * Not a Transform, which makes all of a chunk at once.
 */
export function createReplaceStream(replacements: readonly Replacement[]): Duplex {
  const replacer = createByteReplacer(replacements);
  let timer: NodeJS.Timeout | undefined;
  let chunks = 0;
  /** The reader has asked for more than it was given. */
  let wanted = false;
  /** Of the chunk that is being replaced. */
  let current: { pieces: Generator<Buffer, void>; done: () => void } | null = null;

  const pass = (stream: Duplex, bytes: Buffer): void => {
    if (bytes.length > 0) wanted = stream.push(bytes);
  };
  const release = (stream: Duplex, asOf: number): void => {
    if (asOf === chunks && !stream.destroyed) pass(stream, replacer.end());
  };
  const holdFor = (stream: Duplex): void => {
    const asOf = chunks;
    // Timers run before sockets are read: after a stall of this process, what has arrived meanwhile comes first.
    timer = setTimeout(() => setImmediate(() => release(stream, asOf)), HELD_MS).unref();
  };
  const flow = (stream: Duplex): void => {
    while (current && wanted) {
      const { pieces, done } = current;
      const next = pieces.next();
      if (next.value) {
        pass(stream, next.value);
        continue;
      }
      current = null;
      // Not before: while its reader is behind, nothing more can come.
      if (replacer.heldBytes() > 0) holdFor(stream);
      done();
    }
  };
  return new Duplex({
    write(chunk: Buffer, _encoding, done) {
      chunks++;
      clearTimeout(timer);
      current = { pieces: replacer.pieces(chunk), done };
      flow(this);
    },
    read() {
      wanted = true;
      flow(this);
    },
    final(done) {
      chunks++;
      clearTimeout(timer);
      pass(this, replacer.end());
      this.push(null);
      done();
    },
    destroy(error, done) {
      clearTimeout(timer);
      current = null;
      done(error);
    },
  });
}
