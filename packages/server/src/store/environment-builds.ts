import type { Queryable, Transaction } from "./query.ts";

/** How a build stands. */
export interface BuildRow {
  recipe: string;
  state: "queued" | "building" | "ready" | "failed";
  step: string | null;
  attempt: number;
  notBefore: Date | null;
  error: string | null;
  logTail: string;
  createdAt: Date;
  startedAt: Date | null;
  finishedAt: Date | null;
}

/** The right to build, which another node's claim ends. */
export interface BuildClaim {
  recipe: string;
  storeId: string;
  nodeId: number;
  attempt: number;
}

/** No server has it yet. */
const ASKED = "";
const COLUMNS = `recipe, state, step, attempt, not_before as "notBefore", error, log_tail as "logTail",
  created_at as "createdAt", started_at as "startedAt", finished_at as "finishedAt"`;

/** Asks the servers to build it ahead of the first session, unless one has done so or is at it. */
export async function askForBuild(
  tx: Queryable,
  { recipe, workspaceId, environmentId }: { recipe: string; workspaceId: string; environmentId: string },
): Promise<void> {
  await tx.query(
    `insert into environment_builds (recipe, store_id, workspace_id, environment_id, state)
     select $1, $2, $3, $4, 'queued' where not exists
       (select from environment_builds where recipe = $1 and (state <> 'failed' or not_before > clock_timestamp()))
     on conflict do nothing`,
    [recipe, ASKED, workspaceId, environmentId],
    "ask_for_build",
  );
}

/**
 * Builds that this store should begin, the oldest first, with an environment that may still have that recipe: those that were
 * asked for, and those that nobody builds any more. `otherNodeIds` are the nodes that live, without the one that asks.
 */
export async function readWaitingBuilds(
  db: Queryable,
  storeId: string,
  otherNodeIds: readonly number[],
  limit: number,
): Promise<{ recipe: string; environmentId: string | null }[]> {
  const { rows } = await db.query<{ recipe: string; environmentId: string | null }>(
    `select recipe, environment_id as "environmentId" from environment_builds
     where store_id = $1 or (store_id = $2 and state = 'building' and not (node_id = any($3)))
     order by created_at limit $4`,
    [ASKED, storeId, otherNodeIds, limit],
    "read_waiting_builds",
  );
  return rows;
}

/** Nobody wants it any more: what `readWaitingBuilds` gave. */
export async function dropWaitingBuild(
  db: Queryable,
  recipe: string,
  storeId: string,
  otherNodeIds: readonly number[],
): Promise<void> {
  await db.query(
    `delete from environment_builds where recipe = $1
       and (store_id = $2 or (store_id = $3 and state = 'building' and not (node_id = any($4))))`,
    [recipe, ASKED, storeId, otherNodeIds],
    "drop_waiting_build",
  );
}

/**
 * Begins a build for this store, unless another node that lives is at it, it is ready, or its time after a failure has not come.
 * @param build `lostAttempt`: its layer was there, and the caller has found none since it read so; that one is ready no more
 * @returns the claim, or how the build stands
 */
export async function claimBuild(
  tx: Transaction,
  build: {
    recipe: string;
    storeId: string;
    workspaceId: string;
    environmentId: string;
    nodeId: number;
    lostAttempt: number | null;
  },
  aliveNodeIds: readonly number[],
): Promise<BuildClaim | BuildRow> {
  const { recipe, storeId, workspaceId, environmentId, nodeId, lostAttempt } = build;
  await tx.query("delete from environment_builds where recipe = $1 and store_id = $2", [recipe, ASKED], "drop_asked_build");
  // A row of this node's own is left from a time when it could not write how its build ended.
  const { rows } = await tx.query<{ attempt: number }>(
    `insert into environment_builds as b (recipe, store_id, workspace_id, environment_id, state, node_id, attempt, started_at)
     values ($1, $2, $3, $4, 'building', $5, 1, clock_timestamp())
     on conflict (recipe, store_id) do update set environment_id = $4, state = 'building', step = null, node_id = $5,
       attempt = b.attempt + 1, error = null, log_tail = '', started_at = clock_timestamp(), finished_at = null
     where b.state = 'queued' or (b.state = 'ready' and b.attempt = $7) or (b.state = 'failed' and b.not_before <= clock_timestamp())
       or (b.state = 'building' and (b.node_id = $5 or not (b.node_id = any($6))))
     returning attempt`,
    [recipe, storeId, workspaceId, environmentId, nodeId, aliveNodeIds, lostAttempt],
  );
  const attempt = rows[0]?.attempt;
  if (attempt !== undefined) return { recipe, storeId, nodeId, attempt };
  const row = await readBuild(tx, recipe, storeId);
  if (row === null) throw new Error(`the build ${recipe} is neither ours nor anybody's`);
  return row;
}

export async function readBuild(db: Queryable, recipe: string, storeId: string): Promise<BuildRow | null> {
  const { rows } = await db.query<BuildRow>(
    `select ${COLUMNS} from environment_builds where recipe = $1 and store_id = $2`,
    [recipe, storeId],
    "read_build",
  );
  return rows[0] ?? null;
}

/** Of all stores, the one that tells most: what is ready before what is being built, and that before what failed. */
export async function readBestBuild(db: Queryable, recipe: string): Promise<BuildRow | null> {
  const { rows } = await db.query<BuildRow>(
    `select ${COLUMNS} from environment_builds where recipe = $1
     order by array_position(array['ready', 'building', 'failed', 'queued'], state), started_at desc nulls last limit 1`,
    [recipe],
    "read_best_build",
  );
  return rows[0] ?? null;
}

/** @returns false: another node builds it now */
export async function noteBuildProgress(
  db: Queryable,
  claim: BuildClaim,
  step: string | null,
  logTail: string,
): Promise<boolean> {
  const { rowCount } = await db.query(
    `update environment_builds set step = $5, log_tail = $6
     where recipe = $1 and store_id = $2 and node_id = $3 and attempt = $4 and state = 'building'`,
    [...fence(claim), step, logTail],
    "note_build_progress",
  );
  return rowCount === 1;
}

export async function noteBuildReady(db: Queryable, claim: BuildClaim, logTail: string): Promise<void> {
  await db.query(
    `update environment_builds set state = 'ready', step = null, failures = 0, not_before = null, log_tail = $5,
       finished_at = clock_timestamp()
     where recipe = $1 and store_id = $2 and node_id = $3 and attempt = $4`,
    [...fence(claim), logTail],
    "note_build_ready",
  );
}

/** The next try waits twice as long as this one did. */
export async function noteBuildFailed(
  db: Queryable,
  claim: BuildClaim,
  failure: { error: string; step: string | null; logTail: string; backOffMs: { first: number; max: number } },
): Promise<void> {
  const { error, step, logTail, backOffMs } = failure;
  await db.query(
    `update environment_builds set state = 'failed', error = $5, step = $6, log_tail = $7, failures = failures + 1,
       finished_at = clock_timestamp(),
       not_before = clock_timestamp() + least($8::float8 * 2 ^ least(failures, 30), $9) * interval '1 ms'
     where recipe = $1 and store_id = $2 and node_id = $3 and attempt = $4`,
    [...fence(claim), error, step, logTail, backOffMs.first, backOffMs.max],
    "note_build_failed",
  );
}

/** Whose the layers of a store are, by recipe. */
export async function readBuildWorkspaces(db: Queryable, storeId: string): Promise<Map<string, string>> {
  const { rows } = await db.query<{ recipe: string; workspaceId: string }>(
    `select recipe, workspace_id as "workspaceId" from environment_builds where store_id = $1`,
    [storeId],
    "read_build_workspaces",
  );
  return new Map(rows.map(({ recipe, workspaceId }) => [recipe, workspaceId]));
}

/** Its layer is no more. */
export async function forgetBuild(db: Queryable, recipe: string, storeId: string): Promise<void> {
  await db.query("delete from environment_builds where recipe = $1 and store_id = $2 and state <> 'building'", [recipe, storeId]);
}

const fence = ({ recipe, storeId, nodeId, attempt }: BuildClaim) => [recipe, storeId, nodeId, attempt];
