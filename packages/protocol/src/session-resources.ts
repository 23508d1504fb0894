import { z } from "zod";
import { idParamSchema } from "./content.ts";
import { numberParam, textParam } from "./query.ts";

/** What a session is given to work with (contract §6.1). */
export const SESSION_RESOURCES_MAX = 500;
export const MEMORY_STORES_MAX = 8;
const INSTRUCTIONS_CHARS_MAX = 4_096;
const PATH_CHARS_MAX = 1_024;
const TOKEN_CHARS_MAX = 4_096;
export const RESOURCES_PAGE_SIZE_MAX = 1_000;
const FULL_SHA = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/i;

const mountPath = z.string().min(1).max(PATH_CHARS_MAX).nullish();
const checkout = z.discriminatedUnion("type", [
  z.object({ type: z.literal("branch"), name: z.string().min(1) }),
  z.object({ type: z.literal("commit"), sha: z.string().regex(FULL_SHA, "must be a full commit hash") }),
]);

/** What goes into a header: no spaces, no control characters. */
const token = z
  .string()
  .min(1)
  .max(TOKEN_CHARS_MAX)
  .regex(/^[\x21-\x7e]+$/, "must be printable ASCII without spaces");

export const fileResourceParamsSchema = z.object({ type: z.literal("file"), file_id: idParamSchema, mount_path: mountPath });
const repositoryParams = z.object({
  type: z.literal("github_repository"),
  url: z.url({ protocol: /^https?$/, error: "must be an http or https URL" }),
  authorization_token: token.nullish(),
  checkout: checkout.nullish(),
  mount_path: mountPath,
});
const memoryStoreParams = z.object({
  type: z.literal("memory_store"),
  memory_store_id: idParamSchema,
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

/** What a session can be given after its creation. */
export const resourceAddParamsSchema = z.discriminatedUnion("type", [fileResourceParamsSchema], {
  error: "only a resource of type `file` can be added to a session; give it the others when it is created",
});
export type ResourceAddParams = z.infer<typeof resourceAddParamsSchema>;
export const resourceUpdateParamsSchema = z.object({ authorization_token: token });
export type ResourceUpdateParams = z.infer<typeof resourceUpdateParamsSchema>;
/** Without `limit` the list has all. */
export const resourceListQuerySchema = z.object({ limit: numberParam(1, RESOURCES_PAGE_SIZE_MAX), page: textParam });
export type ResourceListQuery = z.infer<typeof resourceListQuerySchema>;

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
