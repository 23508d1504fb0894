import type { Readable } from "node:stream";
import {
  type LegacySkillVersionInfo,
  PAGE_SIZE_DEFAULT,
  type Page,
  type SkillVersionInfo,
  type SkillVersionListQuery,
  decodeCursor,
  encodeCursor,
  invalidRequest,
  notFound,
} from "@sandbox0/protocol";
import type { Queryable } from "../../store/query.ts";
import {
  type SkillVersionRecord,
  deleteSkillVersion,
  insertSkillVersion,
  listSkillVersions,
  readSkillVersion,
  touchSkill,
} from "../../store/skills.ts";
import { pageOfRecords } from "../list-page.ts";
import { type UploadedFile, readBundle } from "./skill-bundle.ts";
import { type ShapeOptions, type SkillsDeps, needSkill } from "./skills.ts";
import { newVersion, storeBundle } from "./store-bundle.ts";

/** Which version: `version` is its id, its number, or `latest`. */
export interface VersionAt {
  workspaceId: string;
  skillId: string;
  version: string;
}

type AnyVersion = SkillVersionInfo | LegacySkillVersionInfo;

/** The versions of skills (contract §12). */
export interface SkillVersions {
  /** @throws ApiError for a bad upload, and when it has another name than the skill; nothing of it is left */
  create(at: Omit<VersionAt, "version">, uploads: readonly UploadedFile[], options: ShapeOptions): Promise<AnyVersion>;
  retrieve(at: VersionAt, options: ShapeOptions): Promise<AnyVersion>;
  /** The last one first. */
  list(at: Omit<VersionAt, "version">, query: SkillVersionListQuery, options: ShapeOptions): Promise<Page<AnyVersion>>;
  /** A zip archive of one directory, of the skill's name. */
  download(at: VersionAt): Promise<{ name: string; sizeBytes: number; content: Readable }>;
  /** @throws ApiError for the last one, but in the old way */
  delete(at: VersionAt, options: ShapeOptions): Promise<{ id: string; type: "skill_version_deleted" }>;
}

const LATEST = "latest";
/** As versions were once addressed. */
const NUMBER = /^\d{1,16}$/;

export function createSkillVersions(deps: SkillsDeps): SkillVersions {
  const { db, blobs, now } = deps;
  return {
    create: (at, uploads, options) => create(deps, at, uploads, options),
    async retrieve(at, options) {
      const { name } = await needSkill(db.reads, at.workspaceId, at.skillId, { legacy: true });
      return versionOf(await needVersion(db.reads, at), name, options);
    },
    async list({ workspaceId, skillId }, query, options) {
      const { name } = await needSkill(db.reads, workspaceId, skillId, options);
      const limit = query.limit ?? PAGE_SIZE_DEFAULT;
      const list = `skill_versions of ${skillId}`;
      const order = "desc";
      const before = query.page === undefined ? null : Number(decodeCursor(query.page, { list, order, key: ["seq"] }).key[0]);
      const records = await listSkillVersions(db, skillId, { before, limit: limit + 1 });
      return pageOfRecords(
        records,
        limit,
        (record) => versionOf(record, name, options),
        (last) => encodeCursor({ list, order, key: [last.number] }),
      );
    },
    async download(at) {
      const { name } = await needSkill(db.reads, at.workspaceId, at.skillId, { legacy: true });
      const { sha256, sizeBytes } = await needVersion(db.reads, at);
      return { name, sizeBytes, content: await blobs.open(sha256) };
    },
    async delete(at, options) {
      const record = await db.transaction(async (tx) => {
        await needSkill(tx, at.workspaceId, at.skillId, { ...options, lock: true });
        const version = await needVersion(tx, at);
        const [, other] = await listSkillVersions(tx, at.skillId, { before: null, limit: 2 });
        if (!other && !options.legacy)
          throw invalidRequest(`\`${version.id}\` is the last version of the skill; delete the skill instead.`);
        await deleteSkillVersion(tx, version.id);
        await touchSkill(tx, at.skillId, now());
        return version;
      });
      return { id: options.legacy ? String(record.number) : record.id, type: "skill_version_deleted" };
    },
  };
}

async function create(
  { db, blobs, now }: SkillsDeps,
  { workspaceId, skillId }: Omit<VersionAt, "version">,
  uploads: readonly UploadedFile[],
  options: ShapeOptions,
): Promise<AnyVersion> {
  const { name } = await needSkill(db.reads, workspaceId, skillId, options);
  const bundle = await readBundle(uploads);
  if (bundle.name !== name)
    throw invalidRequest(`SKILL.md.name: must be "${name}", the name of the skill, in every version; it is "${bundle.name}"`);
  const blob = await storeBundle(blobs, bundle);
  return db.transaction(async (tx) => {
    const at = now();
    await needSkill(tx, workspaceId, skillId, { ...options, lock: true });
    const previous = await readSkillVersion(tx, skillId, LATEST);
    const version = newVersion(skillId, bundle, blob, at, previous?.number ?? null);
    await insertSkillVersion(tx, version);
    await touchSkill(tx, skillId, at);
    return versionOf(version, name, options);
  });
}

/** @throws ApiError not_found_error */
async function needVersion(db: Queryable, { skillId, version }: VersionAt): Promise<SkillVersionRecord> {
  const which = version === LATEST ? LATEST : NUMBER.test(version) ? { number: Number(version) } : { id: version };
  const record = await readSkillVersion(db, skillId, which);
  if (!record) throw notFound(`Skill version \`${version}\` not found.`);
  return record;
}

function versionOf(record: SkillVersionRecord, name: string, { legacy }: ShapeOptions): AnyVersion {
  const version: SkillVersionInfo = {
    id: record.id,
    type: "skill_version",
    skill_id: record.skillId,
    name,
    description: record.description,
    created_at: record.createdAt.toISOString(),
  };
  return legacy ? { ...version, directory: name, version: String(record.number) } : version;
}
