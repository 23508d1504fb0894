import { createHash } from "node:crypto";
import { decodeCursor, encodeCursor, notFound, type Timeline, type TimelineSpan } from "@sandbox0/protocol";
import type { Queryable } from "../../store/query.ts";
import { readIdentity } from "../../store/sessions.ts";
import {
  readActivities,
  readOpenTurn,
  readTimelineEgress,
  readTimelineEvents,
  readTimelineRequests,
  type TimelineEvent,
} from "../../store/timeline.ts";
import { readTraceContext } from "../../store/trace-contexts.ts";
import { buildTimeline, type TimelineFacts } from "./build-timeline.ts";

/** Events that one page is made of; an event begins or ends at most two spans. */
const PAGE_EVENTS_DEFAULT = 1_000;
const LIST = "timeline";
/** Of each other table, within a page. */
const ROWS_MAX = 2_000;

export interface TimelineQuery {
  /** Events of the log that the page is made of. */
  limit?: number | undefined;
  page?: string | undefined;
}

export interface Timelines {
  /** From the oldest turn on. @throws ApiError not_found_error for a session of another workspace */
  read(workspaceId: string, sessionId: string, query: TimelineQuery): Promise<Timeline>;
}

export interface TimelinesDeps {
  db: Queryable;
  /** What the models file says of a model. */
  models: Pick<TimelineFacts, "costOf" | "providerNameOf">;
}

export function createTimelines(deps: TimelinesDeps): Timelines {
  return {
    async read(workspaceId, sessionId, { limit = PAGE_EVENTS_DEFAULT, page }) {
      const after = page === undefined ? 0 : Number(decodeCursor(page, { list: LIST, order: "asc", key: ["seq"] }).key[0]);
      if ((await readIdentity(deps.db, workspaceId, sessionId)) === null) throw notFound(`Session \`${sessionId}\` not found.`);
      const [context, part] = await Promise.all([
        readTraceContext(deps.db, sessionId),
        readSpans(deps, sessionId, { after, limit }),
      ]);
      return {
        type: "timeline",
        session_id: sessionId,
        trace_id: context?.traceId ?? traceIdOf(sessionId),
        data: part.spans,
        next_page: part.more ? encodeCursor({ list: LIST, order: "asc", key: [part.last] }) : null,
      };
    },
  };
}

/** Of a session whose client named none. */
export function traceIdOf(sessionId: string): string {
  return createHash("sha256").update(sessionId).digest("hex").slice(0, 32);
}

export interface SpansPart {
  spans: TimelineSpan[];
  /** The `seq` of the last event that was looked at. */
  last: number;
  more: boolean;
}

/** The spans that the events behind `after` begin or end. `wholeTurns`: without the turn that goes on. */
export async function readSpans(
  { db, models: { costOf, providerNameOf } }: TimelinesDeps,
  sessionId: string,
  { after, limit, wholeTurns = false }: { after: number; limit: number; wholeTurns?: boolean },
): Promise<SpansPart> {
  const [open, found] = await Promise.all([
    readOpenTurn(db, sessionId, after),
    readTimelineEvents(db, sessionId, after, limit + 1),
  ]);
  const more = found.length > limit;
  const events = [...open, ...untilTurnEnd(found.slice(0, limit), more, wholeTurns)];
  const [first, last] = [events[open.length], events.at(-1)];
  if (first === undefined || last === undefined) return { spans: [], last: after, more: false };
  const window = { sessionId, from: first.at, until: more ? last.at : null, limit: ROWS_MAX };
  const [activities, egress, requests] = await Promise.all([
    readActivities(db, window),
    readTimelineEgress(db, window),
    readTimelineRequests(db, window),
  ]);
  return {
    spans: buildTimeline({ sessionId, events, activities, egress, requests, costOf, providerNameOf }),
    last: last.seq,
    more,
  };
}

/** A page ends between turns, unless one alone fills it. */
function untilTurnEnd(events: readonly TimelineEvent[], more: boolean, wholeTurns: boolean): readonly TimelineEvent[] {
  if (!more && !wholeTurns) return events;
  const end = events.findLastIndex(({ type }) => type === "session.status_idle" || type === "session.status_terminated");
  return end === -1 && !wholeTurns ? events : events.slice(0, end + 1);
}
