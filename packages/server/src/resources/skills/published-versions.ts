import { PAGE_SIZE_DEFAULT, type SkillVersionInfo, decodeCursor, encodeCursor, notFound } from "@sandbox0/protocol";
import type { Blobs } from "../../blobs/blobs.ts";
import { pageOfRecords } from "../list-page.ts";
import {
  type PublishedSkill,
  type PublishedSkills,
  type PublishedVersion,
  describePublished,
  notOurs,
  readPublished,
  versionNamed,
} from "./published-skills.ts";
import type { SkillVersions, VersionAt } from "./skill-versions.ts";
import type { ShapeOptions } from "./skills.ts";
import { storeBundle } from "./store-bundle.ts";

/** The versions of skills, with those of the published ones, which nobody changes. */
export function withPublished(custom: SkillVersions, { published, blobs }: PublishedVersionsDeps): SkillVersions {
  return {
    async create(at, uploads, options) {
      if (await published.find(at.skillId)) throw notOurs(at.skillId);
      return custom.create(at, uploads, options);
    },
    async retrieve(at, options) {
      const skill = await published.find(at.skillId);
      return skill ? infoOf(skill.id, needVersion(skill, at), options) : custom.retrieve(at, options);
    },
    async list(at, query, options) {
      const skill = await published.find(at.skillId);
      if (!skill) return custom.list(at, query, options);
      const limit = query.limit ?? PAGE_SIZE_DEFAULT;
      const place = { list: `skill_versions of ${skill.id}`, order: "desc" as const };
      // Numbered from the oldest, so that a new one does not shift them.
      const numbered = skill.versions.map((version, index) => ({ version, number: skill.versions.length - index }));
      const before = query.page === undefined ? Infinity : Number(decodeCursor(query.page, { ...place, key: ["seq"] }).key[0]);
      const shown = numbered.filter(({ number }) => number < before).slice(0, limit + 1);
      const infos = await Promise.all(
        shown.map(async ({ version, number }) => ({ info: await infoOf(skill.id, version, options), number })),
      );
      return pageOfRecords(
        infos,
        limit,
        ({ info }) => info,
        (last) => encodeCursor({ ...place, key: [last.number] }),
      );
    },
    async download(at) {
      const skill = await published.find(at.skillId);
      if (!skill) return custom.download(at);
      const { sha256, sizeBytes } = await storeBundle(blobs, await readPublished(skill.id, needVersion(skill, at)));
      return { name: skill.id, sizeBytes, content: await blobs.open(sha256) };
    },
    async delete(at, options) {
      if (await published.find(at.skillId)) throw notOurs(at.skillId);
      return custom.delete(at, options);
    },
  };
}

interface PublishedVersionsDeps {
  published: PublishedSkills;
  blobs: Blobs;
}

function needVersion(skill: PublishedSkill, { version: name }: VersionAt): PublishedVersion {
  const version = versionNamed(skill, name);
  if (!version) throw notFound(`Skill version \`${name}\` not found.`);
  return version;
}

async function infoOf(id: string, { version, createdAt, directory }: PublishedVersion, { legacy }: ShapeOptions) {
  const info: SkillVersionInfo = {
    id: version,
    type: "skill_version",
    skill_id: id,
    name: id,
    description: await describePublished(id, directory),
    created_at: createdAt.toISOString(),
  };
  return legacy ? { ...info, directory: id, version } : info;
}
