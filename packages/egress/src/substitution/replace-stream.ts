import { Transform } from "node:stream";
import { createByteReplacer, type Replacement } from "./byte-replacer.ts";

/**
 * How long bytes that may begin a match are held while nothing more comes. A message that happens to end like one begins
 * must not wait for the next; what is written in one piece arrives much sooner than this.
 */
const HELD_MS = 1_000;

/** A stream that replaces as it goes: passes on at once what cannot be part of a match. */
export function createReplaceStream(replacements: readonly Replacement[]): Transform {
  const replacer = createByteReplacer(replacements);
  let timer: NodeJS.Timeout | null = null;
  let pushes = 0;

  const pass = (stream: Transform, bytes: Buffer): void => {
    if (bytes.length > 0) stream.push(bytes);
  };
  const release = (stream: Transform, asOf: number): void => {
    if (asOf === pushes && !stream.destroyed) pass(stream, replacer.end());
  };
  const holdFor = (stream: Transform): void => {
    const asOf = pushes;
    // Timers run before sockets are read: after a stall of this process, what has arrived meanwhile comes first.
    timer = setTimeout(() => setImmediate(() => release(stream, asOf)), HELD_MS).unref();
  };
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      pushes++;
      if (timer) clearTimeout(timer);
      pass(this, replacer.push(chunk));
      if (replacer.heldBytes() > 0) holdFor(this);
      done();
    },
    flush(done) {
      pushes++;
      pass(this, replacer.end());
      done();
    },
    destroy(error, done) {
      if (timer) clearTimeout(timer);
      done(error);
    },
  });
}
