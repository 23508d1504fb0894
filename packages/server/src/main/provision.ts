import type { Blobs } from "../blobs/blobs.ts";
import type { PublishedSkills } from "../resources/skills/published-skills.ts";
import { createFilesPart } from "../provision/files/files-part.ts";
import { createOutputsPart } from "../provision/outputs/outputs-part.ts";
import { createSkillsPart } from "../provision/skills/skills-part.ts";
import type { Database } from "../store/pool.ts";
import { createProvision, type Provision } from "../provision/provision.ts";

export interface ServerProvisionDeps {
  db: Database;
  blobs: Blobs;
  published: PublishedSkills;
}

/** What the sandboxes of sessions are given, in order. */
export function createServerProvision(deps: ServerProvisionDeps): Provision {
  return createProvision([createFilesPart(deps), createSkillsPart(deps), createOutputsPart(deps)]);
}
