import { notFound } from "@sandbox0/protocol";
import type { TimelineQuery, Timelines } from "../resources/timeline/timelines.ts";
import type { Queryable } from "../store/query.ts";
import { readSessionName } from "../store/sessions.ts";
import { readTraceContext } from "../store/trace-contexts.ts";

/** A session's spans in OTLP's JSON form, as any collector takes it. */
export interface SessionTraces {
  /**
   * @returns `{"resourceSpans", "next_page"}` as JSON text; pages as those of the timeline
   * @throws ApiError not_found_error for a session of another workspace
   */
  read(workspaceId: string, sessionId: string, query: TimelineQuery): Promise<string>;
}

export function createSessionTraces({
  db,
  timelines,
  version,
}: {
  db: Queryable;
  timelines: Timelines;
  version: string;
}): SessionTraces {
  return {
    async read(workspaceId, sessionId, query) {
      const { trace_id: traceId, data, next_page } = await timelines.read(workspaceId, sessionId, query);
      const [agentName, context] = await Promise.all([readSessionName(db, sessionId), readTraceContext(db, sessionId)]);
      if (agentName === null) throw notFound(`Session \`${sessionId}\` not found.`);
      const trace = { traceId, parentSpanId: context?.parentSpanId ?? null, sessionId, agentName };
      // Libraries that the start shall not wait for.
      const { otlpJson } = await import("./otlp-json.ts");
      return JSON.stringify({ ...otlpJson(version, trace, data), next_page });
    },
  };
}
