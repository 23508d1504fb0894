import { z } from "zod";
import { describeMemoryPathProblem } from "./memory-paths.ts";

/** Memories (contract §10): texts at paths of a store. */
export const MEMORIES_PER_STORE_MAX = 2_000;
export const MEMORY_CONTENT_BYTES_MAX = 102_400;

const path = z.string().superRefine((text, context) => {
  const problem = describeMemoryPathProblem(text);
  if (problem !== null) context.addIssue({ code: "custom", message: problem });
});
const content = z.string().superRefine((text, context) => {
  if (!text.isWellFormed()) context.addIssue({ code: "custom", message: "must be valid Unicode" });
  else if (text.length > MEMORY_CONTENT_BYTES_MAX || new TextEncoder().encode(text).length > MEMORY_CONTENT_BYTES_MAX)
    context.addIssue({ code: "custom", message: `must have at most ${MEMORY_CONTENT_BYTES_MAX} bytes of UTF-8` });
});

/** As `content_sha256` has it. */
export const sha256Text = z.string().regex(/^[0-9a-f]{64}$/, "must be 64 lowercase hexadecimal characters");
const precondition = z
  .object({ type: z.literal("content_sha256"), content_sha256: sha256Text.optional() })
  // The official type has it optional; without it there would be nothing to hold, and a lost update.
  .refine((given) => given.content_sha256 !== undefined, { path: ["content_sha256"], message: "Field required" });

/** `content: null` is an empty memory. */
export const memoryCreateParamsSchema = z.object({ path, content: content.nullable() });
export type MemoryCreateParams = z.infer<typeof memoryCreateParamsSchema>;
/** `null` and what is left out keep what is stored. */
export const memoryUpdateParamsSchema = z.object({
  path: path.nullish(),
  content: content.nullish(),
  precondition: precondition.nullish(),
});
export type MemoryUpdateParams = z.infer<typeof memoryUpdateParamsSchema>;

export const memorySchema = z.object({
  id: z.string(),
  type: z.literal("memory"),
  memory_store_id: z.string(),
  path: z.string(),
  /** `null` under `view=basic`. */
  content: z.string().nullish(),
  content_sha256: z.string(),
  content_size_bytes: z.number(),
  memory_version_id: z.string(),
  created_at: z.string(),
  updated_at: z.string(),
});
export type Memory = z.infer<typeof memorySchema>;

const memoryPrefixSchema = z.object({ type: z.literal("memory_prefix"), path: z.string() });
export const memoryListItemSchema = z.discriminatedUnion("type", [memorySchema, memoryPrefixSchema]);
export type MemoryListItem = z.infer<typeof memoryListItemSchema>;
