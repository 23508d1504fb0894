import type { Hold } from "../budget.ts";

/** Bytes in one piece that grows, as far as a budget has room. */
export interface HeldBytes {
  /** `false`: no room; what was there before is still there. */
  append(bytes: Buffer): boolean;
  length(): number;
  /** All of it; what is held next begins anew. It counts until `settle`, as a client that does not read keeps it waiting. */
  take(): Buffer;
  /** What was taken has gone on. */
  settle(): void;
}

const EMPTY = Buffer.alloc(0);
/** Most events of a stream are smaller. */
const BYTES_MIN = 1024;

/** Copies what it holds: a list of small pieces takes a hundred times their bytes, and each keeps alive what it was cut of. */
export function createHeldBytes(bytesMax: number, hold: Hold): HeldBytes {
  let buffer = EMPTY;
  let length = 0;
  const grow = (needed: number): boolean => {
    const size = Math.min(Math.max(needed, 2 * buffer.length, BYTES_MIN), bytesMax);
    if (!hold.take(size - buffer.length)) return false;
    // Not of Node's pool, which would share it with others.
    const grown = Buffer.allocUnsafeSlow(size);
    buffer.copy(grown, 0, 0, length);
    buffer = grown;
    return true;
  };
  return {
    append(bytes) {
      const needed = length + bytes.length;
      if (needed > bytesMax || (needed > buffer.length && !grow(needed))) return false;
      bytes.copy(buffer, length);
      length = needed;
      return true;
    },
    length: () => length,
    take() {
      const whole = buffer.subarray(0, length);
      buffer = EMPTY;
      length = 0;
      return whole;
    },
    settle() {
      hold.release();
      // No more than was just given back.
      hold.take(buffer.length);
    },
  };
}
