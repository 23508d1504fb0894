import {
  type ApiError,
  type LegacySkillInfo,
  PAGE_SIZE_DEFAULT,
  type Page,
  type SkillInfo,
  type SkillListQuery,
  createId,
  invalidRequest,
  notFound,
} from "@sandbox0/protocol";
import type { Blobs } from "../../blobs/blobs.ts";
import type { Database } from "../../store/pool.ts";
import type { Queryable } from "../../store/query.ts";
import {
  type SkillRecord,
  deleteSkill,
  insertSkill,
  insertSkillVersion,
  listSkills,
  lockSkill,
  readSkill,
} from "../../store/skills.ts";
import { newestFirst } from "../created-at-cursor.ts";
import { type UploadedFile, readBundle } from "./skill-bundle.ts";
import { newVersion, storeBundle } from "./store-bundle.ts";

/** Under `anthropic-beta: skills-2025-10-02` things are shown as they were then, and a skill may be without versions. */
export interface ShapeOptions {
  legacy: boolean;
}

/** Skills (contract §12). */
export interface Skills {
  /** @throws ApiError for a bad upload; nothing of it is left */
  create(
    workspaceId: string,
    uploads: readonly UploadedFile[],
    displayName: string | undefined,
    options: ShapeOptions,
  ): Promise<SkillInfo | LegacySkillInfo>;
  retrieve(workspaceId: string, id: string, options: ShapeOptions): Promise<SkillInfo | LegacySkillInfo>;
  list(workspaceId: string, query: SkillListQuery, options: ShapeOptions): Promise<Page<SkillInfo | LegacySkillInfo>>;
  /** With its versions; in the old way only without any. */
  delete(workspaceId: string, id: string, options: ShapeOptions): Promise<{ id: string; type: "skill_deleted" }>;
}

export interface SkillsDeps {
  db: Database;
  blobs: Blobs;
  now: () => Date;
}

const LIST = "skills";
const SOURCE = "custom";

const unknownSkill = (id: string): ApiError => notFound(`Skill \`${id}\` not found.`);

export function createSkills({ db, blobs, now }: SkillsDeps): Skills {
  return {
    async create(workspaceId, uploads, displayName, options) {
      const bundle = await readBundle(uploads);
      const blob = await storeBundle(blobs, bundle);
      const at = now();
      const id = createId("skill");
      const version = newVersion(id, bundle, blob, at, null);
      const record: SkillRecord = {
        id,
        name: bundle.name,
        displayName: displayName || bundle.name,
        createdAt: at,
        updatedAt: at,
        latest: version,
      };
      await db.transaction(async (tx) => {
        await insertSkill(tx, workspaceId, record);
        await insertSkillVersion(tx, version);
      });
      return skillOf(record, options);
    },
    retrieve: async (workspaceId, id, options) => skillOf(await needSkill(db.reads, workspaceId, id, options), options),
    async list(workspaceId, query, options) {
      // Those that Anthropic publishes are not here.
      if (query.source === "anthropic") return { data: [], next_page: null };
      const filter = { ...query, limit: query.limit ?? PAGE_SIZE_DEFAULT };
      return newestFirst(
        LIST,
        filter,
        (place) => listSkills(db, workspaceId, { ...place, bare: options.legacy }),
        (record) => skillOf(record, options),
      );
    },
    async delete(workspaceId, id, options) {
      await db.transaction(async (tx) => {
        const { latest } = await needSkill(tx, workspaceId, id, { ...options, lock: true });
        if (options.legacy && latest)
          throw invalidRequest("Cannot delete skill with existing versions. Delete all versions first.");
        await deleteSkill(tx, id);
      });
      return { id, type: "skill_deleted" };
    },
  };
}

/** @throws ApiError not_found_error */
export async function needSkill(
  db: Queryable,
  workspaceId: string,
  id: string,
  options: ShapeOptions & { lock?: boolean },
): Promise<SkillRecord> {
  const record = await (options.lock === true ? lockSkill(db, workspaceId, id) : readSkill(db, workspaceId, id));
  if (!record || (record.latest === null && !options.legacy)) throw unknownSkill(id);
  return record;
}

function skillOf(record: SkillRecord, { legacy }: ShapeOptions): SkillInfo | LegacySkillInfo {
  const times = { created_at: record.createdAt.toISOString(), updated_at: record.updatedAt.toISOString() };
  const id = { id: record.id, type: "skill" as const };
  if (legacy)
    return {
      ...id,
      display_title: record.displayName,
      latest_version: record.latest && String(record.latest.number),
      source: SOURCE,
      ...times,
    };
  return {
    ...id,
    display_name: record.displayName,
    latest_version_id: record.latest?.id ?? "",
    source: { type: SOURCE },
    ...times,
  };
}
