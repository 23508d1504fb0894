import { Transform } from "node:stream";
import { createByteReplacer, type Replacement } from "../substitution/byte-replacer.ts";

const LENGTH_IN_2_BYTES = 126;
const LENGTH_IN_8_BYTES = 127;
const MASK_BYTES = 4;

/**
 * Replaces inside the frames that a WebSocket server sends (RFC 6455 §5), which are neither masked nor compressed here, by as
 * many bytes. Each frame is passed on whole: its end waits for no other frame.
 */
export function createFrameCover(replacements: readonly Replacement[]): Transform {
  let header: Buffer = Buffer.alloc(0);
  /** Of the payload that is being read; 0: a header comes next. */
  let left = 0n;
  const replacer = createByteReplacer(replacements);

  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      const out: Buffer[] = [];
      let rest = chunk;
      while (rest.length > 0) {
        if (left === 0n) {
          const needed = headerBytes(header) - header.length;
          header = Buffer.concat([header, rest.subarray(0, needed)]);
          rest = rest.subarray(needed);
          if (header.length < headerBytes(header)) continue;
          left = payloadBytes(header);
          out.push(header);
          header = Buffer.alloc(0);
          continue;
        }
        const size = left < BigInt(rest.length) ? Number(left) : rest.length;
        out.push(replacer.push(rest.subarray(0, size)));
        left -= BigInt(size);
        rest = rest.subarray(size);
        if (left === 0n) out.push(replacer.end());
      }
      const bytes = Buffer.concat(out);
      if (bytes.length > 0) this.push(bytes);
      done();
    },
  });
}

/** Of the header that begins with these bytes, as far as they tell. */
function headerBytes(header: Buffer): number {
  const second = header[1];
  if (second === undefined) return 2;
  const length = second & 0x7f;
  const extended = length === LENGTH_IN_2_BYTES ? 2 : length === LENGTH_IN_8_BYTES ? 8 : 0;
  return 2 + extended + (second & 0x80 ? MASK_BYTES : 0);
}

function payloadBytes(header: Buffer): bigint {
  const length = (header[1] ?? 0) & 0x7f;
  if (length === LENGTH_IN_2_BYTES) return BigInt(header.readUInt16BE(2));
  return length === LENGTH_IN_8_BYTES ? header.readBigUInt64BE(2) : BigInt(length);
}
