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
import { type PublishedSkill, type PublishedSkills, type PublishedVersion, notOurs } from "./published-skills.ts";
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
  published: PublishedSkills;
  now: () => Date;
}

const LIST = "skills";

const unknownSkill = (id: string): ApiError => notFound(`Skill \`${id}\` not found.`);

export function createSkills({ db, blobs, published, now }: SkillsDeps): Skills {
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
    async retrieve(workspaceId, id, options) {
      const theirs = await published.find(id);
      return theirs ? publishedOf(theirs, options) : skillOf(await needSkill(db.reads, workspaceId, id, options), options);
    },
    async list(workspaceId, query, options) {
      const theirs = query.source === "custom" ? [] : await published.list();
      const filter = { ...query, limit: query.limit ?? PAGE_SIZE_DEFAULT };
      return newestFirst(
        LIST,
        filter,
        async (place) => {
          const ours = query.source === "anthropic" ? [] : await listSkills(db, workspaceId, { ...place, bare: options.legacy });
          const all = [...ours.map((record) => placed(record, record)), ...theirs.map((skill) => placed(skill, firstOf(skill)))];
          const isAfter = (each: Placed): boolean => place.after === undefined || byAge(each, place.after) > 0;
          return all.filter(isAfter).sort(byAge).slice(0, place.limit);
        },
        ({ skill }) => ("versions" in skill ? publishedOf(skill, options) : skillOf(skill, options)),
      );
    },
    async delete(workspaceId, id, options) {
      if (await published.find(id)) throw notOurs(id);
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

/** A skill with its place in the list. */
interface Placed {
  id: string;
  createdAt: Date;
  skill: SkillRecord | PublishedSkill;
}

const placed = (skill: Placed["skill"], { createdAt }: { createdAt: Date }): Placed => ({ id: skill.id, createdAt, skill });
const firstOf = ({ versions }: PublishedSkill): PublishedVersion => versions.at(-1) ?? versions[0];

/** Newest first. */
function byAge(a: { id: string; createdAt: Date }, b: { id: string; createdAt: Date }): number {
  return b.createdAt.getTime() - a.createdAt.getTime() || (a.id < b.id ? 1 : -1);
}

function skillOf(record: SkillRecord, options: ShapeOptions): SkillInfo | LegacySkillInfo {
  const { id, displayName, createdAt, updatedAt, latest } = record;
  const version = latest && (options.legacy ? String(latest.number) : latest.id);
  return shapeOf({ id, source: "custom", displayName, version, createdAt, updatedAt }, options);
}

function publishedOf(skill: PublishedSkill, options: ShapeOptions): SkillInfo | LegacySkillInfo {
  const { id, versions } = skill;
  const [{ version, createdAt: updatedAt }] = versions;
  const { createdAt } = firstOf(skill);
  return shapeOf({ id, source: "anthropic", displayName: id, version, createdAt, updatedAt }, options);
}

interface Shown {
  id: string;
  source: "custom" | "anthropic";
  displayName: string;
  version: string | null;
  createdAt: Date;
  updatedAt: Date;
}

function shapeOf(skill: Shown, { legacy }: ShapeOptions): SkillInfo | LegacySkillInfo {
  const { source, displayName, version } = skill;
  const times = { created_at: skill.createdAt.toISOString(), updated_at: skill.updatedAt.toISOString() };
  const id = { id: skill.id, type: "skill" as const };
  if (legacy) return { ...id, display_title: displayName, latest_version: version, source, ...times };
  return { ...id, display_name: displayName, latest_version_id: version ?? "", source: { type: source }, ...times };
}
