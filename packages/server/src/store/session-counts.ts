import type { Queryable } from "./query.ts";

export interface SessionCounts {
  /** As the API shows them. */
  byStatus: Record<string, number>;
  /** Sessions with work that no node has taken up yet, and since when the oldest of it is due. */
  due: number;
  oldestDueAt: Date | null;
}

/** Of all workspaces. Reads every head: not more often than a person looks. */
export async function countSessions(db: Queryable): Promise<SessionCounts> {
  const [statuses, due] = await Promise.all([
    db.query<{ status: string; count: number }>(
      "select h.shown_status as status, count(*)::int as count from session_heads h group by 1",
      [],
      "count_sessions",
    ),
    db.query<{ count: number; oldest: Date | null }>(
      "select count(*)::int as count, min(wake_at) as oldest from session_heads where wake_at <= now() and lease_owner is null",
      [],
      "count_due_sessions",
    ),
  ]);
  return {
    byStatus: Object.fromEntries(statuses.rows.map(({ status, count }) => [status, count])),
    due: due.rows[0]?.count ?? 0,
    oldestDueAt: due.rows[0]?.oldest ?? null,
  };
}
