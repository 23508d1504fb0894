import { z } from "zod";
import { agentSchema } from "./agents.ts";
import { environmentSchema } from "./environments.ts";
import { ERROR_STATUS, type ErrorType } from "./errors.ts";
import {
  sessionEventSchema,
  eventDeltaSchema,
  eventStartSchema,
  userEventSchemas,
  type SessionEvent,
  type StreamPreview,
} from "./events.ts";
import { fileSchema, legacyFileSchema } from "./files.ts";
import { memoryListItemSchema, memorySchema } from "./memories.ts";
import { memoryStoreSchema } from "./memory-stores.ts";
import { memoryVersionSchema } from "./memory-versions.ts";
import { modelInfoSchema } from "./models.ts";
import { findOperation, type OperationName } from "./operations.ts";
import { bidirectionalPageOf, idPageOf, pageOf } from "./pagination.ts";
import { legacySkillInfoSchema, legacySkillVersionInfoSchema, skillInfoSchema, skillVersionInfoSchema } from "./skills.ts";
import { sessionResourceSchema } from "./session-resources.ts";
import { sessionSchema, threadSchema } from "./sessions.ts";
import { credentialSchema, credentialValidationSchema, vaultSchema } from "./vaults.ts";
import { describeProblems, formatPath } from "./validation.ts";

/** Says whether an answer is what the official types promise: for tests and tools, never in the path of a request. */

export const errorBodySchema = z.object({
  type: z.literal("error"),
  error: z.object({
    type: z.enum(Object.keys(ERROR_STATUS) as [ErrorType, ...ErrorType[]]),
    message: z.string().min(1),
    details: z.looseObject({ error_code: z.string().optional() }).optional(),
    conflicting_memory_id: z.string().optional(),
    conflicting_path: z.string().optional(),
  }),
  request_id: z.string().nullable(),
});

export const deletedSchema = <T extends string>(type: T) => z.object({ id: z.string(), type: z.literal(type) });
const eventPage = pageOf(sessionEventSchema);
const eitherSkill = z.union([skillInfoSchema, legacySkillInfoSchema]);
const eitherSkillVersion = z.union([legacySkillVersionInfoSchema, skillVersionInfoSchema]);
const legacyPageOf = <S extends z.ZodType>(item: S) => pageOf(item).extend({ has_more: z.boolean() });

/** The body of each operation's 200. Streams and operations that are not built have none. */
export const RESPONSES: Partial<Record<OperationName, z.ZodType>> = {
  "agents.create": agentSchema,
  "agents.retrieve": agentSchema,
  "agents.update": agentSchema,
  "agents.list": pageOf(agentSchema),
  "agents.archive": agentSchema,
  "agents.versions.list": pageOf(agentSchema),
  "environments.create": environmentSchema,
  "environments.retrieve": environmentSchema,
  "environments.update": environmentSchema,
  "environments.list": pageOf(environmentSchema),
  "environments.delete": deletedSchema("environment_deleted"),
  "environments.archive": environmentSchema,
  "sessions.create": sessionSchema,
  "sessions.retrieve": sessionSchema,
  "sessions.update": sessionSchema,
  "sessions.list": bidirectionalPageOf(sessionSchema),
  "sessions.delete": deletedSchema("session_deleted"),
  "sessions.archive": sessionSchema,
  "sessions.events.list": eventPage,
  "sessions.events.send": z.object({ data: z.array(z.discriminatedUnion("type", [...userEventSchemas])).optional() }),
  "sessions.resources.add": sessionResourceSchema,
  "sessions.resources.retrieve": sessionResourceSchema,
  "sessions.resources.update": sessionResourceSchema,
  "sessions.resources.list": pageOf(sessionResourceSchema),
  "sessions.resources.delete": deletedSchema("session_resource_deleted"),
  "sessions.threads.retrieve": threadSchema,
  "sessions.threads.list": pageOf(threadSchema),
  "sessions.threads.events.list": eventPage,
  "vaults.create": vaultSchema,
  "vaults.retrieve": vaultSchema,
  "vaults.update": vaultSchema,
  "vaults.list": pageOf(vaultSchema),
  "vaults.delete": deletedSchema("vault_deleted"),
  "vaults.archive": vaultSchema,
  "vaults.credentials.create": credentialSchema,
  "vaults.credentials.retrieve": credentialSchema,
  "vaults.credentials.update": credentialSchema,
  "vaults.credentials.list": pageOf(credentialSchema),
  "vaults.credentials.delete": deletedSchema("vault_credential_deleted"),
  "vaults.credentials.archive": credentialSchema,
  "vaults.credentials.mcpOAuthValidate": credentialValidationSchema,
  "memoryStores.create": memoryStoreSchema,
  "memoryStores.retrieve": memoryStoreSchema,
  "memoryStores.update": memoryStoreSchema,
  "memoryStores.list": pageOf(memoryStoreSchema),
  "memoryStores.delete": deletedSchema("memory_store_deleted"),
  "memoryStores.archive": memoryStoreSchema,
  "memoryStores.memories.create": memorySchema,
  "memoryStores.memories.retrieve": memorySchema,
  "memoryStores.memories.update": memorySchema,
  "memoryStores.memories.list": pageOf(memoryListItemSchema),
  "memoryStores.memories.delete": deletedSchema("memory_deleted"),
  "memoryStores.memoryVersions.retrieve": memoryVersionSchema,
  "memoryStores.memoryVersions.list": pageOf(memoryVersionSchema),
  "memoryStores.memoryVersions.redact": memoryVersionSchema,
  "skills.create": eitherSkill,
  "skills.retrieve": eitherSkill,
  "skills.list": z.union([legacyPageOf(legacySkillInfoSchema), pageOf(skillInfoSchema)]),
  "skills.delete": deletedSchema("skill_deleted"),
  "skills.versions.create": eitherSkillVersion,
  "skills.versions.retrieve": eitherSkillVersion,
  "skills.versions.list": z.union([legacyPageOf(legacySkillVersionInfoSchema), pageOf(skillVersionInfoSchema)]),
  "skills.versions.delete": deletedSchema("skill_version_deleted"),
  "files.upload": fileSchema,
  "files.list": z.union([pageOf(fileSchema), idPageOf(legacyFileSchema)]),
  "files.retrieveMetadata": fileSchema,
  "files.delete": deletedSchema("file_deleted"),
  "models.list": idPageOf(modelInfoSchema),
  "models.retrieve": modelInfoSchema,
};

/** Keys of `value` that the schema does not know: parsing drops them, so they are what the parsed copy lacks. */
function findUnknownKeys(value: unknown, parsed: unknown, path: readonly PropertyKey[]): string[] {
  if (typeof value !== "object" || value === null || typeof parsed !== "object" || parsed === null) return [];
  if (Array.isArray(value))
    return value.flatMap((inner, index) => findUnknownKeys(inner, (parsed as unknown[])[index], [...path, index]));
  return Object.entries(value).flatMap(([key, inner]) =>
    key in parsed
      ? findUnknownKeys(inner, (parsed as Record<string, unknown>)[key], [...path, key])
      : [`${formatPath([...path, key])}: not a field of the official type`],
  );
}

/** What is wrong with `value`, unknown keys included; empty when nothing is. */
export function findProblems(schema: z.ZodType, value: unknown): string[] {
  const result = schema.safeParse(value, { reportInput: true });
  return result.success ? findUnknownKeys(value, result.data, []) : describeProblems(result.error);
}

/**
 * Checks an answer of the API against the official types.
 * @returns what is wrong, one sentence a problem; empty when the answer is right or there is no schema for it
 */
export function validateResponse(answer: { method: string; pathname: string; status: number; body: unknown }): string[] {
  if (answer.status >= 400) {
    const problems = findProblems(errorBodySchema, answer.body);
    return answer.pathname.startsWith("/v1/") || answer.pathname.startsWith("/sandbox0/") ? problems : [];
  }
  const operation = findOperation(answer.method === "PATCH" ? "POST" : answer.method, answer.pathname);
  const schema = operation === undefined ? undefined : RESPONSES[operation];
  return schema === undefined ? [] : findProblems(schema, answer.body);
}

/**
 * Reads one event of a list or a stream.
 * @throws Error that says what is wrong with it
 */
export function parseEvent(value: unknown): SessionEvent {
  const problems = findProblems(sessionEventSchema, value);
  if (problems.length > 0) throw new Error(`Not a session event: ${problems.join("; ")}: ${JSON.stringify(value)}`);
  return value as SessionEvent;
}

export const streamEventSchema = z.discriminatedUnion("type", [sessionEventSchema, eventStartSchema, eventDeltaSchema]);

/** As `parseEvent`, for streams that asked for previews. @throws Error */
export function parseStreamEvent(value: unknown): SessionEvent | StreamPreview {
  const problems = findProblems(streamEventSchema, value);
  if (problems.length > 0) throw new Error(`Not a stream event: ${problems.join("; ")}: ${JSON.stringify(value)}`);
  return value as SessionEvent | StreamPreview;
}
