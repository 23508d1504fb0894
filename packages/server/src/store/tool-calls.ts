import type { Queryable } from "./query.ts";

/** Which tool each of these calls of a session was for, by the call's id. */
export async function readCallNames(db: Queryable, sessionId: string, ids: readonly string[]): Promise<Map<string, string>> {
  if (ids.length === 0) return new Map();
  const { rows } = await db.query<{ id: string; name: string }>(
    "select id, name from tool_calls where session_id = $1 and id = any($2)",
    [sessionId, ids],
    "read_call_names",
  );
  return new Map(rows.map((row) => [row.id, row.name]));
}
