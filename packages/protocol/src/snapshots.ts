import { z } from "zod";
import { stopReasonSchema } from "./events.ts";
import { metadataParamsSchema } from "./metadata.ts";
import { TITLE_CHARS_MAX } from "./sessions.ts";

/** Our own (`/sandbox0/v1/sessions/{id}/…`): the official API has no word for snapshots, forks and restores of sessions. */
const NAME_CHARS_MAX = 255;

export const snapshotCreateParamsSchema = z.object({ name: z.string().min(1).max(NAME_CHARS_MAX).nullish() });
export type SnapshotCreateParams = z.infer<typeof snapshotCreateParamsSchema>;

/** Neither `snapshot_id` nor `event_id`: as the session is now. What is left out of the rest is the session's own. */
export const sessionForkParamsSchema = z
  .object({
    snapshot_id: z.string().min(1).nullish(),
    /** Of a `session.status_idle`. */
    event_id: z.string().min(1).nullish(),
    title: z.string().max(TITLE_CHARS_MAX).nullish(),
    metadata: metadataParamsSchema.nullish(),
  })
  .refine((params) => params.snapshot_id == null || params.event_id == null, {
    path: ["event_id"],
    message: "cannot be used together with snapshot_id",
  });
export type SessionForkParams = z.infer<typeof sessionForkParamsSchema>;

export const sessionRestoreParamsSchema = z.object({ snapshot_id: z.string().min(1) });
export type SessionRestoreParams = z.infer<typeof sessionRestoreParamsSchema>;

export const snapshotSchema = z.object({
  id: z.string(),
  type: z.literal("session_snapshot"),
  session_id: z.string(),
  name: z.string().nullable(),
  /** The `session.status_idle` that made the session idle; `null` when it had not run yet. */
  event_id: z.string().nullable(),
  stop_reason: stopReasonSchema.nullable(),
  created_at: z.string(),
});
export type Snapshot = z.infer<typeof snapshotSchema>;
