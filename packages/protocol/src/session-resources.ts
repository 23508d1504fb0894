import { z } from "zod";

/** What a session is given to work with (contract §6.1). */
export const SESSION_RESOURCES_MAX = 500;
export const MEMORY_STORES_MAX = 8;
const INSTRUCTIONS_CHARS_MAX = 4_096;
const PATH_CHARS_MAX = 1_024;
const FULL_SHA = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/i;

const id = z.string().min(1);
const mountPath = z.string().min(1).max(PATH_CHARS_MAX).nullish();
const checkout = z.discriminatedUnion("type", [
  z.object({ type: z.literal("branch"), name: z.string().min(1) }),
  z.object({ type: z.literal("commit"), sha: z.string().regex(FULL_SHA, "must be a full commit hash") }),
]);

export const fileResourceParamsSchema = z.object({ type: z.literal("file"), file_id: id, mount_path: mountPath });
const repositoryParams = z.object({
  type: z.literal("github_repository"),
  url: z.url({ protocol: /^https?$/, error: "must be an http or https URL" }),
  authorization_token: z.string().min(1).nullish(),
  checkout: checkout.nullish(),
  mount_path: mountPath,
});
const memoryStoreParams = z.object({
  type: z.literal("memory_store"),
  memory_store_id: id,
  access: z.enum(["read_write", "read_only"]).nullish(),
  instructions: z.string().max(INSTRUCTIONS_CHARS_MAX).nullish(),
});
export const sessionResourcesParamsSchema = z
  .array(z.discriminatedUnion("type", [repositoryParams, fileResourceParamsSchema, memoryStoreParams]))
  .max(SESSION_RESOURCES_MAX)
  .refine(
    (list) => list.filter((entry) => entry.type === "memory_store").length <= MEMORY_STORES_MAX,
    `At most ${MEMORY_STORES_MAX} memory stores`,
  );
export type SessionResourceParams = z.infer<typeof sessionResourcesParamsSchema>[number];

// --- responses -------------------------------------------------------------------------------------------------------

const times = { created_at: z.string(), updated_at: z.string() };
export const sessionResourceSchema = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("github_repository"),
    id: z.string(),
    url: z.string(),
    mount_path: z.string(),
    checkout: z
      .discriminatedUnion("type", [
        z.object({ type: z.literal("branch"), name: z.string() }),
        z.object({ type: z.literal("commit"), sha: z.string() }),
      ])
      .nullish(),
    ...times,
  }),
  z.object({ type: z.literal("file"), id: z.string(), file_id: z.string(), mount_path: z.string(), ...times }),
  z.object({
    type: z.literal("memory_store"),
    memory_store_id: z.string(),
    access: z.enum(["read_write", "read_only"]).nullish(),
    instructions: z.string().nullish(),
    name: z.string().nullish(),
    description: z.string().optional(),
    mount_path: z.string().nullish(),
  }),
]);
export type SessionResource = z.infer<typeof sessionResourceSchema>;
