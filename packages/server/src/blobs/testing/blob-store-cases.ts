import { createHash, randomBytes } from "node:crypto";
import { buffer } from "node:stream/consumers";
import { expect } from "vitest";
import { BlobMissing, type BlobStore, BlobTooLarge, type StagedBlob } from "../port.ts";

/** What every store of blobs must do; each case gets a store that may hold what other cases left. */
export interface BlobStoreCase {
  name: string;
  run(store: BlobStore): Promise<void>;
}

const BYTES_MAX = 64 * 1024 * 1024;
const CHUNK_BYTES = 64 * 1024;

const addressOf = (content: Uint8Array): string => createHash("sha256").update(content).digest("hex");

async function* chunksOf(content: Uint8Array, chunkBytes = CHUNK_BYTES): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = 0; at < content.length; at += chunkBytes) yield content.subarray(at, at + chunkBytes);
}

const stage = (store: BlobStore, content: Uint8Array): Promise<StagedBlob> =>
  store.stage(chunksOf(content), { bytesMax: BYTES_MAX });

async function put(store: BlobStore, content: Uint8Array): Promise<StagedBlob> {
  const staged = await stage(store, content);
  await staged.publish();
  return staged;
}

const contentOf = async (store: BlobStore, sha256: string): Promise<Buffer> => buffer(await store.get(sha256));
/** Everything that is staged, whenever. */
const sweepAll = (store: BlobStore): Promise<number> => store.sweep(new Date(Date.now() + 3_600_000));

export const BLOB_STORE_CASES: readonly BlobStoreCase[] = [
  {
    name: "what was put is found at its address",
    async run(store) {
      const content = randomBytes(200_000);
      const { sha256, sizeBytes } = await put(store, content);
      expect({ sha256, sizeBytes }).toEqual({ sha256: addressOf(content), sizeBytes: content.length });
      expect(await store.exists(sha256)).toBe(true);
      expect((await contentOf(store, sha256)).equals(content)).toBe(true);
    },
  },
  {
    name: "nothing is content too",
    async run(store) {
      const { sha256, sizeBytes } = await put(store, Buffer.alloc(0));
      expect({ sha256, sizeBytes }).toEqual({ sha256: addressOf(Buffer.alloc(0)), sizeBytes: 0 });
      expect(await contentOf(store, sha256)).toHaveLength(0);
    },
  },
  {
    name: "more than one part of an upload",
    async run(store) {
      const content = randomBytes(20 * 1024 * 1024 + 1);
      const { sha256 } = await put(store, content);
      expect(addressOf(await contentOf(store, sha256))).toBe(addressOf(content));
    },
  },
  {
    name: "ranges",
    async run(store) {
      const content = randomBytes(100_000);
      const { sha256 } = await put(store, content);
      for (const [start, end] of [[0, 1], [99_999], [10, 50_000], [0], [50, 50], [99_990, 200_000]] as [number, number?][]) {
        const part = await buffer(await store.get(sha256, end === undefined ? { start } : { start, end }));
        expect(part.equals(content.subarray(start, end)), `${start}-${end}`).toBe(true);
      }
    },
  },
  {
    name: "what is staged is not found, and is gone when discarded, twice too",
    async run(store) {
      const staged = await stage(store, randomBytes(1_000));
      expect(await store.exists(staged.sha256)).toBe(false);
      await staged.discard();
      await staged.discard();
      expect(await store.exists(staged.sha256)).toBe(false);
    },
  },
  {
    name: "the same content at once, and again",
    async run(store) {
      const content = randomBytes(300_000);
      const staged = await Promise.all(Array.from({ length: 4 }, () => stage(store, content)));
      await Promise.all(staged.map((each) => each.publish()));
      await put(store, content);
      expect(new Set(staged.map(({ sha256 }) => sha256))).toEqual(new Set([addressOf(content)]));
      expect((await contentOf(store, addressOf(content))).equals(content)).toBe(true);
      await store.delete(addressOf(content));
      expect(await store.exists(addressOf(content))).toBe(false);
    },
  },
  {
    name: "what is not there: get says so, exists is false, delete is done",
    async run(store) {
      const sha256 = addressOf(randomBytes(16));
      await expect(store.get(sha256)).rejects.toBeInstanceOf(BlobMissing);
      await expect(store.get(sha256, { start: 5, end: 10 })).rejects.toBeInstanceOf(BlobMissing);
      await expect(store.get(sha256, { start: 5, end: 5 })).rejects.toBeInstanceOf(BlobMissing);
      expect(await store.exists(sha256)).toBe(false);
      await store.delete(sha256);
    },
  },
  {
    name: "deleted, then put again",
    async run(store) {
      const content = randomBytes(5_000);
      const { sha256 } = await put(store, content);
      await store.delete(sha256);
      await expect(store.get(sha256)).rejects.toBeInstanceOf(BlobMissing);
      await put(store, content);
      expect((await contentOf(store, sha256)).equals(content)).toBe(true);
    },
  },
  {
    name: "too long: refused at the first byte too many, with nothing more read and nothing left",
    async run(store) {
      await sweepAll(store);
      let read = 0;
      async function* endless(): AsyncGenerator<Uint8Array, void, undefined> {
        for (;;) {
          read += 1_000;
          yield randomBytes(1_000);
        }
      }
      await expect(store.stage(endless(), { bytesMax: 10_000 })).rejects.toBeInstanceOf(BlobTooLarge);
      expect(read).toBe(11_000);
      const exact = await store.stage(chunksOf(randomBytes(10_000)), { bytesMax: 10_000 });
      await exact.discard();
      expect(await sweepAll(store)).toBe(0);
    },
  },
  {
    name: "a source that fails, and one that is stopped: its error, and nothing left",
    async run(store) {
      await sweepAll(store);
      async function* broken(): AsyncGenerator<Uint8Array, void, undefined> {
        yield randomBytes(9 * 1024 * 1024);
        throw new Error("the client left");
      }
      await expect(store.stage(broken(), { bytesMax: BYTES_MAX })).rejects.toThrow("the client left");
      const stop = new AbortController();
      async function* stopping(): AsyncGenerator<Uint8Array, void, undefined> {
        yield randomBytes(1_000);
        stop.abort(new Error("enough"));
        yield randomBytes(1_000);
      }
      await expect(store.stage(stopping(), { bytesMax: BYTES_MAX, signal: stop.signal })).rejects.toThrow("enough");
      expect(await sweepAll(store)).toBe(0);
    },
  },
  {
    name: "a sweep removes what is old and was never published, and nothing else",
    async run(store) {
      await sweepAll(store);
      const published = await put(store, randomBytes(2_000));
      const staged = await stage(store, randomBytes(2_000));
      expect(await store.sweep(new Date(Date.now() - 3_600_000))).toBe(0);
      expect(await sweepAll(store)).toBe(1);
      await staged.discard();
      expect(await store.exists(published.sha256)).toBe(true);
    },
  },
  {
    name: "a reader that leaves early",
    async run(store) {
      const { sha256 } = await put(store, randomBytes(2_000_000));
      const stream = await store.get(sha256);
      for await (const chunk of stream) {
        expect((chunk as Uint8Array).length).toBeGreaterThan(0);
        break;
      }
      if (!stream.closed) await new Promise((resolve) => stream.once("close", resolve));
      expect(stream.destroyed).toBe(true);
    },
  },
];
