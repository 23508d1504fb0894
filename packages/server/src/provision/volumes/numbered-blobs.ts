import type { ManifestBlob } from "./manifest.ts";

/** The blobs of a checkpoint in the making: those of the one before that are still used, and new ones. */
export class NumberedBlobs {
  readonly #blobs = new Map<number, { sha256: string; sizeBytes: number; usedBytes: number }>();
  readonly #numbers = new Map<string, number>();
  readonly #wasted: ReadonlySet<number>;
  #next = 0;

  /** @param previous of the checkpoint before @param wasteful what is used of a pack below this share is packed anew */
  constructor(previous: readonly ManifestBlob[], wasteful: number) {
    for (const { number, sha256, sizeBytes } of previous) {
      this.#blobs.set(number, { sha256, sizeBytes, usedBytes: 0 });
      this.#numbers.set(sha256, number);
      this.#next = Math.max(this.#next, number + 1);
    }
    this.#wasted = new Set(
      previous.filter(({ usedBytes, sizeBytes }) => usedBytes < sizeBytes * wasteful).map(({ number }) => number),
    );
  }

  /** Most of it is no longer used: whoever is still in it should leave. */
  isWasted(number: number): boolean {
    return this.#wasted.has(number);
  }

  use(number: number, bytes: number): void {
    const blob = this.#blobs.get(number);
    if (blob === undefined) throw new Error(`a manifest names no blob ${number}`);
    blob.usedBytes += bytes;
  }

  /** `undefined`: not among them. */
  numberOf(sha256: string): number | undefined {
    return this.#numbers.get(sha256);
  }

  /** Its number is known before its content is stored. */
  add(sizeBytes: number): number {
    const number = this.#next++;
    this.#blobs.set(number, { sha256: "", sizeBytes, usedBytes: 0 });
    return number;
  }

  setContent(number: number, sha256: string, sizeBytes: number): void {
    const blob = this.#blobs.get(number);
    if (blob === undefined) throw new Error(`there is no blob ${number} to store`);
    blob.sha256 = sha256;
    blob.sizeBytes = sizeBytes;
    if (!this.#numbers.has(sha256)) this.#numbers.set(sha256, number);
  }

  used(): ManifestBlob[] {
    const used = [...this.#blobs].filter(([, { usedBytes }]) => usedBytes > 0);
    return used.map(([number, { sha256, sizeBytes, usedBytes }]) => ({ number, sha256, sizeBytes, usedBytes }));
  }
}
