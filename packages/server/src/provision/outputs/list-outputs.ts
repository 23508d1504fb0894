import { join } from "node:path";
import { createId } from "@sandbox0/protocol";
import type { Volume } from "@sandbox0/sandbox";
import type { Blobs } from "../../blobs/blobs.ts";
import { type BlobRef, BlobsUnavailable, BlobTooLarge, type StageOptions } from "../../blobs/port.ts";
import { mimeTypeOfName, storableName } from "../../resources/files/file-name.ts";
import { FILE_BYTES_MAX } from "../../resources/files/files.ts";
import type { FileRecord } from "../../store/files.ts";
import type { Database } from "../../store/pool.ts";
import { listSessionOutputs, type OutputRecord, storeOutput } from "../../store/session-outputs.ts";
import { readOutput } from "./read-output.ts";
import { type FoundOutput, type OutputScan, scanOutputs } from "./scan-outputs.ts";

export interface OutputLimits {
  /** Files and directories that are looked at. */
  entriesMax: number;
  /** Files of one session that came from its outputs. */
  filesMax: number;
  /** Of one file, and of all together. */
  fileBytesMax: number;
  bytesMax: number;
}

export const OUTPUT_LIMITS: OutputLimits = {
  entriesMax: 20_000,
  filesMax: 5_000,
  fileBytesMax: FILE_BYTES_MAX,
  bytesMax: 10 * 1024 ** 3,
};
/** Files that are stored at the same time. */
const STORED_AT_ONCE = 4;

export interface ListedOutputs {
  /** Nothing is left that a second look could store. */
  isComplete: boolean;
  /** What is not listed and why, for the session's log; `null`: all is. */
  notice: string | null;
}

export interface OutputsDeps {
  db: Database;
  blobs: Pick<Blobs, "put">;
  /** Default {@link OUTPUT_LIMITS}. */
  limits?: Partial<OutputLimits>;
}

type Owner = Parameters<typeof storeOutput>[1];

/** Stores what was written since the last time. What cannot be stored is said; the rest is. */
export async function listOutputs(deps: OutputsDeps, owner: Owner, volume: Volume, signal: AbortSignal): Promise<ListedOutputs> {
  const root = join(volume.path, "outputs");
  const limits = { ...OUTPUT_LIMITS, ...deps.limits };
  const scan = await scanOutputs(root, limits.entriesMax);
  if (scan.files.length === 0) return { isComplete: true, notice: describe(limits, scan, noneLeftOut()) };
  const known = new Map((await listSessionOutputs(deps.db, owner.sessionId)).map((record) => [record.path, record]));
  const { wanted, leftOut } = choose(limits, scan, known);
  const queue = wanted.values();
  const work = async (): Promise<void> => {
    for (const found of queue) {
      if (signal.aborted || leftOut.isUnavailable) return;
      const outcome = await store(deps, owner, root, found, { bytesMax: limits.fileBytesMax, signal });
      if (outcome === "unreadable") leftOut.unreadable += 1;
      if (outcome === "too_large") leftOut.tooLarge += 1;
      if (outcome === "unavailable") leftOut.isUnavailable = true;
    }
  };
  const workers = await Promise.allSettled(Array.from({ length: STORED_AT_ONCE }, work));
  for (const worker of workers) if (worker.status === "rejected") throw worker.reason;
  return { isComplete: !signal.aborted && !leftOut.isUnavailable, notice: describe(limits, scan, leftOut) };
}

interface LeftOut {
  tooMany: number;
  tooLarge: number;
  unreadable: number;
  isUnavailable: boolean;
}

const noneLeftOut = (): LeftOut => ({ tooMany: 0, tooLarge: 0, unreadable: 0, isUnavailable: false });

/** What has changed, as far as there is room. */
function choose(
  limits: OutputLimits,
  { files }: OutputScan,
  known: ReadonlyMap<string, OutputRecord>,
): { wanted: FoundOutput[]; leftOut: LeftOut } {
  const leftOut = noneLeftOut();
  const wanted: FoundOutput[] = [];
  let count = [...known.values()].filter(({ fileId }) => fileId !== null).length;
  let bytes = 0;
  for (const found of files) {
    const record = known.get(found.path);
    const isNew = record === undefined || record.fileId === null;
    const isChanged = record?.stamp !== found.stamp;
    if (found.sizeBytes > limits.fileBytesMax) {
      leftOut.tooLarge += 1;
    } else if (bytes + found.sizeBytes > limits.bytesMax || (isNew && isChanged && count >= limits.filesMax)) {
      leftOut.tooMany += 1;
    } else {
      bytes += found.sizeBytes;
      if (!isChanged) continue;
      wanted.push(found);
      if (isNew) count += 1;
    }
  }
  return { wanted, leftOut };
}

type Outcome = "stored" | "unreadable" | "too_large" | "unavailable" | "stopped";

async function store(
  deps: OutputsDeps,
  owner: Owner,
  root: string,
  found: FoundOutput,
  options: StageOptions & { signal: AbortSignal },
): Promise<Outcome> {
  let ref: BlobRef | null;
  try {
    ref = await readOutput(root, found.path, (content) => deps.blobs.put(content, options));
  } catch (error) {
    if (options.signal.aborted) return "stopped";
    if (error instanceof BlobTooLarge) return "too_large";
    // The store has told the operator.
    if (error instanceof BlobsUnavailable) return "unavailable";
    if ((error as NodeJS.ErrnoException).code === "EACCES") return "unreadable";
    throw error;
  }
  // Gone since it was found.
  if (ref === null) return "stored";
  const file = outputFile(owner.sessionId, found.path, ref);
  await deps.db.transaction((tx) => storeOutput(tx, owner, { path: found.path, stamp: found.stamp, file }));
  return "stored";
}

function outputFile(sessionId: string, path: string, { sha256, sizeBytes }: BlobRef): FileRecord & { sha256: string } {
  const filename = storableName(Buffer.from(path.slice(path.lastIndexOf("/") + 1), "latin1").toString());
  return {
    id: createId("file"),
    sessionId,
    filename,
    mimeType: mimeTypeOfName(filename),
    sizeBytes,
    sha256,
    downloadable: true,
    createdAt: new Date(),
    expiresAt: null,
  };
}

function describe(limits: OutputLimits, scan: OutputScan, leftOut: LeftOut): string | null {
  const parts: string[] = [];
  const say = (count: number, rule: string): void => {
    if (count > 0) parts.push(`${count} ${count === 1 ? "file" : "files"} ${rule}`);
  };
  if (scan.isCut) parts.push(`what is beyond the first ${limits.entriesMax} files and directories`);
  say(leftOut.tooLarge, `of more than ${limits.fileBytesMax} bytes`);
  say(leftOut.tooMany, `beyond the ${limits.filesMax} files and ${limits.bytesMax} bytes that a session may have there`);
  say(scan.tooDeep, "with too long a path, or in too many directories");
  say(leftOut.unreadable, "that cannot be read");
  if (leftOut.isUnavailable) parts.push("what could not be stored now, and is tried again after the next turn");
  return parts.length === 0 ? null : `Not listed of /mnt/session/outputs: ${parts.join("; ")}.`;
}
