import type { Queryable } from "./query.ts";

/** What one process asks the node with a session's files for. */
export interface VolumeRequest {
  id: number;
  sessionId: string;
  /** `null`: a checkpoint only; else where the files, or the sandbox, are wanted. */
  movesTo: string | null;
}

/** Answers are read at once; what nobody has read for so long nobody waits for. */
const REQUEST_AGE_MINUTES_MAX = 60;

export async function addVolumeRequest(
  db: Queryable,
  { sessionId, homeId, movesTo }: { sessionId: string; homeId: string; movesTo: string | null },
): Promise<number> {
  const { rows } = await db.query<{ id: number }>(
    "insert into volume_requests (session_id, home_id, moves_to) values ($1, $2, $3) returning id",
    [sessionId, homeId, movesTo],
    "add_volume_request",
  );
  return rows[0]?.id as number;
}

/** Those for this data directory that are this node's to answer, or that a dead node has left; they are its own from now on. */
export async function takeVolumeRequests(
  db: Queryable,
  { homeId, nodeId }: { homeId: string; nodeId: number },
  aliveNodeIds: readonly number[],
): Promise<VolumeRequest[]> {
  const { rows } = await db.query<VolumeRequest>(
    `update volume_requests set node_id = $2
     where id in (
       select r.id from volume_requests r left join session_volumes v using (session_id)
       where r.home_id = $1 and r.answered_at is null and (r.node_id is null or not (r.node_id = any($3)))
         and (v.node_id is null or v.node_id = $2 or not (v.node_id = any($3)))
       for update of r skip locked)
     returning id, session_id as "sessionId", moves_to as "movesTo"`,
    [homeId, nodeId, aliveNodeIds],
    "take_volume_requests",
  );
  return rows;
}

/** @param failure a sentence; `null`: it is done */
export async function answerVolumeRequest(db: Queryable, id: number, failure: string | null): Promise<void> {
  await db.query(
    "update volume_requests set answered_at = now(), failure = $2 where id = $1",
    [id, failure],
    "answer_volume_request",
  );
}

/** The answer, if there is one; reading it removes it. `null`: not yet. */
export async function takeVolumeAnswer(db: Queryable, id: number): Promise<{ failure: string | null } | null> {
  const { rows } = await db.query<{ failure: string | null }>(
    "delete from volume_requests where id = $1 and answered_at is not null returning failure",
    [id],
    "take_volume_answer",
  );
  return rows[0] ?? null;
}

/** Nobody waits for it any more. */
export async function removeVolumeRequest(db: Queryable, id: number): Promise<void> {
  await db.query("delete from volume_requests where id = $1", [id], "remove_volume_request");
}

export async function removeOldVolumeRequests(db: Queryable): Promise<void> {
  await db.query(`delete from volume_requests where asked_at < now() - ${REQUEST_AGE_MINUTES_MAX} * interval '1 minute'`);
}
