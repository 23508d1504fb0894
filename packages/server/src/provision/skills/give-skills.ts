import { ApiError, type SessionError, type Skill } from "@sandbox0/protocol";
import { SKILLS_DIR } from "@sandbox0/sandbox";
import type { Blobs } from "../../blobs/blobs.ts";
import { BlobsUnavailable } from "../../blobs/port.ts";
import { type PublishedSkills, readPublished, versionNamed } from "../../resources/skills/published-skills.ts";
import { toLine } from "../../resources/skills/skill-front-matter.ts";
import { storeBundle } from "../../resources/skills/store-bundle.ts";
import type { Database } from "../../store/pool.ts";
import { type GivenSkill, type SessionSkillRecord, insertSessionSkills, readSessionSkills } from "../../store/session-skills.ts";
import { findSkillVersions } from "../../store/skills.ts";
import type { ProvisionSession } from "../port.ts";

export interface GiveSkillsDeps {
  db: Database;
  blobs: Blobs;
  published: PublishedSkills;
}

/** One that the agent names. */
interface Named {
  source: Skill["type"];
  skillId: string;
  asked: string;
}
type Found = Omit<GivenSkill, "directory">;
interface Missing {
  reason: string;
  /** It may be there at once, and nobody needs to remember that it was not. */
  passing?: true;
}

/** Skills that one `session.error` names. */
const NAMED_MAX = 20;

/**
 * The skills that the session has: those of its agent in its order, and those of its repositories. A version is chosen when
 * the session first runs, and stays. What is not there is said in the session's log once, and looked for again.
 */
export async function giveSkills(deps: GiveSkillsDeps, session: ProvisionSession): Promise<SessionSkillRecord[]> {
  const named = namedSkills(session);
  let known = await readSessionSkills(deps.db.reads, session.sessionId);
  const open = named.filter((skill) => !known.some((record) => isOf(record, skill) && record.given !== null));
  if (open.length > 0) {
    const found = await find(deps, session.workspaceId, open);
    const taken = new Set(known.flatMap(({ given }) => given?.directory ?? []));
    const records: SessionSkillRecord[] = [];
    const news: string[] = [];
    for (const [index, skill] of open.entries()) {
      const it = found[index] as Found | Missing;
      if (!("reason" in it)) records.push({ ...skill, given: { ...it, directory: freeDirectory(taken, it.name) } });
      else if (!known.some((record) => isOf(record, skill))) {
        news.push(`\`${skill.skillId}\` ${it.reason}`);
        if (!it.passing) records.push({ ...skill, given: null });
      }
    }
    if (news.length > 0) await session.report(withoutSkills(news));
    if (records.length > 0) {
      await insertSessionSkills(deps.db, session.sessionId, records);
      known = await readSessionSkills(deps.db.reads, session.sessionId);
    }
  }
  const attached = named.flatMap((skill) => known.find((record) => isOf(record, skill)) ?? []);
  return [...attached, ...known.filter(({ source }) => source === "repository")];
}

/** What the session's agent names, each once. */
export function namedSkills({ agent }: ProvisionSession): Named[] {
  const skills = (agent.skills ?? []) as readonly Skill[];
  const named = skills.map(({ type, skill_id: skillId, version }) => ({ source: type, skillId, asked: version }));
  return named.filter((skill, index) => named.findIndex((other) => isOf(other, skill)) === index);
}

function isOf(record: Omit<Named, "source"> & { source: string }, { source, skillId, asked }: Named): boolean {
  return record.source === source && record.skillId === skillId && record.asked === asked;
}

/** Two skills may have the same name. */
function freeDirectory(taken: Set<string>, name: string): string {
  const own = `${SKILLS_DIR}/${name}`;
  let directory = own;
  for (let number = 2; taken.has(directory); number++) directory = `${own}-${number}`;
  taken.add(directory);
  return directory;
}

async function find(deps: GiveSkillsDeps, workspaceId: string, skills: readonly Named[]): Promise<(Found | Missing)[]> {
  const custom = skills.filter(({ source }) => source === "custom");
  const versions = custom.length === 0 ? [] : await findSkillVersions(deps.db, workspaceId, custom);
  const found: (Found | Missing)[] = [];
  for (const skill of skills) {
    if (skill.source === "anthropic") found.push(await findPublished(deps, skill));
    else {
      const version = versions.find(({ skillId, asked }) => skillId === skill.skillId && asked === skill.asked);
      found.push(version ?? { reason: `(version \`${skill.asked}\`) does not exist` });
    }
  }
  return found;
}

/** What the operator may change at any time becomes a blob, which does not change. */
async function findPublished({ blobs, published }: GiveSkillsDeps, { skillId, asked }: Named): Promise<Found | Missing> {
  try {
    const skill = await published.find(skillId);
    if (skill === null) return { reason: "is not provided: the operator of this server has not put it into SANDBOX0_SKILLS_DIR" };
    const version = versionNamed(skill, asked);
    if (version === undefined)
      return { reason: `(version \`${asked}\`) is not provided; ${skill.versions.map((each) => each.version).join(", ")} is` };
    const bundle = await readPublished(skillId, version);
    const { sha256 } = await storeBundle(blobs, bundle);
    return { name: bundle.name, description: bundle.description, sha256 };
  } catch (error) {
    if (error instanceof ApiError) return { reason: `cannot be used: ${toLine(error.message)}` };
    if (error instanceof BlobsUnavailable)
      return { reason: "cannot be had now: the store for files does not work", passing: true };
    throw error;
  }
}

function withoutSkills(news: readonly string[]): SessionError {
  const shown = news.slice(0, NAMED_MAX).join("; ");
  const more = news.length > NAMED_MAX ? `; and ${news.length - NAMED_MAX} more` : "";
  const message = `The session goes on without ${news.length === 1 ? "a skill" : `${news.length} skills`} of its agent: ${shown}${more}.`;
  return { type: "unknown_error", message, retry_status: { type: "retrying" } };
}
