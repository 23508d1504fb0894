import type { SessionError } from "@sandbox0/protocol";
import type { Queryable } from "./query.ts";
import type { ResourceConfigOf } from "./session-resources.ts";

/** The errors that a session is told when a repository cannot be had (contract §8.3). */
export type RepositoryProblem = Extract<SessionError, { repository_url: string | null }>["type"];

/** What is checked out: a branch, or a commit without one; neither in an empty repository without a default branch. */
export interface CheckedOut {
  branch: string | null;
  commit: string | null;
}

export interface SessionRepository {
  resourceId: string;
  config: ResourceConfigOf<"github_repository">;
  /** `waiting`: not tried yet. */
  state: { type: "waiting" } | { type: "failed"; problem: RepositoryProblem } | ({ type: "there" } & CheckedOut);
}

interface Row {
  id: string;
  config: ResourceConfigOf<"github_repository">;
  tried_at: Date | null;
  problem: RepositoryProblem | null;
  branch: string | null;
  commit: string | null;
}

/** In the order in which the session was given them. */
export async function listSessionRepositories(db: Queryable, sessionId: string): Promise<SessionRepository[]> {
  const { rows } = await db.query<Row>(
    `select r.id, r.config, s.tried_at, s.problem, s.branch, s.commit
     from session_resources r left join session_repositories s on s.resource_id = r.id
     where r.session_id = $1 and r.type = 'github_repository' order by r.position`,
    [sessionId],
    "list_session_repositories",
  );
  return rows.map((row) => ({ resourceId: row.id, config: row.config, state: stateOf(row) }));
}

function stateOf({ tried_at: triedAt, problem, branch, commit }: Row): SessionRepository["state"] {
  if (triedAt === null) return { type: "waiting" };
  return problem === null ? { type: "there", branch, commit } : { type: "failed", problem };
}

/** What came of the last try. Nothing happens when the resource is gone, or its repository was there already. */
export async function writeRepositoryOutcome(
  db: Queryable,
  resourceId: string,
  outcome: CheckedOut | { problem: RepositoryProblem },
): Promise<void> {
  const { problem = null, branch = null, commit = null } = outcome as Partial<CheckedOut & { problem: RepositoryProblem }>;
  await db.query(
    `insert into session_repositories (resource_id, problem, branch, commit, tried_at)
     select id, $2, $3, $4, now() from session_resources where id = $1
     on conflict (resource_id) do update
       set problem = excluded.problem, branch = excluded.branch, commit = excluded.commit, tried_at = excluded.tried_at
       where session_repositories.problem is not null`,
    [resourceId, problem, branch, commit],
    "write_repository_outcome",
  );
}
