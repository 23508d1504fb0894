import { z } from "zod";

/** Our own: what a session did, when, and how long it took (`GET /sandbox0/v1/sessions/{id}/timeline`). */
export const SPAN_KINDS = [
  "turn",
  "step",
  "model_request",
  "tool_call",
  "mcp_call",
  "custom_tool_call",
  "sandbox_claim",
  "harness_start",
  "egress_request",
  "recovery",
] as const;

export const timelineSpanSchema = z.object({
  /** 16 hex digits, the same for the same event for ever. */
  id: z.string(),
  /** `null`: a turn. */
  parent_id: z.string().nullable(),
  kind: z.enum(SPAN_KINDS),
  name: z.string(),
  started_at: z.string(),
  /** `null`: it goes on. */
  ended_at: z.string().nullable(),
  duration_ms: z.number().nullable(),
  status: z.enum(["ok", "error", "running"]),
  /** Of the event of the log that began it, if there is one. */
  event_id: z.string().nullable(),
  attributes: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
});
export const timelineSchema = z.object({
  type: z.literal("timeline"),
  session_id: z.string(),
  /** 32 hex digits; the client's, when it created the session with a `traceparent`. */
  trace_id: z.string(),
  /** In the order in which they began; a span stands behind its parent. */
  data: z.array(timelineSpanSchema),
  next_page: z.string().nullable(),
});

export type SpanKind = (typeof SPAN_KINDS)[number];
export type TimelineSpan = z.infer<typeof timelineSpanSchema>;
export type Timeline = z.infer<typeof timelineSchema>;
