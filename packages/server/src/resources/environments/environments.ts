import { isDeepStrictEqual } from "node:util";
import {
  ApiError,
  type Environment,
  type EnvironmentBuild,
  type EnvironmentCreateParams,
  type EnvironmentListQuery,
  type EnvironmentUpdateParams,
  type Page,
  createId,
  invalidRequest,
  mergeMetadata,
  notFound,
} from "@sandbox0/protocol";
import {
  type EnvironmentRecord,
  archiveEnvironment,
  deleteEnvironment,
  insertEnvironment,
  listEnvironments,
  readEnvironment,
  updateEnvironment,
} from "../../store/environments.ts";
import type { Database } from "../../store/pool.ts";
import type { Queryable } from "../../store/query.ts";
import { newestFirst } from "../created-at-cursor.ts";
import { IMAGE_KEY, parseImage } from "./environment-image.ts";
import { recipeOf } from "./environment-recipe.ts";
import { readFile } from "../../store/files.ts";
import { askForBuild } from "../../store/environment-builds.ts";
import { environmentBuildOf } from "./environment-build.ts";
import { mergeConfig, newConfig } from "./environment-config.ts";

/** Environments (contract §4, semantics §3). Names need not be unique: the official examples use the same one again. */
export interface Environments {
  create(workspaceId: string, params: EnvironmentCreateParams): Promise<Environment>;
  retrieve(workspaceId: string, id: string): Promise<Environment>;
  update(workspaceId: string, id: string, params: EnvironmentUpdateParams): Promise<Environment>;
  list(workspaceId: string, query: EnvironmentListQuery): Promise<Page<Environment>>;
  /** Read-only from now on, and no new sessions; a second time changes nothing. */
  archive(workspaceId: string, id: string): Promise<Environment>;
  /** @throws ApiError conflict_error while a session refers to it */
  delete(workspaceId: string, id: string): Promise<{ id: string; type: "environment_deleted" }>;
  /** Our own: how far its packages are. */
  build(workspaceId: string, id: string): Promise<EnvironmentBuild>;
}

const LIST = "environments";

export const unknownEnvironment = (id: string): ApiError => notFound(`Environment \`${id}\` not found.`);

export function createEnvironments(deps: { db: Database; now?: () => Date }): Environments {
  const { db } = deps;
  const now = deps.now ?? (() => new Date());
  return {
    async create(workspaceId, params) {
      const record = newEnvironment(params, now());
      await db.transaction(async (tx) => {
        await checkImage(tx, workspaceId, record);
        await insertEnvironment(tx, workspaceId, record);
        await prepareAhead(tx, workspaceId, record);
      });
      return environmentOf(record);
    },
    retrieve: async (workspaceId, id) => environmentOf(await need(db.reads, workspaceId, id)),
    update: async (workspaceId, id, params) =>
      environmentOf(await db.transaction((tx) => update(tx, workspaceId, id, params, now()))),
    list: (workspaceId, query) => newestFirst(LIST, query, (filter) => listEnvironments(db, workspaceId, filter), environmentOf),
    async archive(workspaceId, id) {
      const record = await archiveEnvironment(db, workspaceId, id, now());
      if (!record) throw unknownEnvironment(id);
      return environmentOf(record);
    },
    async delete(workspaceId, id) {
      const outcome = await deleteEnvironment(db, workspaceId, id);
      if (outcome === "unknown") throw unknownEnvironment(id);
      if (outcome === "in_use") {
        throw new ApiError(
          "conflict_error",
          `Environment \`${id}\` is used by sessions. Delete them first, or archive the environment.`,
        );
      }
      return { id, type: "environment_deleted" };
    },
    build: async (workspaceId, id) => environmentBuildOf(db.reads, workspaceId, await need(db.reads, workspaceId, id)),
  };
}

async function need(
  db: Queryable,
  workspaceId: string,
  id: string,
  options: { lock?: boolean } = {},
): Promise<EnvironmentRecord> {
  const record = await readEnvironment(db, workspaceId, id, options);
  if (!record) throw unknownEnvironment(id);
  return record;
}

export function environmentOf(record: EnvironmentRecord): Environment {
  return {
    id: record.id,
    type: "environment",
    name: record.name,
    description: record.description,
    config: record.config,
    metadata: record.metadata,
    scope: "organization",
    created_at: record.createdAt.toISOString(),
    updated_at: record.updatedAt.toISOString(),
    archived_at: record.archivedAt?.toISOString() ?? null,
  };
}

function newEnvironment(params: EnvironmentCreateParams, now: Date): EnvironmentRecord {
  return {
    id: createId("environment"),
    name: params.name,
    description: params.description ?? null,
    config: newConfig(params.config),
    metadata: params.metadata ?? {},
    createdAt: now,
    updatedAt: now,
    archivedAt: null,
  };
}

async function update(
  tx: Queryable,
  workspaceId: string,
  id: string,
  params: EnvironmentUpdateParams,
  now: Date,
): Promise<EnvironmentRecord> {
  const stored = await need(tx, workspaceId, id, { lock: true });
  if (stored.archivedAt !== null) {
    throw invalidRequest(`Environment \`${id}\` is archived and cannot be updated.`, { error_code: "environment_archived" });
  }
  const changed: EnvironmentRecord = {
    ...stored,
    name: params.name ?? stored.name,
    // `null` clears; `""` is kept as it is (contract §4).
    description: params.description === undefined ? stored.description : params.description,
    config: mergeConfig(stored.config, params.config),
    metadata: mergeMetadata(stored.metadata, params.metadata, {
      emptyDeletes: true,
      details: { error_code: "invalid_metadata" },
    }),
  };
  if (isDeepStrictEqual(changed, stored)) return stored;
  const updated = { ...changed, updatedAt: now };
  if (updated.metadata[IMAGE_KEY] !== stored.metadata[IMAGE_KEY]) await checkImage(tx, workspaceId, updated);
  await updateEnvironment(tx, updated);
  await prepareAhead(tx, workspaceId, updated);
  return updated;
}

/** @throws ApiError for what cannot be an image, or is a file that is not there */
async function checkImage(tx: Queryable, workspaceId: string, { metadata }: EnvironmentRecord): Promise<void> {
  const text = metadata[IMAGE_KEY]?.trim() ?? "";
  if (text === "") return;
  const field = `metadata.${IMAGE_KEY}`;
  const image = parseImage(text);
  if (image === null)
    throw invalidRequest(`${field}: must be the id of a file, or an image like host/path:tag or host/path@sha256:…`);
  if (image.type !== "file") return;
  const file = await readFile(tx, workspaceId, image.fileId);
  if (file?.sha256 == null) throw invalidRequest(`${field}: there is no file \`${image.fileId}\`, or it has expired`);
}

/** Its first session shall not have to wait for its packages. */
async function prepareAhead(tx: Queryable, workspaceId: string, record: EnvironmentRecord): Promise<void> {
  const recipe = recipeOf(workspaceId, record);
  if (recipe !== null) await askForBuild(tx, { recipe: recipe.id, workspaceId, environmentId: record.id });
}
