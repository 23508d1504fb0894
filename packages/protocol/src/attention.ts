import { z } from "zod";
import { stopReasonSchema } from "./events.ts";

/** Our own: which sessions need a person now (`GET /sandbox0/v1/attention`). The official API's session does not say why it is idle. */
export const waitingCallSchema = z.object({
  /** Of the event; what the answer names. */
  id: z.string(),
  type: z.enum(["agent.tool_use", "agent.mcp_tool_use", "agent.custom_tool_use"]),
  name: z.string(),
  /** `null`: too long for an overview; the event has it. */
  input: z.record(z.string(), z.unknown()).nullable(),
});
export const sessionAttentionSchema = z.object({
  type: z.literal("session_attention"),
  session_id: z.string(),
  title: z.string().nullable(),
  agent_id: z.string(),
  agent_name: z.string(),
  status: z.enum(["idle", "terminated"]),
  stop_reason: stopReasonSchema.nullable(),
  /** When its last event was. */
  since: z.string(),
  /** What it waits for; empty for one in trouble. */
  calls: z.array(waitingCallSchema),
});
export const attentionSchema = z.object({
  type: z.literal("attention"),
  /** Idle with `requires_action`, the longest wait first; no more than 100. */
  waiting: z.array(sessionAttentionSchema),
  /** How many wait in all. */
  waiting_count: z.int(),
  /** Of the newest 200 sessions those that stopped for another reason than the end of a turn, the latest first; no more than 20. */
  troubled: z.array(sessionAttentionSchema),
});

export type WaitingCall = z.infer<typeof waitingCallSchema>;
export type SessionAttention = z.infer<typeof sessionAttentionSchema>;
export type Attention = z.infer<typeof attentionSchema>;
