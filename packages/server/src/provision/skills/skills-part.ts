import type { SessionError } from "@sandbox0/protocol";
import type { ClaimedSandbox, Volume } from "@sandbox0/sandbox";
import { type AgentTool, enabledBuiltins } from "../../domain/permissions.ts";
import { type SessionSkillRecord, findUnscanned, insertScan } from "../../store/session-skills.ts";
import { listSessionRepositories } from "../../store/session-repositories.ts";
import type { ProvisionPart, ProvisionSession } from "../port.ts";
import { type GiveSkillsDeps, giveSkills, namedSkills } from "./give-skills.ts";
import { type PlacedSkill, placeSkills } from "./place-skills.ts";
import { scanRepository } from "./repository-skills.ts";
import { skillsNote } from "./skills-note.ts";

/** Repositories' broken skills that one `session.error` names. */
const NAMED_MAX = 20;

/**
 * Skills in the sandboxes of sessions (semantics §12): those of the agent in /mnt/skills, and those that repositories bring.
 * The prompt names them; the model reads what it needs. An agent that cannot read has none.
 */
export function createSkillsPart(deps: GiveSkillsDeps): ProvisionPart {
  /** By volume: a turn that was stopped may still be at it when the next one begins. */
  const placing = new Map<string, Promise<unknown>>();
  return {
    name: "skills",
    async fill(session, volume) {
      if (!canRead(session) || namedSkills(session).length === 0) return;
      const wanted = placedSkills(await giveSkills(deps, session));
      const before = placing.get(volume.id) ?? Promise.resolve();
      const work = before.then(() => place(deps, session, volume, wanted));
      const done = work.catch(() => undefined).then(() => void (placing.get(volume.id) === done && placing.delete(volume.id)));
      placing.set(volume.id, done);
      await work;
    },
    async ready(session, claimed) {
      if (canRead(session)) await scanRepositories(deps, session, claimed);
    },
    async notes(session) {
      if (!canRead(session)) return [];
      const note = skillsNote((await giveSkills(deps, session)).flatMap(({ given }) => given ?? []));
      return note === null ? [] : [note];
    },
  };
}

function canRead({ agent }: ProvisionSession): boolean {
  return enabledBuiltins((agent.tools ?? []) as AgentTool[]).includes("read");
}

function placedSkills(skills: readonly SessionSkillRecord[]): PlacedSkill[] {
  return skills.flatMap(({ given }) => {
    if (given === null || given.sha256 === null) return [];
    const { name, directory, sha256 } = given;
    return [{ name, directory, sha256 }];
  });
}

async function place(
  { blobs }: GiveSkillsDeps,
  session: ProvisionSession,
  volume: Volume,
  wanted: readonly PlacedSkill[],
): Promise<void> {
  const problems = await placeSkills(blobs, volume, wanted, session);
  for (const [name, problem] of problems) await session.report(unusable(`The skill ${name} cannot be unpacked: ${problem}`));
}

/** Once for each, as it was checked out. */
async function scanRepositories({ db }: GiveSkillsDeps, session: ProvisionSession, { sandbox }: ClaimedSandbox): Promise<void> {
  const { sessionId, signal } = session;
  const repositories = await listSessionRepositories(db.reads, sessionId);
  const directories = repositories.flatMap(({ config, state }) => (state.type === "there" ? [config.mount_path] : []));
  if (directories.length === 0) return;
  for (const repository of await findUnscanned(db, sessionId, directories)) {
    const scan = await scanRepository(sandbox, repository, signal);
    if (scan === null) continue;
    const { skills, problems } = scan;
    if (problems.length > 0) {
      const more = problems.length > NAMED_MAX ? `; and ${problems.length - NAMED_MAX} more` : "";
      const named = problems.slice(0, NAMED_MAX).join("; ");
      await session.report(unusable(`Skills of the repository in ${repository} are not used: ${named}${more}.`));
    }
    const records = skills.map(({ name, given }) => ({
      source: "repository" as const,
      skillId: repository,
      asked: name,
      given,
    }));
    await insertScan(db, sessionId, repository, records);
  }
}

function unusable(message: string): SessionError {
  return { type: "unknown_error", message, retry_status: { type: "retrying" } };
}
