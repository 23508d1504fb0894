import type { Blobs } from "../../blobs/blobs.ts";
import type { Database } from "../../store/pool.ts";
import type { PublishedSkills } from "./published-skills.ts";
import { withPublished } from "./published-versions.ts";
import { type SkillVersions, createSkillVersions } from "./skill-versions.ts";
import { type Skills, createSkills } from "./skills.ts";

export interface SkillApi {
  skills: Skills;
  versions: SkillVersions;
}

export interface SkillApiDeps {
  db: Database;
  blobs: Blobs;
  published: PublishedSkills;
  now?: () => Date;
}

export function createSkillApi(deps: SkillApiDeps): SkillApi {
  const parts = { ...deps, now: deps.now ?? (() => new Date()) };
  return { skills: createSkills(parts), versions: withPublished(createSkillVersions(parts), parts) };
}
