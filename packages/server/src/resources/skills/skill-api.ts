import type { Blobs } from "../../blobs/blobs.ts";
import type { Database } from "../../store/pool.ts";
import { type SkillVersions, createSkillVersions } from "./skill-versions.ts";
import { type Skills, createSkills } from "./skills.ts";

export interface SkillApi {
  skills: Skills;
  versions: SkillVersions;
}

export function createSkillApi(deps: { db: Database; blobs: Blobs; now?: () => Date }): SkillApi {
  const parts = { ...deps, now: deps.now ?? (() => new Date()) };
  return { skills: createSkills(parts), versions: createSkillVersions(parts) };
}
