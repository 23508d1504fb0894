import { createTimelines, type Timelines } from "../resources/timeline/timelines.ts";
import type { Database } from "../store/pool.ts";
import { type Activities, createActivities } from "../traces/activities.ts";
import { createSessionTraces, type SessionTraces } from "../traces/session-traces.ts";
import type { Config } from "./config.ts";

export interface Traces {
  timelines: Timelines;
  traces: SessionTraces;
  record: Activities["record"];
  /** A turn of the session has ended. */
  turnEnded(sessionId: string): void;
  /** Writes what waits. */
  close(): Promise<void>;
}

export interface TracesDeps {
  config: Config;
  db: Database;
  version: string;
  onError(error: unknown): void;
}

/** What sessions did, for people who look at it here and for a collector, where one is configured. */
export async function openTraces({ config, db, version, onError }: TracesDeps): Promise<Traces> {
  const activities = createActivities(db, onError);
  const { models } = config;
  const timelines = createTimelines({ db: db.reads, models });
  const { endpoint, headers } = config.telemetry;
  const exporting =
    endpoint !== undefined && config.roles.has("worker")
      ? // A library that most servers never use.
        (await import("../traces/trace-export.ts")).createTraceExport({ db, models, endpoint, headers, version, onError })
      : null;
  return {
    timelines,
    traces: createSessionTraces({ db: db.reads, timelines, version }),
    record: activities.record,
    turnEnded: (sessionId) => exporting?.note(sessionId),
    async close() {
      await exporting?.close();
      await activities.close();
    },
  };
}
