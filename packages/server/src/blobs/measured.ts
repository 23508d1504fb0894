import { createHash } from "node:crypto";
import { type BlobRef, BlobTooLarge, type StageOptions } from "./port.ts";

/** Passes a source on, chunk by chunk, and knows at its end what went by. */
export class Measured implements AsyncIterable<Uint8Array> {
  readonly #source: AsyncIterable<Uint8Array>;
  readonly #options: StageOptions;
  readonly #hash = createHash("sha256");
  #sizeBytes = 0;
  #ref: BlobRef | undefined;
  #failure: { error: unknown } | undefined;

  constructor(source: AsyncIterable<Uint8Array>, options: StageOptions) {
    this.#source = source;
    this.#options = options;
  }

  /** Of the whole source. @throws Error before its end was seen */
  get ref(): BlobRef {
    if (this.#ref === undefined) throw new Error("the source was not read to its end");
    return this.#ref;
  }

  /** How the source failed, or was refused. */
  get failure(): { error: unknown } | undefined {
    return this.#failure;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      yield* this.#measure();
    } catch (error) {
      this.#failure = { error };
      throw error;
    }
  }

  async *#measure(): AsyncGenerator<Uint8Array, void, undefined> {
    const { bytesMax, signal } = this.#options;
    for await (const chunk of this.#source) {
      signal?.throwIfAborted();
      this.#sizeBytes += chunk.byteLength;
      if (this.#sizeBytes > bytesMax) throw new BlobTooLarge(bytesMax);
      if (this.#options.sha256 === undefined) this.#hash.update(chunk);
      yield chunk;
    }
    signal?.throwIfAborted();
    this.#ref = { sha256: this.#options.sha256 ?? this.#hash.digest("hex"), sizeBytes: this.#sizeBytes };
  }
}
