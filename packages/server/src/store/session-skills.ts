import type { Database } from "./pool.ts";
import type { Queryable } from "./query.ts";

export interface SessionSkillKey {
  source: "custom" | "anthropic" | "repository";
  /** What the agent names; of a repository: where it is mounted. */
  skillId: string;
  /** The version that the agent asks for; of a repository: the skill's directory in it. */
  asked: string;
}

/** What a session has of a skill. */
export interface GivenSkill {
  /** In the sandbox, absolute: `/mnt/skills/report-maker`. */
  directory: string;
  name: string;
  description: string;
  /** The blob that is its zip archive; `null`: the skill is there already. */
  sha256: string | null;
}

export interface SessionSkillRecord extends SessionSkillKey {
  /** `null`: it could not be given, and the session's log says why. */
  given: GivenSkill | null;
}

interface Row {
  source: SessionSkillKey["source"];
  skill_id: string;
  asked: string;
  directory: string | null;
  name: string | null;
  description: string | null;
  sha256: string | null;
}

export async function readSessionSkills(db: Queryable, sessionId: string): Promise<SessionSkillRecord[]> {
  const { rows } = await db.query<Row>(
    `select source, skill_id, asked, directory, name, description, sha256 from session_skills
     where session_id = $1 order by source, skill_id, asked`,
    [sessionId],
    "read_session_skills",
  );
  return rows.map(({ source, skill_id: skillId, asked, directory, name, description, sha256 }) => ({
    source,
    skillId,
    asked,
    given: directory === null ? null : { directory, name: name ?? "", description: description ?? "", sha256 },
  }));
}

/** What the session has already stays as it is. */
export async function insertSessionSkills(
  db: Queryable,
  sessionId: string,
  skills: readonly SessionSkillRecord[],
): Promise<void> {
  await db.query(
    `insert into session_skills as old (session_id, source, skill_id, asked, directory, name, description, sha256)
     select $1, * from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
     on conflict (session_id, source, skill_id, asked) do update
       set directory = excluded.directory, name = excluded.name, description = excluded.description, sha256 = excluded.sha256
       where old.directory is null and excluded.directory is not null`,
    [
      sessionId,
      skills.map(({ source }) => source),
      skills.map(({ skillId }) => skillId),
      skills.map(({ asked }) => asked),
      ...(["directory", "name", "description", "sha256"] as const).map((field) =>
        skills.map(({ given }) => given?.[field] ?? null),
      ),
    ],
    "insert_session_skills",
  );
}

/** Of these repositories, those whose skills were never looked for. */
export async function findUnscanned(db: Queryable, sessionId: string, directories: readonly string[]): Promise<string[]> {
  const { rows } = await db.query<{ directory: string }>(
    `select directory from unnest($2::text[]) as mounted(directory)
     where not exists (select from session_skill_scans s where s.session_id = $1 and s.directory = mounted.directory)`,
    [sessionId, directories],
    "find_unscanned_repositories",
  );
  return rows.map(({ directory }) => directory);
}

/** The skills that a repository brought, once for all: a crash in between leaves it to be looked at again. */
export async function insertScan(
  db: Database,
  sessionId: string,
  directory: string,
  skills: readonly SessionSkillRecord[],
): Promise<void> {
  await db.transaction(async (tx) => {
    await insertSessionSkills(tx, sessionId, skills);
    await tx.query("insert into session_skill_scans (session_id, directory) values ($1, $2) on conflict do nothing", [
      sessionId,
      directory,
    ]);
  });
}
