import { createId, type StopReason } from "@sandbox0/protocol";
import { type CallAt, callsAt } from "../domain/calls-at.ts";
import { type LogPoint, readAnswers } from "../store/log-points.ts";
import { readUnsettledCalls } from "../store/session-forks.ts";
import type { Queryable } from "../store/query.ts";

const NOTHING_REWOUND = "{}";

/**
 * Of the calls that had been made by a point: those that what is stored of them now does not fit, as they stood then. An open
 * call gets a result under a new id: the old one may be on the log.
 */
export async function readCallsAt(
  db: Queryable,
  sessionId: string,
  point: LogPoint,
  now: { stopReason: StopReason | null; rewound: string },
): Promise<CallAt[]> {
  // Only a session that waits for its client has open calls at rest; only a restore leaves others than the log's last word.
  if (now.stopReason?.type !== "requires_action" && now.rewound === NOTHING_REWOUND) return [];
  const unsettled = await readUnsettledCalls(db, sessionId, point);
  if (unsettled.length === 0) return [];
  const ids = unsettled.map(({ id }) => id);
  return callsAt(unsettled, await readAnswers(db, sessionId, point, ids), () => createId("event"));
}
