import { randomBytes } from "node:crypto";
import { createReadStream, createWriteStream, existsSync } from "node:fs";
import { access, mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Volume } from "@sandbox0/sandbox";
import type { Blobs } from "../../blobs/blobs.ts";
import type { Database } from "../../store/pool.ts";
import { type SessionVolume, setCheckpoint, setKept } from "../../store/session-volumes.ts";
import {
  beginCheckpoint,
  dropCheckpoint,
  finishCheckpoint,
  keepCheckpointBlob,
  readCheckpoint,
} from "../../store/volume-checkpoints.ts";
import type { CaptureBounds, Captured } from "./capture-tree.ts";
import { readLines } from "./line-file.ts";
import { MANIFEST_FORMAT, type ManifestBlob, type ManifestHead } from "./manifest.ts";
import type { BlobContent } from "./restore-tree.ts";
import type { TreeThreads } from "./tree-threads.ts";
import { unlessAborted } from "./unless-aborted.ts";

/** What of a volume is kept: all that the session writes. Its mounted files come from elsewhere. */
const KEPT_DIRECTORIES = ["workspace", "home", "outputs", "tool-outputs"];
/** Of a volume, beside its directories: what the last checkpoint knows of the files. Nothing of the session sees it. */
const RECORDS = "checkpoints";
/** Far above a pack, a chunk and a manifest, of which a capture bounds the entries. */
const BLOB_BYTES_MAX = 1024 ** 3;

/** A turn has begun to use the files while they were looked at, or the checkpoint before is somebody else's, too. */
export class VolumeInUse extends Error {
  readonly code = "volume_in_use";
  constructor() {
    super("the session goes on");
    this.name = "VolumeInUse";
  }
}

type Omitted = Captured["omitted"];

export interface Checkpoints {
  /**
   * The files of the volume as they are, kept outside the machine; `session` is the row as it was before. Only what changed
   * since the last one is read and stored; without a change the last one is the answer.
   * @param isQuiet nothing writes to the files before a turn does
   * @returns the checkpoint, and what is not in it unless that is the same as in the last one
   * @throws VolumeInUse, TooManyEntries, BlobsUnavailable, DatabaseUnavailable, what the signal says
   */
  capture(
    volume: Volume,
    session: SessionVolume,
    isQuiet: boolean,
    signal: AbortSignal,
  ): Promise<{ id: string; omitted: Omitted | null }>;
  /** Puts its files into an empty volume. @throws BlobsUnavailable, BlobMissing, DatabaseUnavailable, what the signal says */
  restore(checkpointId: string, volume: Volume, signal: AbortSignal): Promise<void>;
}

export interface CheckpointsDeps {
  db: Database;
  blobs: Pick<Blobs, "put" | "putKnown" | "pathOf" | "open">;
  threads: TreeThreads;
  nodeId(): number;
  bounds?: CaptureBounds;
}

export function createCheckpoints(deps: CheckpointsDeps): Checkpoints {
  return {
    async capture(volume, session, isQuiet, signal) {
      const id = `vckpt_${randomBytes(16).toString("hex")}`;
      const records = new Records(volume);
      const previous = session.checkpointId === null ? null : await records.read(session.checkpointId);
      await records.begin();
      const draft = new Draft(deps.db, id, session.sessionId, deps.nodeId());
      try {
        const captured = await captureInto(deps, draft, volume, records, previous, signal);
        const last = session.checkpointId;
        if (!captured.hasChanged && last !== null) {
          await draft.drop();
          if (session.dirty && !(await setKept(deps.db, session, isQuiet))) throw new VolumeInUse();
          // Which of its files can be trusted to be unchanged may be known better by now.
          await records.write(last, captured, id);
          await records.keepOnly(last, id);
          return { id: last, omitted: newsOf(captured.omitted, previous) };
        }
        await records.write(id, captured, id);
        await draft.begin();
        await keepManifest(deps, { id, session, isQuiet }, captured, records, signal);
        await records.keepOnly(id);
        return { id, omitted: newsOf(captured.omitted, previous) };
      } catch (error) {
        await records.remove(id);
        // What fails here the sweep does some time later.
        await draft.drop();
        throw error;
      }
    },
    restore: (checkpointId, volume, signal) => restore(deps, checkpointId, volume, signal),
  };
}

function newsOf(omitted: Omitted, previous: Known | null): Omitted | null {
  const isKnown = JSON.stringify(omitted) === JSON.stringify(previous?.omitted ?? NOTHING_OMITTED);
  return isKnown ? null : omitted;
}

const NOTHING_OMITTED: Omitted = { count: 0, shown: [] };

async function captureInto(
  { blobs, threads, bounds }: CheckpointsDeps,
  draft: Draft,
  volume: Volume,
  records: Records,
  previous: Known | null,
  signal: AbortSignal,
): Promise<Captured> {
  const store = async (content: Uint8Array, sha256: string): Promise<void> => {
    await blobs.putKnown(content, sha256, signal);
    await draft.keep(sha256);
  };
  const job = { root: volume.path, names: KEPT_DIRECTORIES, previous, entriesPath: records.entriesPath(draft.id), ...bounds };
  return threads.capture(job, store, signal);
}

/** The row of a checkpoint in the making: there is one as soon as there is something to keep. */
class Draft {
  readonly id: string;
  readonly #db: Database;
  readonly #sessionId: string;
  readonly #nodeId: number;
  #begun: Promise<void> | null = null;

  constructor(db: Database, id: string, sessionId: string, nodeId: number) {
    this.#db = db;
    this.id = id;
    this.#sessionId = sessionId;
    this.#nodeId = nodeId;
  }

  begin(): Promise<void> {
    this.#begun ??= beginCheckpoint(this.#db, this.id, this.#sessionId, this.#nodeId);
    return this.#begun;
  }

  async keep(sha256: string): Promise<void> {
    await this.begin();
    await keepCheckpointBlob(this.#db, this.id, sha256);
  }

  async drop(): Promise<void> {
    if (this.#begun !== null) await dropCheckpoint(this.#db, this.id);
  }
}

/** From here on the session has this checkpoint, and no longer the one before. */
async function keepManifest(
  { db, blobs }: CheckpointsDeps,
  { id, session, isQuiet }: { id: string; session: SessionVolume; isQuiet: boolean },
  captured: Captured,
  records: Records,
  signal: AbortSignal,
): Promise<void> {
  const stored = blobs.put(records.manifest(id, captured.blobs), { bytesMax: BLOB_BYTES_MAX, signal });
  const manifest = await unlessAborted(signal, stored);
  const { entries, bytes } = captured;
  const hashes = captured.blobs.map(({ sha256 }) => sha256);
  await db.transaction(async (tx) => {
    await finishCheckpoint(tx, id, { sha256: manifest.sha256, blobs: hashes, entries, bytes }, session.checkpointId);
    if (!(await setCheckpoint(tx, session, id, isQuiet))) throw new VolumeInUse();
  });
}

async function restore(deps: CheckpointsDeps, checkpointId: string, volume: Volume, signal: AbortSignal): Promise<void> {
  const checkpoint = await readCheckpoint(deps.db, checkpointId);
  if (checkpoint === null) throw new Error(`there is no checkpoint ${checkpointId}`);
  const records = new Records(volume);
  await records.begin();
  const manifestPath = records.manifestPath(checkpointId);
  const manifest = await unlessAborted(signal, deps.blobs.open(checkpoint.sha256));
  await pipeline(manifest, createWriteStream(manifestPath, { mode: 0o600 }), { signal });
  const { blobs } = readHead(manifestPath);
  const numbered = new Map(blobs.map((blob) => [blob.number, blob]));
  const fetch = async (number: number): Promise<BlobContent> => {
    const blob = numbered.get(number);
    if (blob === undefined) throw new Error(`the manifest of ${checkpointId} names no blob ${number}`);
    const path = deps.blobs.pathOf(blob.sha256);
    if (path !== null && existsSync(path)) return { path };
    return { content: await read(await deps.blobs.open(blob.sha256), blob.sizeBytes) };
  };
  const owner = await ownerOf(volume);
  const entriesPath = records.entriesPath(checkpointId);
  await deps.threads.restore({ root: volume.path, owner, manifestPath, blobs, entriesPath }, fetch, signal);
  await records.write(checkpointId, { blobs, omitted: NOTHING_OMITTED }, checkpointId);
  await rm(manifestPath);
}

function readHead(manifestPath: string): ManifestHead {
  const lines = readLines(manifestPath);
  const head = JSON.parse(String(lines.next().value)) as ManifestHead;
  lines.return();
  if (head.format !== MANIFEST_FORMAT) throw new Error(`a manifest has the unknown format ${String(head.format)}`);
  return head;
}

/** Sandboxes of root's run as the owner of their volume. */
async function ownerOf({ path }: Volume): Promise<{ uid: number; gid: number } | null> {
  if (process.getuid?.() !== 0) return null;
  const { uid, gid } = await stat(path);
  return { uid, gid };
}

/** All of it, in a buffer of its own. */
async function read(content: Readable, sizeBytes: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(sizeBytes);
  let length = 0;
  for await (const chunk of content as AsyncIterable<Uint8Array>) {
    if (length + chunk.length > sizeBytes) throw new Error("a blob is longer than its manifest says");
    bytes.set(chunk, length);
    length += chunk.length;
  }
  return bytes.subarray(0, length);
}

/** Of a checkpoint, on the machine that made it or that the files were brought to. */
interface Known {
  blobs: readonly ManifestBlob[];
  entriesPath: string;
  omitted: Omitted;
}

/** What is known of a volume's files at its last checkpoint. Without it, all of them are read and stored again. */
class Records {
  readonly #dir: string;

  constructor(volume: Volume) {
    this.#dir = join(volume.path, RECORDS);
  }

  async begin(): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
  }

  entriesPath(id: string): string {
    return join(this.#dir, `${id}.entries`);
  }

  manifestPath(id: string): string {
    return join(this.#dir, `${id}.manifest`);
  }

  async read(id: string): Promise<Known | null> {
    try {
      const head = JSON.parse(await readFile(this.#headPath(id), "utf8")) as ManifestHead & { entries: string; omitted: Omitted };
      const { blobs, entries, omitted } = head;
      const entriesPath = join(this.#dir, entries);
      await access(entriesPath);
      return { blobs, entriesPath, omitted };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw error;
    }
  }

  /** Of the checkpoint `id`; the entries are those that were written for `entriesId`. */
  async write(id: string, { blobs, omitted }: Pick<Known, "blobs" | "omitted">, entriesId: string): Promise<void> {
    const draft = `${this.#headPath(id)}.draft`;
    const head = { format: MANIFEST_FORMAT, blobs, entries: `${entriesId}.entries`, omitted };
    await writeFile(draft, JSON.stringify(head), { mode: 0o600 });
    await rename(draft, this.#headPath(id));
  }

  async *manifest(id: string, blobs: readonly ManifestBlob[]): AsyncGenerator<Uint8Array, void, undefined> {
    yield Buffer.from(`${JSON.stringify({ format: MANIFEST_FORMAT, blobs } satisfies ManifestHead)}\n`);
    yield* createReadStream(this.entriesPath(id)) as AsyncIterable<Uint8Array>;
  }

  async keepOnly(...ids: string[]): Promise<void> {
    const others = (await readdir(this.#dir)).filter((name) => !ids.some((id) => name.startsWith(`${id}.`)));
    for (const name of others) await rm(join(this.#dir, name), { force: true });
  }

  async remove(id: string): Promise<void> {
    for (const path of [this.entriesPath(id), this.#headPath(id)]) await rm(path, { force: true });
  }

  #headPath(id: string): string {
    return join(this.#dir, `${id}.json`);
  }
}
