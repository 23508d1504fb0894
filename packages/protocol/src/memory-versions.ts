import { z } from "zod";

/** Versions of memories (contract §10): one for each change, with who made it. */
export const MEMORY_OPERATIONS = ["created", "modified", "deleted"] as const;
export type MemoryOperation = (typeof MEMORY_OPERATIONS)[number];

const actorSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("session_actor"), session_id: z.string() }),
  z.object({ type: z.literal("api_actor"), api_key_id: z.string() }),
  z.object({ type: z.literal("user_actor"), user_id: z.string() }),
  z.object({ type: z.literal("service_account_actor"), service_account_id: z.string() }),
]);
export type Actor = z.infer<typeof actorSchema>;

export const memoryVersionSchema = z.object({
  id: z.string(),
  type: z.literal("memory_version"),
  memory_id: z.string(),
  memory_store_id: z.string(),
  operation: z.enum(MEMORY_OPERATIONS),
  created_at: z.string(),
  /** `null` when redacted. */
  path: z.string().nullish(),
  /** `null` when redacted or deleted, and under `view=basic`; hash and size under any view. */
  content: z.string().nullish(),
  content_sha256: z.string().nullish(),
  content_size_bytes: z.number().nullish(),
  created_by: actorSchema.optional(),
  redacted_at: z.string().nullish(),
  /** Absent until it is redacted. */
  redacted_by: actorSchema.optional(),
});
export type MemoryVersion = z.infer<typeof memoryVersionSchema>;
