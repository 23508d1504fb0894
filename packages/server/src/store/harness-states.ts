import type { Queryable } from "./query.ts";

/** A cache beside the log, fenced like the rest: a holder that lost the lease leaves no state behind. */
export async function saveHarnessState(db: Queryable, sessionId: string, generation: number, state: unknown): Promise<void> {
  await db.query(
    `insert into harness_states (session_id, seq, state)
     select session_id, seq, $3::json from session_heads where session_id = $1 and lease_generation = $2
     on conflict (session_id) do update set seq = excluded.seq, state = excluded.state`,
    [sessionId, generation, JSON.stringify(state)],
    "save_harness_state",
  );
}

export async function readHarnessState(db: Queryable, sessionId: string): Promise<unknown> {
  const { rows } = await db.query<{ state: unknown }>(
    "select state from harness_states where session_id = $1",
    [sessionId],
    "read_harness_state",
  );
  return rows[0]?.state ?? null;
}
