import { type Blobs, createBlobs } from "../blobs/blobs.ts";
import { createDirectoryStore } from "../blobs/directory-store.ts";
import type { BlobStore } from "../blobs/port.ts";
import { parseS3Url } from "../blobs/s3-url.ts";
import { expireFiles } from "../resources/files/expire-files.ts";
import type { Database } from "../store/pool.ts";
import { type Config, ConfigError } from "./config.ts";

/** How often what has expired, and what nothing refers to, is removed. */
const SWEEP_MS = 300_000;

export interface Storage {
  blobs: Blobs;
  /** Waits for a sweep that runs. */
  close(): Promise<void>;
}

export interface StorageDeps {
  config: Config;
  db: Database;
  /** For the log only: the next sweep tries again. */
  onProblem: (error: unknown) => void;
}

/** Where files and other content are kept, and the sweeps that keep it small. */
export async function openStorage({ config, db, onProblem }: StorageDeps): Promise<Storage> {
  const store = await openStore(config);
  const { blobGraceMs } = config;
  const blobs = createBlobs({ db, store, graceMs: blobGraceMs, onProblem });
  let sweeping: Promise<void> | null = null;
  const sweep = async (): Promise<void> => {
    try {
      await expireFiles(db);
      await blobs.collect();
    } catch (error) {
      onProblem(error);
    } finally {
      sweeping = null;
    }
  };
  const timer = setInterval(
    () => {
      sweeping ??= sweep();
    },
    Math.min(SWEEP_MS, blobGraceMs),
  );
  return {
    blobs,
    async close() {
      clearInterval(timer);
      await sweeping;
      await store.close();
    },
  };
}

/** @throws ConfigError */
async function openStore({ blobs }: Config): Promise<BlobStore> {
  if (blobs.type === "directory") return createDirectoryStore(blobs.path);
  // A large library, which most servers never use.
  const { createS3Store } = await import("../blobs/s3-store.ts");
  try {
    return await createS3Store(parseS3Url(blobs.url));
  } catch (error) {
    throw new ConfigError([`SANDBOX0_BLOBS: ${error instanceof Error ? error.message : String(error)}`]);
  }
}
