import { z } from "zod";

/** Tokens, seconds and money (contract §6, §7.5, §7.6). */
export const moneySchema = z.object({ amount: z.string(), currency: z.literal("USD") });
export const budgetLimitSchema = z.object({ type: z.literal("limit"), max_list_cost: moneySchema });
const serverToolUse = z.object({ web_search_requests: z.int().optional(), web_fetch_requests: z.int().optional() });
const counts = {
  input_tokens: z.int().optional(),
  output_tokens: z.int().optional(),
  cache_read_input_tokens: z.int().optional(),
  cache_creation: z
    .object({ ephemeral_5m_input_tokens: z.int().optional(), ephemeral_1h_input_tokens: z.int().optional() })
    .optional(),
  active_seconds: z.number().optional(),
};
/** Of a session or a thread. */
export const sessionUsageSchema = z.object({
  ...counts,
  list_cost: moneySchema.nullish(),
  server_tool_use: serverToolUse.nullish(),
});
/** Of a `session.usage` event: what is unknown is left out, never `null`. */
export const usageSnapshotSchema = z.object({
  ...counts,
  list_cost: moneySchema.optional(),
  server_tool_use: serverToolUse.optional(),
});
/** Of one model request. */
export const modelUsageSchema = z.object({
  input_tokens: z.int(),
  output_tokens: z.int(),
  cache_creation_input_tokens: z.int(),
  cache_read_input_tokens: z.int(),
  speed: z.enum(["standard", "fast"]).nullish(),
});

export type Money = z.infer<typeof moneySchema>;
export type BudgetLimit = z.infer<typeof budgetLimitSchema>;
export type SessionUsage = z.infer<typeof sessionUsageSchema>;
export type UsageSnapshot = z.infer<typeof usageSnapshotSchema>;
export type ModelUsage = z.infer<typeof modelUsageSchema>;
