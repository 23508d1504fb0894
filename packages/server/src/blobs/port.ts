import type { Readable } from "node:stream";

/** A blob: content, found by what it is. */
export interface BlobRef {
  /** 64 hex digits, lower case: the blob's address. */
  sha256: string;
  sizeBytes: number;
}

/** Part of a blob, as `Blob.slice` counts: from byte `start` up to, not including, byte `end`; default its end. */
export interface ByteRange {
  start: number;
  end?: number;
}

export interface StageOptions {
  /** Content longer than this is refused with {@link BlobTooLarge}, before the rest of it is read. */
  bytesMax: number;
  /** Stops the reading and leaves nothing. */
  signal?: AbortSignal;
  /** Of the whole source, when the caller knows it: it is not computed again. */
  sha256?: string;
}

/** Content that is stored whole, and not yet found by its address. */
export interface StagedBlob extends BlobRef {
  /**
   * Gives it its address. When this resolves the content survives a power cut, and any reader finds it. The same content
   * may be published many times, at once too. @throws BlobsUnavailable
   */
  publish(): Promise<void>;
  /** Forgets it, unless it was published. Idempotent. @throws BlobsUnavailable: `sweep` will remove it */
  discard(): Promise<void>;
}

/**
 * Where blobs are kept (design §8): a directory, or an S3-compatible store. Knows nothing of who needs a blob; that is in
 * Postgres, and {@link Blobs} puts the two together. Use that, not this.
 *
 * Content is streamed both ways and never whole in memory.
 */
export interface BlobStore {
  /**
   * Reads `source` to its end. When it fails, or the source does, nothing is left behind but what a crash leaves, which
   * `sweep` removes. @throws BlobTooLarge, BlobsUnavailable, and what the source throws
   */
  stage(source: AsyncIterable<Uint8Array>, options: StageOptions): Promise<StagedBlob>;
  /** The content; destroy the stream to stop early. @throws BlobMissing, BlobsUnavailable */
  get(sha256: string, range?: ByteRange): Promise<Readable>;
  /** Where the content is, if it is there, as a file of this machine's that must not be changed. Absent: it is none. */
  pathOf?(sha256: string): string;
  /** @throws BlobsUnavailable */
  exists(sha256: string): Promise<boolean>;
  /** What is not there is deleted already. Who reads it now may read on or be cut off. @throws BlobsUnavailable */
  delete(sha256: string): Promise<void>;
  /** Removes what is staged and was begun, or last written, before `before`. @returns how many. @throws BlobsUnavailable */
  sweep(before: Date): Promise<number>;
  close(): Promise<void>;
}

/** Nothing is at that address: it was deleted, or never published. */
export class BlobMissing extends Error {
  readonly code = "blob_missing";
  readonly sha256: string;
  constructor(sha256: string, cause?: unknown) {
    super(`no blob ${sha256}`, { cause });
    this.name = "BlobMissing";
    this.sha256 = sha256;
  }
}

export class BlobTooLarge extends Error {
  readonly code = "blob_too_large";
  readonly bytesMax: number;
  constructor(bytesMax: number) {
    super(`more than ${bytesMax} bytes`);
    this.name = "BlobTooLarge";
    this.bytesMax = bytesMax;
  }
}

/** The store cannot do it now: the disk is full, or the service does not answer. `http` maps it to 503. */
export class BlobsUnavailable extends Error {
  readonly code = "blobs_unavailable";
  readonly reason: "full" | "connection";
  constructor(reason: "full" | "connection", cause: unknown) {
    super(`blob store unavailable (${reason}): ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    this.name = "BlobsUnavailable";
    this.reason = reason;
  }
}
