import type { Blobs } from "../blobs/blobs.ts";
import type { PublishedSkills } from "../resources/skills/published-skills.ts";
import { createFilesPart } from "../provision/files/files-part.ts";
import { createOutputsPart } from "../provision/outputs/outputs-part.ts";
import { createMemoryPart } from "../provision/memory/memory-part.ts";
import { createSkillsPart } from "../provision/skills/skills-part.ts";
import type { ProvisionPart } from "../provision/port.ts";
import type { Database } from "../store/pool.ts";
import { createProvision, type Provision } from "../provision/provision.ts";

export interface ServerProvisionDeps {
  db: Database;
  blobs: Blobs;
  published: PublishedSkills;
  volumes: ProvisionPart;
  packages: ProvisionPart;
  repositories: ProvisionPart;
  /** Host directory for the memory stores of sessions, below the sandbox driver's. */
  memoryDir: string;
}

/** What the sandboxes of sessions are given, in order. */
export function createServerProvision(deps: ServerProvisionDeps): Provision {
  return createProvision([
    deps.volumes,
    deps.packages,
    createFilesPart(deps),
    // Before the skills, which are looked for in them as well.
    deps.repositories,
    createSkillsPart(deps),
    createMemoryPart({ db: deps.db, dir: deps.memoryDir, now: () => new Date() }),
    createOutputsPart(deps),
  ]);
}
