import { createHash } from "node:crypto";
import { type BlobRef, BlobTooLarge } from "./port.ts";

/** Passes a source on, chunk by chunk, and knows at its end what went by. */
export class Measured implements AsyncIterable<Uint8Array> {
  readonly #source: AsyncIterable<Uint8Array>;
  readonly #bytesMax: number;
  readonly #hash = createHash("sha256");
  #sizeBytes = 0;
  #ref: BlobRef | undefined;

  constructor(source: AsyncIterable<Uint8Array>, bytesMax: number) {
    this.#source = source;
    this.#bytesMax = bytesMax;
  }

  /** Of the whole source. @throws Error before its end was seen */
  get ref(): BlobRef {
    if (this.#ref === undefined) throw new Error("the source was not read to its end");
    return this.#ref;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const chunk of this.#source) {
      this.#sizeBytes += chunk.byteLength;
      if (this.#sizeBytes > this.#bytesMax) throw new BlobTooLarge(this.#bytesMax);
      this.#hash.update(chunk);
      yield chunk;
    }
    this.#ref = { sha256: this.#hash.digest("hex"), sizeBytes: this.#sizeBytes };
  }
}
