import type { ReadBound } from "./events.ts";
import { isShown } from "./log-points.ts";
import type { Queryable } from "./query.ts";

/** What may show a URL: a user's message, a result of one of our own tools, an answer of a client's tool. */
export interface ShownEvent {
  seq: number;
  type: "user.message" | "agent.tool_result" | "user.custom_tool_result";
  /** Of the tool; `null` for messages. */
  tool: string | null;
  body: Record<string, unknown>;
}

/**
 * Newest first, `before` exclusive. Of built-in tools only the results of `tools` are read: what a shell prints is much.
 * @returns nothing when there is no more
 */
export async function readShownEvents(
  db: Queryable,
  sessionId: string,
  want: { types: readonly ShownEvent["type"][]; tools: readonly string[]; before: number | null; most: ReadBound },
): Promise<ShownEvent[]> {
  const { rows } = await db.query<ShownEvent>(
    `with results as (
       select result_id as id, name from tool_calls where session_id = $1 and kind = 'builtin' and name = any($3)
       union all
       select answer_id, name from tool_calls where session_id = $1 and kind = 'custom' and answer_id is not null)
     select seq, type, tool, body from (
       select e.seq, e.type, r.name as tool, e.body, sum(e.bytes) over (order by e.seq desc) - e.bytes as bytes_before
       from events e left join results r on r.id = e.id
       where e.session_id = $1 and e.type = any($2) and ($4::bigint is null or e.seq < $4)
         and (e.type = 'user.message' or r.id is not null) and ${isShown("e.seq")}
       order by e.seq desc limit $5) e
     where bytes_before < $6 order by seq desc`,
    [sessionId, want.types, want.tools, want.before, want.most.rows, want.most.bytes],
    "read_shown_events",
  );
  return rows;
}
