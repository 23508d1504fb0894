import type { Head } from "../domain/head.ts";
import type { Queryable } from "./query.ts";
import { type HeadJson, toHead } from "./session-state.ts";

/** Sessions that some node should claim now: new work, a due retry, a lease that ran out. */
export async function readDue(db: Queryable, limit: number): Promise<string[]> {
  const { rows } = await db.query<{ session_id: string }>(
    "select session_id from session_heads where wake_at <= clock_timestamp() order by wake_at limit $1",
    [limit],
    "read_due",
  );
  return rows.map((row) => row.session_id);
}

/** Takes the lease if the session is due; the head comes back locked. `null`: nothing to do, or another node was first. */
export async function claimLease(tx: Queryable, sessionId: string, nodeId: number, ttlMs: number): Promise<Head | null> {
  const { rows } = await tx.query<{ head: HeadJson }>(
    `update session_heads h set lease_owner = $2, lease_generation = lease_generation + 1,
            wake_at = clock_timestamp() + $3::int * interval '1 ms'
     where session_id = $1 and wake_at <= clock_timestamp() returning row_to_json(h) as head`,
    [sessionId, nodeId, ttlMs],
    "claim_lease",
  );
  return rows[0] ? toHead(rows[0].head) : null;
}

/** Extends what this node holds; answers with the sessions still held, whether an interrupt waits, and the last input. */
export async function renewLeases(
  db: Queryable,
  nodeId: number,
  sessionIds: readonly string[],
  ttlMs: number,
): Promise<{ sessionId: string; generation: number; interrupted: boolean; inboxPosition: number }[]> {
  const { rows } = await db.query<{ sessionId: string; generation: number; interrupted: boolean; inboxPosition: number }>(
    `update session_heads set wake_at = clock_timestamp() + $3::int * interval '1 ms'
     where lease_owner = $1 and session_id = any($2)
     returning session_id as "sessionId", lease_generation as generation, interrupted, inbox_position as "inboxPosition"`,
    [nodeId, sessionIds, ttlMs],
    "renew_leases",
  );
  return rows;
}

/** Leases of nodes that are no longer alive are due at once (design §2.1: no session hangs in `running`). */
export async function expireLeasesOfDead(db: Queryable, aliveNodeIds: readonly number[]): Promise<number> {
  const { rowCount } = await db.query(
    `update session_heads set wake_at = clock_timestamp(), lease_owner = null
     where lease_owner is not null and not (lease_owner = any($1))`,
    [aliveNodeIds],
    "expire_leases",
  );
  return rowCount;
}

/** Gives up what this node may hold of a session whose turn it abandons, for the next node to go on with. */
export async function abandonLease(db: Queryable, sessionId: string, nodeId: number): Promise<void> {
  await db.query(
    "update session_heads set wake_at = clock_timestamp(), lease_owner = null where session_id = $1 and lease_owner = $2",
    [sessionId, nodeId],
    "abandon_lease",
  );
}
