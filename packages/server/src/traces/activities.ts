import { randomUUID } from "node:crypto";
import type { Queryable } from "../store/query.ts";
import { createRowQueue } from "../store/row-queue.ts";
import { insertActivities, type NewActivity } from "../store/timeline.ts";

export type Activity = Omit<NewActivity, "key">;

/** Keeps what a session did that its log does not say, for its timeline: written in batches, away from the turn. */
export interface Activities {
  /** Never blocks and never throws. */
  record(activity: Activity): void;
  /** Resolves when everything recorded before is written. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

export function createActivities(db: Queryable, onError: (error: unknown) => void): Activities {
  const queue = createRowQueue<NewActivity>((rows) => insertActivities(db, rows), onError);
  return {
    record: (activity) => queue.add({ ...activity, key: randomUUID() }),
    flush: queue.flush,
    close: queue.close,
  };
}
