import { z } from "zod";

/** Models (contract §14). */
const supported = z.object({ supported: z.boolean() });
const capabilitiesSchema = z.object({
  batch: supported,
  citations: supported,
  code_execution: supported,
  compaction: z.object({ supported: z.boolean(), summarize: supported }).nullable(),
  context_management: z.object({
    supported: z.boolean(),
    clear_thinking_20251015: supported.nullable(),
    clear_tool_uses_20250919: supported.nullable(),
    compact_20260112: supported.nullable(),
  }),
  effort: z.object({
    supported: z.boolean(),
    low: supported,
    medium: supported,
    high: supported,
    xhigh: supported.nullable(),
    max: supported,
  }),
  image_input: supported,
  pdf_input: supported,
  server_tools: z.object({ supported: z.boolean(), code_execution: supported, web_search: supported }),
  structured_outputs: supported,
  thinking: z.object({
    supported: z.boolean(),
    types: z.object({ adaptive: supported, between_tools: supported, disabled: supported, enabled: supported }),
  }),
});

export const modelInfoSchema = z.object({
  id: z.string(),
  type: z.literal("model"),
  display_name: z.string(),
  created_at: z.string(),
  lifecycle: z.enum(["active", "deprecated", "retired"]),
  deprecated_at: z.string().nullable(),
  retires_at: z.string().nullable(),
  line: z.enum(["haiku", "sonnet", "opus", "fable", "mythos"]).nullable(),
  max_input_tokens: z.int().nullable(),
  max_tokens: z.int().nullable(),
  capabilities: capabilitiesSchema.nullable(),
  allowed_fallback_models: z.array(z.string()).nullable(),
});
export type ModelInfo = z.infer<typeof modelInfoSchema>;
