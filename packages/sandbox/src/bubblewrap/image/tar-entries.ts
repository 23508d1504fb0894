import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { extract, type Header } from "tar-stream";
import { ImageError } from "./image-error.ts";

const GZIP = Buffer.from([0x1f, 0x8b]);
const ZSTD = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);

export interface TarEntry {
  header: Header;
  /** The content, which must be read to its end. */
  content: AsyncIterable<Buffer>;
}

/** Counts what all archives of an image unpack to. */
export interface ByteBudget {
  /** @throws ImageError */
  take(bytes: number): void;
}

export function byteBudget(bytesMax: number): ByteBudget {
  let left = bytesMax;
  return {
    take(bytes) {
      left -= bytes;
      if (left < 0) throw new ImageError(`unpacked it has more than ${bytesMax} bytes`);
    },
  };
}

/**
 * The entries of a tar archive that may be compressed by gzip or zstd, one after the other and in constant memory.
 * @param onBytes told of each piece of the archive as it is when it is not compressed
 * @throws ImageError for what is no archive, or not all of one; what the callbacks throw
 */
export async function eachTarEntry(
  source: AsyncIterable<Buffer>,
  onBytes: (bytes: Buffer) => void,
  onEntry: (entry: TarEntry) => Promise<void> | void,
): Promise<void> {
  const { stream, decompress } = await sniff(source);
  const count = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      try {
        onBytes(chunk);
        done(null, chunk);
      } catch (error) {
        done(error as Error);
      }
    },
  });
  const entries = extract();
  const feeding = pipeline([stream, ...decompress, count, entries] as never);
  // Heard of below; until then it is not unhandled.
  feeding.catch(() => undefined);
  try {
    for await (const entry of entries)
      await onEntry({ header: entry.header, content: entry as unknown as AsyncIterable<Buffer> });
    await feeding;
  } catch (error) {
    const cause = await feeding.then(
      () => error,
      (failure: NodeJS.ErrnoException) => (failure.code === "ERR_STREAM_PREMATURE_CLOSE" ? error : failure),
    );
    throw asImageError(cause);
  }
}

/** A bug of ours stays one. */
function asImageError(error: unknown): unknown {
  if (error instanceof ImageError || !(error instanceof Error)) return error;
  if (error instanceof TypeError || error instanceof RangeError) return error;
  if ("syscall" in error) return new ImageError(`it cannot be unpacked: ${error.message}`, { cause: error });
  return new ImageError(`it is damaged, or no image: ${error.message}`, { cause: error });
}

async function sniff(source: AsyncIterable<Buffer>): Promise<{ stream: Readable; decompress: Transform[] }> {
  const chunks = source[Symbol.asyncIterator]();
  let start = Buffer.alloc(0);
  while (start.length < ZSTD.length) {
    const { value, done } = await chunks.next();
    if (done === true) break;
    start = Buffer.concat([start, value]);
  }
  const stream = Readable.from(
    (async function* () {
      if (start.length > 0) yield start;
      yield* { [Symbol.asyncIterator]: () => chunks };
    })(),
  );
  if (start.subarray(0, GZIP.length).equals(GZIP)) return { stream, decompress: [createGunzip()] };
  if (start.subarray(0, ZSTD.length).equals(ZSTD)) return { stream, decompress: [createZstdDecompress()] };
  return { stream, decompress: [] };
}
