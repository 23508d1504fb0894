import type { Readable } from "node:stream";
import { takeUnreferencedBlob, touchBlob } from "../store/blobs.ts";
import type { Database } from "../store/pool.ts";
import { type BlobRef, type BlobStore, BlobsUnavailable, type ByteRange, type StageOptions } from "./port.ts";

/**
 * How long content stays that nothing refers to: more than anyone needs from `put` to the row that refers to it, or to read
 * to its end what was deleted meanwhile.
 */
export const BLOB_GRACE_MS = 3_600_000;
/** What is not finished after so many grace periods never will be: longer than any request may take. */
const UNFINISHED_GRACE_PERIODS = 2;
/** Blobs deleted by one `collect`; the next one goes on. */
const COLLECTED_MAX = 1_000;

/**
 * Content of any size, stored once, by what it is. Who keeps a blob has a row that refers to it in a table with the trigger
 * `count_blob_reference` (migration 000006); when the last such row goes, so does the content, after a grace period.
 */
export interface Blobs {
  /**
   * Reads the source to its end; when this resolves its content is durable. Refer to it within the grace period, in a row's
   * `sha256`. Nothing is left when it fails. @throws BlobTooLarge, BlobsUnavailable, DatabaseUnavailable, what the source throws
   */
  put(source: AsyncIterable<Uint8Array>, options: StageOptions): Promise<BlobRef>;
  /**
   * As `put`, of content whose hash the caller has computed: it is not written again where it is.
   * @param signal stops it, and leaves nothing that nobody knows of
   */
  putKnown(content: Uint8Array, sha256: string, signal: AbortSignal): Promise<void>;
  /** Where the content is, if it is there, as a file of this machine's that must not be changed; `null`: it is none. */
  pathOf(sha256: string): string | null;
  /** The content, as a stream; destroy it to stop early. @throws BlobMissing, BlobsUnavailable */
  open(sha256: string, range?: ByteRange): Promise<Readable>;
  /**
   * Deletes what nothing has referred to for the grace period, and what was never finished. May run on several servers at
   * once, and be killed at any instant. @returns how many blobs and unfinished uploads went. @throws BlobsUnavailable
   */
  collect(): Promise<{ blobs: number; unfinished: number }>;
}

export interface BlobsDeps {
  db: Database;
  store: BlobStore;
  /** Default {@link BLOB_GRACE_MS}. */
  graceMs?: number;
  /** The store did not work; also when only what was not wanted after all could not be removed. For the log only. */
  onProblem: (error: unknown) => void;
}

export function createBlobs({ db, store, graceMs = BLOB_GRACE_MS, onProblem }: BlobsDeps): Blobs {
  // Clients are told no more than that it does not work.
  const report = (error: unknown): never => {
    if (error instanceof BlobsUnavailable) onProblem(error);
    throw error;
  };
  const put: Blobs["put"] = async (source, options) => {
    const staged = await store.stage(source, options).catch(report);
    try {
      // The row first: a crash in between leaves one that `collect` removes, and never content that nobody knows of.
      await touchBlob(db, staged);
      await staged.publish().catch(report);
    } catch (error) {
      await staged.discard().catch(onProblem);
      throw error;
    }
    return { sha256: staged.sha256, sizeBytes: staged.sizeBytes };
  };
  return {
    put,
    async putKnown(content, sha256, signal) {
      if (await store.exists(sha256).catch(report)) {
        await touchBlob(db, { sha256, sizeBytes: content.length });
        // From now on it is not deleted for the grace period; it may have been before.
        if (await store.exists(sha256).catch(report)) return;
      }
      await put(whole(content), { bytesMax: content.length, signal, sha256 });
    },
    pathOf: (sha256) => store.pathOf?.(sha256) ?? null,
    open: (sha256, range) => store.get(sha256, range).catch(report),
    async collect() {
      let blobs = 0;
      while (blobs < COLLECTED_MAX && (await deleteOne(db, store, graceMs))) blobs += 1;
      return { blobs, unfinished: await store.sweep(new Date(Date.now() - UNFINISHED_GRACE_PERIODS * graceMs)) };
    },
  };
}

async function* whole(content: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  yield content;
}

/** The content goes while the row is held: a crash leaves the row, and the deletion is done again. */
function deleteOne(db: Database, store: BlobStore, graceMs: number): Promise<boolean> {
  return db.transaction(async (tx) => {
    const sha256 = await takeUnreferencedBlob(tx, graceMs);
    if (sha256 === null) return false;
    await store.delete(sha256);
    return true;
  });
}
