import { z } from "zod";
import { metadataParamsSchema, metadataPatchSchema, metadataSchema } from "./metadata.ts";

/** Memory stores (contract §10, semantics §13). */
const NAME_CHARS_MAX = 255;
const DESCRIPTION_CHARS_MAX = 1_024;

const name = z
  .string()
  .min(1)
  .max(NAME_CHARS_MAX)
  .regex(/^\P{Cc}*$/u, "must not contain control characters");
const description = z.string().max(DESCRIPTION_CHARS_MAX).nullish();

export const memoryStoreCreateParamsSchema = z.object({ name, description, metadata: metadataParamsSchema.nullish() });
export type MemoryStoreCreateParams = z.infer<typeof memoryStoreCreateParamsSchema>;

/** `null` and what is left out keep what is stored; an empty description clears it. */
export const memoryStoreUpdateParamsSchema = z.object({
  name: name.nullish(),
  description,
  metadata: metadataPatchSchema.nullish(),
});
export type MemoryStoreUpdateParams = z.infer<typeof memoryStoreUpdateParamsSchema>;

export const memoryStoreSchema = z.object({
  id: z.string(),
  type: z.literal("memory_store"),
  name: z.string(),
  /** Empty when there is none. */
  description: z.string(),
  metadata: metadataSchema,
  created_at: z.string(),
  updated_at: z.string(),
  archived_at: z.string().nullable(),
});
export type MemoryStore = z.infer<typeof memoryStoreSchema>;
