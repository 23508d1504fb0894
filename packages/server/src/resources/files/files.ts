import type { Readable } from "node:stream";
import {
  ApiError,
  type FileListQuery,
  type FileMetadata,
  type FileUploadParams,
  type LegacyFileListQuery,
  type LegacyFileMetadata,
  PAGE_SIZE_DEFAULT,
  type Page,
  createId,
  invalidRequest,
  notFound,
} from "@sandbox0/protocol";
import type { Blobs } from "../../blobs/blobs.ts";
import { type BlobRef, BlobTooLarge } from "../../blobs/port.ts";
import { type FileRecord, deleteFile, insertFile, listFiles, readFile, readStoredBytes } from "../../store/files.ts";
import type { Database } from "../../store/pool.ts";
import type { Queryable } from "../../store/query.ts";
import { newestFirst } from "../created-at-cursor.ts";
import { fileNameOf, mimeTypeOf } from "./file-name.ts";

/** Of one file (semantics §1). */
export const FILE_BYTES_MAX = 500 * 1024 * 1024;
/** Of all uploaded files of a workspace (semantics §1). */
export const WORKSPACE_BYTES_MAX = 1024 ** 4;

const LIST = "files";
const MS_PER_SECOND = 1_000;

/** What a client sends of a file, as it comes. */
export interface IncomingFile {
  filename: string | undefined;
  mimeType: string;
  content: AsyncIterable<Uint8Array>;
}

/** Content that is stored, and no file yet. */
export interface ReceivedFile extends BlobRef {
  filename: string;
  mimeType: string;
}

export interface LegacyFilePage {
  data: LegacyFileMetadata[];
  has_more: boolean;
  first_id: string | null;
  last_id: string | null;
}

/** Files (contract §13, semantics §11). */
export interface Files {
  /**
   * Reads the content to its end. It is kept for the time it takes to `create` the file.
   * @throws ApiError for a bad name before anything is read, and for too much content; what the content throws
   */
  receive(workspaceId: string, file: IncomingFile): Promise<ReceivedFile>;
  /** @throws ApiError `storage_quota_exceeded` */
  create(workspaceId: string, received: ReceivedFile, params: FileUploadParams): Promise<FileMetadata>;
  /** `sha256`: of its content, in hex; `null` once that has expired. */
  retrieve(workspaceId: string, id: string): Promise<{ file: FileMetadata; sha256: string | null }>;
  list(workspaceId: string, query: FileListQuery): Promise<Page<FileMetadata>>;
  /** Under `anthropic-beta: files-api-2025-04-14`. */
  listLegacy(workspaceId: string, query: LegacyFileListQuery): Promise<LegacyFilePage>;
  /** @throws ApiError `file_not_downloadable`, `file_expired` */
  download(workspaceId: string, id: string): Promise<{ file: FileMetadata; content: Readable }>;
  delete(workspaceId: string, id: string): Promise<{ id: string; type: "file_deleted" }>;
}

export interface FilesDeps {
  db: Database;
  blobs: Blobs;
  /** Whether files that clients uploaded can be downloaded again: the official service says no. */
  uploadsDownloadable: boolean;
  /** Default {@link FILE_BYTES_MAX}. */
  fileBytesMax?: number;
  /** Default {@link WORKSPACE_BYTES_MAX}. */
  workspaceBytesMax?: number;
  now?: () => Date;
}

export const unknownFile = (id: string): ApiError => notFound(`File \`${id}\` not found.`);

export function createFiles(deps: FilesDeps): Files {
  const { db, blobs } = deps;
  const now = deps.now ?? (() => new Date());
  const show = (record: FileRecord): FileMetadata => metadataOf(record, deps.uploadsDownloadable);
  return {
    receive: (workspaceId, file) => receive(deps, workspaceId, file),
    async create(workspaceId, received, params) {
      const record = newFile(received, params, now());
      await db.transaction(async (tx) => {
        await insertFile(tx, workspaceId, record);
        if ((await readStoredBytes(tx, workspaceId)) > quotaOf(deps)) throw quotaExceeded();
      });
      return show(record);
    },
    async retrieve(workspaceId, id) {
      const record = await needFile(db.reads, workspaceId, id);
      return { file: show(record), sha256: record.sha256 };
    },
    async list(workspaceId, query) {
      const { ids, scope_id: sessionId } = query;
      if (ids !== undefined) {
        const records = await listFiles(db, workspaceId, { ids, sessionId, limit: ids.length });
        return { data: records.map(show), next_page: null };
      }
      return newestFirst(LIST, query, ({ after, limit }) => listFiles(db, workspaceId, { sessionId, after, limit }), show);
    },
    async listLegacy(workspaceId, query) {
      const { data, ...page } = await listLegacy(db, workspaceId, query);
      return { data: data.map((record) => legacyFileOf(show(record))), ...page };
    },
    async download(workspaceId, id) {
      const record = await needFile(db.reads, workspaceId, id);
      const file = show(record);
      if (file.downloadable !== true) {
        throw invalidRequest(`File \`${id}\` is not downloadable.`, { error_code: "file_not_downloadable" });
      }
      if (record.sha256 === null || (record.expiresAt !== null && record.expiresAt <= now())) {
        const details = { error_code: "file_expired" };
        throw new ApiError("not_found_error", `File \`${id}\` has expired; its content is gone.`, { details });
      }
      return { file, content: await blobs.open(record.sha256) };
    },
    async delete(workspaceId, id) {
      // Which is tried again when the row of a session's output, which names the file, is held by who stores it anew.
      if (!(await db.transaction((tx) => deleteFile(tx, workspaceId, id)))) throw unknownFile(id);
      return { id, type: "file_deleted" };
    },
  };
}

/** @throws ApiError not_found_error */
export async function needFile(db: Queryable, workspaceId: string, id: string): Promise<FileRecord> {
  const record = await readFile(db, workspaceId, id);
  if (!record) throw unknownFile(id);
  return record;
}

/** The same file in the older shape. */
export function legacyFileOf({ expires_at: _, ...file }: FileMetadata): LegacyFileMetadata {
  return file;
}

const quotaOf = (deps: FilesDeps): number => deps.workspaceBytesMax ?? WORKSPACE_BYTES_MAX;

function quotaExceeded(): ApiError {
  return invalidRequest("The workspace's file storage is full. Delete files to free up space, then try again.", {
    error_code: "storage_quota_exceeded",
  });
}

async function receive(deps: FilesDeps, workspaceId: string, file: IncomingFile): Promise<ReceivedFile> {
  const mimeType = mimeTypeOf(file.mimeType);
  const filename = fileNameOf(file.filename, mimeType);
  const fileBytesMax = deps.fileBytesMax ?? FILE_BYTES_MAX;
  // What the quota has no room for is not even stored for the moment.
  const room = quotaOf(deps) - (await readStoredBytes(deps.db.reads, workspaceId));
  if (room <= 0) throw quotaExceeded();
  try {
    const { sha256, sizeBytes } = await deps.blobs.put(file.content, { bytesMax: Math.min(fileBytesMax, room) });
    return { filename, mimeType, sha256, sizeBytes };
  } catch (error) {
    if (!(error instanceof BlobTooLarge)) throw error;
    if (error.bytesMax < fileBytesMax) throw quotaExceeded();
    throw new ApiError("request_too_large", `file: The file exceeds ${fileBytesMax} bytes`);
  }
}

function newFile(received: ReceivedFile, params: FileUploadParams, now: Date): FileRecord {
  const { expires_in_seconds: seconds } = params;
  return {
    id: createId("file"),
    sessionId: null,
    filename: received.filename,
    mimeType: received.mimeType,
    sizeBytes: received.sizeBytes,
    sha256: received.sha256,
    downloadable: false,
    createdAt: now,
    expiresAt: seconds === undefined ? null : new Date(now.getTime() + seconds * MS_PER_SECOND),
  };
}

function metadataOf(record: FileRecord, uploadsDownloadable: boolean): FileMetadata {
  const { sessionId } = record;
  return {
    id: record.id,
    type: "file",
    filename: record.filename,
    mime_type: record.mimeType,
    size_bytes: record.sizeBytes,
    created_at: record.createdAt.toISOString(),
    downloadable: record.downloadable || (uploadsDownloadable && sessionId === null),
    expires_at: record.expiresAt?.toISOString() ?? null,
    ...(sessionId === null ? {} : { scope: { type: "session", id: sessionId } }),
  };
}

/** Paged by the ids of files, forwards and backwards (contract §1.6). */
async function listLegacy(
  db: Database,
  workspaceId: string,
  query: LegacyFileListQuery,
): Promise<Omit<LegacyFilePage, "data"> & { data: FileRecord[] }> {
  const place = async (field: "after_id" | "before_id"): Promise<FileRecord | undefined> => {
    const id = query[field];
    if (id === undefined) return undefined;
    const record = await readFile(db, workspaceId, id);
    if (record === null) throw invalidRequest(`${field}: no file \`${id}\` in this list`);
    return record;
  };
  const [after, before] = [await place("after_id"), await place("before_id")];
  const limit = query.limit ?? PAGE_SIZE_DEFAULT;
  const records = await listFiles(db, workspaceId, { sessionId: query.scope_id, after, before, limit: limit + 1 });
  const hasMore = records.length > limit;
  // Backwards, the one too many is the newest.
  const data = hasMore && before ? records.slice(1) : records.slice(0, limit);
  return { data, has_more: hasMore, first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null };
}
