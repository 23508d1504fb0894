import { createId, invalidRequest, type SessionResourceParams } from "@sandbox0/protocol";
import { findOverlap, memoryPath, type MountPath, repositoryPath, UPLOADS_ROOT, uploadPath } from "../domain/mount-paths.ts";
import type { ResourceTokens } from "../resources/vaults/resource-tokens.ts";
import { copyFilesToSession, type FileRecord, readFiles } from "../store/files.ts";
import { type MemoryStoreRecord, readMemoryStores } from "../store/memory-stores.ts";
import type { Queryable } from "../store/query.ts";
import { type SealedToken, writeResourceToken } from "../store/resource-tokens.ts";
import { insertSessionResources, type ResourceConfig, type ResourceRecord } from "../store/session-resources.ts";
import { parseRepositoryUrl } from "./repository-url.ts";

/** Of all files that are mounted in one session: half of the disk of its sandbox (semantics §23). */
export const MOUNTED_BYTES_MAX = 5 * 1024 ** 3;

/** Resources that were looked at and found good, with what storing them takes. */
export interface NewResources {
  records: ResourceRecord[];
  /** Files of which the session gets a copy. */
  copies: { from: string; id: string; sizeBytes: number }[];
  tokens: SealedToken[];
}

export interface NewResourcesDeps {
  db: Queryable;
  tokens: Pick<ResourceTokens, "seal">;
}

/**
 * Resolves what a session shall be given: the files and memory stores are there and of its workspace, repositories and paths
 * make sense. @param field names the parameter in errors. @throws ApiError
 */
export async function resolveResources(
  { db, tokens }: NewResourcesDeps,
  workspaceId: string,
  params: readonly SessionResourceParams[],
  fieldOf: (index: number) => string,
  now: Date,
): Promise<NewResources> {
  const known = await readNamed(db, workspaceId, params);
  const resolved: NewResources = { records: [], copies: [], tokens: [] };
  const mounted = new Set<string>();
  for (const [index, param] of params.entries()) {
    const field = fieldOf(index);
    const id = createId("sessionResource");
    let config: ResourceConfig;
    switch (param.type) {
      case "file": {
        const file = needUsableFile(known.files, param.file_id, `${field}file_id`, now);
        const copy = { from: file.id, id: createId("file"), sizeBytes: file.sizeBytes };
        resolved.copies.push(copy);
        const path = placed(uploadPath(param.mount_path ?? `${UPLOADS_ROOT}/${param.file_id}`), field);
        config = { type: "file", file_id: copy.id, mount_path: path };
        break;
      }
      case "github_repository": {
        const { url, name } = parseRepositoryUrl(param.url, `${field}url`);
        const path = placed(repositoryPath(param.mount_path ?? name), field);
        const checkout = param.checkout ? { checkout: param.checkout } : {};
        config = { type: "github_repository", url, mount_path: path, ...checkout };
        if (param.authorization_token) resolved.tokens.push(await tokens.seal(id, param.authorization_token));
        break;
      }
      case "memory_store": {
        const store = needStore(known.stores, param.memory_store_id, `${field}memory_store_id`);
        if (known.seen.has(store.id))
          throw invalidRequest(`${field}memory_store_id: Memory store \`${store.id}\` is there twice.`);
        known.seen.add(store.id);
        config = {
          type: "memory_store",
          memory_store_id: store.id,
          access: param.access ?? "read_write",
          instructions: param.instructions ?? null,
          name: store.name,
          description: store.description,
          mount_path: memoryPath(store.name, mounted),
        };
        break;
      }
    }
    mounted.add(config.mount_path);
    resolved.records.push({ id, config, createdAt: now, updatedAt: now });
  }
  return resolved;
}

/** Stores them behind what the session has; nothing, when together they cannot be. @throws ApiError */
export async function storeResources(
  tx: Queryable,
  session: { id: string; workspaceId: string },
  { records, copies, tokens }: NewResources,
  existing: { records: readonly ResourceRecord[]; mountedBytes: number },
): Promise<void> {
  const overlap = findOverlap([...existing.records, ...records].map(({ config }) => config.mount_path));
  if (overlap !== null) throw invalidRequest(`mount_path: ${describeOverlap(overlap)}`);
  const bytes = copies.reduce((sum, { sizeBytes }) => sum + sizeBytes, existing.mountedBytes);
  if (bytes > MOUNTED_BYTES_MAX)
    throw invalidRequest(`The files of a session may have ${MOUNTED_BYTES_MAX} bytes together; these would have ${bytes}.`);
  const at = records[0]?.createdAt;
  if (at === undefined) return;
  if (copies.length > 0) {
    const made = await copyFilesToSession(tx, { workspaceId: session.workspaceId, sessionId: session.id, at }, copies);
    if (made < copies.length) throw invalidRequest("resources: a file was deleted or has expired meanwhile");
  }
  await insertSessionResources(tx, session.id, records);
  for (const token of tokens) await writeResourceToken(tx, token);
}

function describeOverlap([outer, inner]: readonly [string, string]): string {
  return outer === inner ? `two resources cannot both be at ${outer}` : `${inner} is inside ${outer}, where another resource is`;
}

function placed(path: MountPath, field: string): string {
  if ("problem" in path) throw invalidRequest(`${field}mount_path: ${path.problem}`);
  return path.path;
}

async function readNamed(
  db: Queryable,
  workspaceId: string,
  params: readonly SessionResourceParams[],
): Promise<{ files: Map<string, FileRecord>; stores: Map<string, MemoryStoreRecord>; seen: Set<string> }> {
  const fileIds = params.flatMap((param) => (param.type === "file" ? [param.file_id] : []));
  const storeIds = params.flatMap((param) => (param.type === "memory_store" ? [param.memory_store_id] : []));
  const [files, stores] = await Promise.all([
    fileIds.length === 0 ? [] : readFiles(db, workspaceId, fileIds),
    storeIds.length === 0 ? [] : readMemoryStores(db, workspaceId, storeIds),
  ]);
  return {
    files: new Map(files.map((file) => [file.id, file])),
    stores: new Map(stores.map((store) => [store.id, store])),
    seen: new Set(),
  };
}

/** A file of the workspace that still has its content. @throws ApiError that names the field */
export function needUsableFile(files: ReadonlyMap<string, FileRecord>, id: string, field: string, now: Date): FileRecord {
  const file = files.get(id);
  if (!file) throw invalidRequest(`${field}: File \`${id}\` not found.`);
  if (file.sha256 === null || (file.expiresAt !== null && file.expiresAt <= now))
    throw invalidRequest(`${field}: File \`${id}\` has expired; its content is gone.`);
  return file;
}

function needStore(stores: ReadonlyMap<string, MemoryStoreRecord>, id: string, field: string): MemoryStoreRecord {
  const store = stores.get(id);
  if (!store) throw invalidRequest(`${field}: Memory store \`${id}\` not found.`);
  if (store.archivedAt !== null) throw invalidRequest(`${field}: Memory store \`${id}\` is archived.`);
  return store;
}
