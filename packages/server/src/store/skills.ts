import type { Queryable } from "./query.ts";

export interface SkillRecord {
  id: string;
  name: string;
  displayName: string;
  createdAt: Date;
  updatedAt: Date;
  /** `null` when its last version was deleted. */
  latest: { id: string; number: number } | null;
}

interface Row {
  id: string;
  name: string;
  display_name: string;
  created_at: Date;
  updated_at: Date;
  latest_id: string | null;
  latest_number: number | null;
}

const toRecord = (row: Row): SkillRecord => ({
  id: row.id,
  name: row.name,
  displayName: row.display_name,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
  latest: row.latest_id === null || row.latest_number === null ? null : { id: row.latest_id, number: row.latest_number },
});

const SELECT = `select s.id, s.name, s.display_name, s.created_at, s.updated_at, v.id as latest_id, v.number as latest_number
  from skills s left join lateral (select id, number from skill_versions where skill_id = s.id order by number desc limit 1) v on true`;

export async function insertSkill(tx: Queryable, workspaceId: string, skill: SkillRecord): Promise<void> {
  await tx.query(
    "insert into skills (id, workspace_id, name, display_name, created_at, updated_at) values ($1, $2, $3, $4, $5, $5)",
    [skill.id, workspaceId, skill.name, skill.displayName, skill.createdAt],
  );
}

export async function readSkill(db: Queryable, workspaceId: string, id: string): Promise<SkillRecord | null> {
  const { rows } = await db.query<Row>(`${SELECT} where s.id = $1 and s.workspace_id = $2`, [id, workspaceId], "read_skill");
  return rows[0] ? toRecord(rows[0]) : null;
}

/** Until the transaction ends, nobody else changes the skill or its versions. */
export async function lockSkill(tx: Queryable, workspaceId: string, id: string): Promise<SkillRecord | null> {
  await tx.query("select from skills where id = $1 and workspace_id = $2 for no key update", [id, workspaceId], "lock_skill");
  // Another statement: it sees what the one before waited for.
  return readSkill(tx, workspaceId, id);
}

export async function touchSkill(tx: Queryable, id: string, at: Date): Promise<void> {
  await tx.query("update skills set updated_at = $2 where id = $1", [id, at]);
}

/** With its versions. */
export async function deleteSkill(tx: Queryable, id: string): Promise<void> {
  await tx.query("delete from skills where id = $1", [id]);
}

/** Newest first. `bare`: also those without a version. */
export async function listSkills(
  db: Queryable,
  workspaceId: string,
  filter: { bare: boolean; after?: { createdAt: Date; id: string } | undefined; limit: number },
): Promise<SkillRecord[]> {
  const { rows } = await db.query<Row>(
    `${SELECT}
     where s.workspace_id = $1 and ($2 or v.id is not null)
       and ($3::timestamptz is null or (s.created_at, s.id) < ($3, $4))
     order by s.created_at desc, s.id desc limit $5`,
    [workspaceId, filter.bare, filter.after?.createdAt ?? null, filter.after?.id ?? null, filter.limit],
  );
  return rows.map(toRecord);
}

/** The latest version of each of these skills that the workspace has, by the skill's id. */
export async function findLatestVersions(
  db: Queryable,
  workspaceId: string,
  skillIds: readonly string[],
): Promise<Map<string, string>> {
  const { rows } = await db.query<{ skill_id: string; id: string }>(
    `select distinct on (v.skill_id) v.skill_id, v.id from skill_versions v join skills s on s.id = v.skill_id
     where s.workspace_id = $1 and s.id = any($2) order by v.skill_id, v.number desc`,
    [workspaceId, skillIds],
    "find_latest_skill_versions",
  );
  return new Map(rows.map(({ skill_id, id }) => [skill_id, id]));
}

// --- versions --------------------------------------------------------------------------------------------------------

export interface SkillVersionRecord {
  id: string;
  skillId: string;
  number: number;
  description: string;
  /** The blob that is its zip archive. */
  sha256: string;
  sizeBytes: number;
  createdAt: Date;
}

interface VersionRow {
  id: string;
  skill_id: string;
  number: number;
  description: string;
  size_bytes: number;
  sha256: string;
  created_at: Date;
}

const VERSION_COLUMNS = "id, skill_id, number, description, size_bytes, sha256, created_at";

const toVersion = (row: VersionRow): SkillVersionRecord => ({
  id: row.id,
  skillId: row.skill_id,
  number: row.number,
  description: row.description,
  sizeBytes: row.size_bytes,
  sha256: row.sha256,
  createdAt: row.created_at,
});

export async function insertSkillVersion(tx: Queryable, version: SkillVersionRecord): Promise<void> {
  await tx.query(
    `insert into skill_versions (id, skill_id, number, description, size_bytes, sha256, created_at)
     values ($1, $2, $3, $4, $5, $6, $7)`,
    [version.id, version.skillId, version.number, version.description, version.sizeBytes, version.sha256, version.createdAt],
  );
}

/** The caller has seen that the skill is its workspace's. By id, by number, or the latest. */
export async function readSkillVersion(
  db: Queryable,
  skillId: string,
  which: { id: string } | { number: number } | "latest",
): Promise<SkillVersionRecord | null> {
  const id = typeof which === "object" && "id" in which ? which.id : null;
  const number = typeof which === "object" && "number" in which ? which.number : null;
  const { rows } = await db.query<VersionRow>(
    `select ${VERSION_COLUMNS} from skill_versions
     where skill_id = $1 and ($2::text is null or id = $2) and ($3::bigint is null or number = $3) order by number desc limit 1`,
    [skillId, id, number],
    "read_skill_version",
  );
  return rows[0] ? toVersion(rows[0]) : null;
}

/** Of these skills of the workspace, with the versions that are asked for: by id, by number, or `latest`. */
export async function findSkillVersions(
  db: Queryable,
  workspaceId: string,
  skills: readonly { skillId: string; asked: string }[],
): Promise<{ skillId: string; asked: string; name: string; description: string; sha256: string }[]> {
  const { rows } = await db.query<{ skill_id: string; asked: string; name: string; description: string; sha256: string }>(
    `select wanted.skill_id, wanted.asked, s.name, v.description, v.sha256
     from unnest($2::text[], $3::text[]) as wanted(skill_id, asked)
     join skills s on s.id = wanted.skill_id and s.workspace_id = $1
     join lateral (
       select description, sha256 from skill_versions
       where skill_id = s.id and (wanted.asked = 'latest' or id = wanted.asked or number::text = wanted.asked)
       order by number desc limit 1) v on true`,
    [workspaceId, skills.map(({ skillId }) => skillId), skills.map(({ asked }) => asked)],
    "find_skill_versions",
  );
  return rows.map(({ skill_id: skillId, ...rest }) => ({ skillId, ...rest }));
}

export async function deleteSkillVersion(tx: Queryable, id: string): Promise<void> {
  await tx.query("delete from skill_versions where id = $1", [id]);
}

/** The last one first, below `before` when given. */
export async function listSkillVersions(
  db: Queryable,
  skillId: string,
  { before, limit }: { before: number | null; limit: number },
): Promise<SkillVersionRecord[]> {
  const { rows } = await db.query<VersionRow>(
    `select ${VERSION_COLUMNS} from skill_versions
     where skill_id = $1 and ($2::bigint is null or number < $2) order by number desc limit $3`,
    [skillId, before, limit],
  );
  return rows.map(toVersion);
}
