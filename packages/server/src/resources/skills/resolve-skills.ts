import type { Skill, SkillParams } from "@sandbox0/protocol";
import type { Queryable } from "../../store/query.ts";
import { findLatestVersions } from "../../store/skills.ts";

/** Of a skill that is not here (yet), as all that Anthropic publishes: its newest version, whichever that will be. */
const LATEST = "latest";

/**
 * The skills of an agent. One without a version gets the newest that there is now; whether it exists is asked when it is
 * used (semantics §12). A version that is named, `latest` too, stays as it is.
 */
export async function resolveSkills(db: Queryable, workspaceId: string, params: readonly SkillParams[]): Promise<Skill[]> {
  const open = params.flatMap(({ type, skill_id: id, version }) => (type === "custom" && version == null ? [id] : []));
  const latest = open.length === 0 ? new Map<string, string>() : await findLatestVersions(db, workspaceId, open);
  return params.map(({ type, skill_id: id, version }) => ({
    type,
    skill_id: id,
    version: version ?? (type === "custom" ? latest.get(id) : undefined) ?? LATEST,
  }));
}
