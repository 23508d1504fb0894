import { attentionSchema, sessionAttentionSchema, waitingCallSchema } from "./attention.ts";
import { z } from "zod";
import { agentSchema, sessionAgentSchema, sessionThreadAgentSchema } from "./agents.ts";
import {
  documentBlockSchema,
  imageBlockSchema,
  redactedBlockSchema,
  searchResultBlockSchema,
  textBlockSchema,
  userContentSchema,
} from "./content.ts";
import { environmentConfigParamsSchema, environmentConfigSchema, environmentSchema } from "./environments.ts";
import {
  agentEventSchemas,
  eventDeltaSchema,
  eventParamsSchema,
  eventStartSchema,
  sessionErrorSchema,
  sessionEventSchema,
  sessionEventSchemas,
  stopReasonSchema,
  toolEvaluationSchema,
  userEventSchemas,
  workflowEventSchemas,
} from "./events.ts";
import { fileSchema, legacyFileSchema } from "./files.ts";
import { JSON_FORMS } from "./json-forms.ts";
import { memorySchema } from "./memories.ts";
import { memoryStoreSchema } from "./memory-stores.ts";
import { memoryVersionSchema } from "./memory-versions.ts";
import { modelConfigSchema, modelParamsSchema } from "./model-config.ts";
import { modelInfoSchema } from "./models.ts";
import { apiKeySchema, createdApiKeySchema, egressRequestSchema, environmentBuildSchema, harnessSchema } from "./own-shapes.ts";
import { errorBodySchema, streamEventSchema } from "./responses.ts";
import { sessionResourceSchema } from "./session-resources.ts";
import { sessionSchema, threadSchema } from "./sessions.ts";
import { legacySkillInfoSchema, legacySkillVersionInfoSchema, skillInfoSchema, skillVersionInfoSchema } from "./skills.ts";
import { snapshotSchema } from "./snapshots.ts";
import { timelineSchema, timelineSpanSchema } from "./timeline.ts";
import { permissionPolicySchema, toolSchema, toolsParamsSchema } from "./tools.ts";
import { modelUsageSchema, sessionUsageSchema } from "./usage.ts";
import { credentialSchema, credentialValidationSchema, vaultSchema } from "./vaults.ts";

/** JSON Schema (2020-12), as OpenAPI 3.1 has it. */
export type JsonSchema = Record<string, unknown>;

const EVENTS = [...userEventSchemas, ...agentEventSchemas, ...sessionEventSchemas, ...workflowEventSchemas];
/** `agent.tool_use` → `AgentToolUse`. */
const pascal = (text: string): string => text.replaceAll(/(?:^|[._])(\w)/g, (_match, letter: string) => letter.toUpperCase());

/** What has a name of its own among the components. Everything else is named after the operation that takes or answers it. */
const NAMED: Readonly<Record<string, z.ZodType>> = {
  Agent: agentSchema,
  SessionAgent: sessionAgentSchema,
  SessionThreadAgent: sessionThreadAgentSchema,
  Tool: toolSchema,
  ToolsParams: toolsParamsSchema,
  PermissionPolicy: permissionPolicySchema,
  ModelConfig: modelConfigSchema,
  ModelParams: modelParamsSchema,
  Environment: environmentSchema,
  EnvironmentConfig: environmentConfigSchema,
  EnvironmentConfigParams: environmentConfigParamsSchema,
  Session: sessionSchema,
  SessionThread: threadSchema,
  SessionResource: sessionResourceSchema,
  SessionUsage: sessionUsageSchema,
  SessionEvent: sessionEventSchema,
  StreamEvent: streamEventSchema,
  EventParams: eventParamsSchema,
  EventStart: eventStartSchema,
  EventDelta: eventDeltaSchema,
  StopReason: stopReasonSchema,
  SessionError: sessionErrorSchema,
  ToolEvaluation: toolEvaluationSchema,
  ModelUsage: modelUsageSchema,
  TextBlock: textBlockSchema,
  ImageBlock: imageBlockSchema,
  DocumentBlock: documentBlockSchema,
  SearchResultBlock: searchResultBlockSchema,
  RedactedBlock: redactedBlockSchema,
  UserContent: userContentSchema,
  Vault: vaultSchema,
  Credential: credentialSchema,
  CredentialValidation: credentialValidationSchema,
  MemoryStore: memoryStoreSchema,
  Memory: memorySchema,
  MemoryVersion: memoryVersionSchema,
  File: fileSchema,
  LegacyFile: legacyFileSchema,
  Skill: skillInfoSchema,
  SkillVersion: skillVersionInfoSchema,
  LegacySkill: legacySkillInfoSchema,
  LegacySkillVersion: legacySkillVersionInfoSchema,
  Model: modelInfoSchema,
  Snapshot: snapshotSchema,
  Timeline: timelineSchema,
  TimelineSpan: timelineSpanSchema,
  Attention: attentionSchema,
  SessionAttention: sessionAttentionSchema,
  WaitingCall: waitingCallSchema,
  Harness: harnessSchema,
  EnvironmentBuild: environmentBuildSchema,
  EgressRequest: egressRequestSchema,
  ApiKey: apiKeySchema,
  CreatedApiKey: createdApiKeySchema,
  Error: errorBodySchema,
  ...Object.fromEntries(EVENTS.map((schema) => [`${pascal(schema.shape.type.value)}Event`, schema])),
};

const PREFIX = "#/components/schemas/";

/** The schemas of a document: each is a component, and whoever needs it gets a reference. */
export class SchemaComponents {
  private readonly registry = z.registry<{ id: string }>();

  constructor() {
    for (const [id, schema] of Object.entries(NAMED)) this.registry.add(schema, { id });
  }

  /** @param name what it is called if it has no name yet */
  refer(schema: z.ZodType, name: string): JsonSchema {
    if (!this.registry.has(schema)) this.registry.add(schema, { id: name });
    return { $ref: PREFIX + (this.registry.get(schema)?.id ?? name) };
  }

  refTo(name: string): JsonSchema {
    return { $ref: PREFIX + name };
  }

  /** Those of all `refer`, by name, in the order of names. */
  toJson(): Record<string, JsonSchema> {
    const { schemas } = z.toJSONSchema(this.registry, {
      uri: (id) => PREFIX + id,
      // Who reads answers must take fields that come later: objects are open.
      io: "input",
      unrepresentable: "any",
      override: ({ zodSchema, jsonSchema }) => adjust(zodSchema, jsonSchema as JsonSchema),
    });
    const entries = Object.entries(schemas as Record<string, JsonSchema>);
    return Object.fromEntries(
      entries
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, { $schema: _dialect, $id: _id, ...schema }]) => [name, schema]),
    );
  }
}

function adjust(zodSchema: z.core.$ZodTypes, json: JsonSchema): void {
  const form = JSON_FORMS.get(zodSchema);
  if (form !== undefined) replace(json, form);
  const { def } = zodSchema._zod;
  // The format says it; the expression behind it is for machines that know no formats.
  if (json.format === "date-time") delete json.pattern;
  // A field that a request must not have.
  if (def.type === "undefined") replace(json, { not: {} });
  if (def.type === "union" && "discriminator" in def) addDiscriminator(def as z.core.$ZodDiscriminatedUnionDef, json);
}

function replace(json: JsonSchema, form: Readonly<JsonSchema>): void {
  for (const key of Object.keys(json)) delete json[key];
  Object.assign(json, form);
}

/** OpenAPI knows discriminators between components only. */
function addDiscriminator(def: z.core.$ZodDiscriminatedUnionDef, json: JsonSchema): void {
  const branches = json.oneOf;
  if (!Array.isArray(branches)) return;
  const references = branches.map((branch: unknown) => (isReference(branch) ? branch.$ref : null));
  if (references.includes(null)) return;
  const mapping = def.options.flatMap((option, at) => {
    const values = option._zod.propValues?.[def.discriminator];
    return [...(values ?? [])].map((value) => [String(value), references[at]]);
  });
  json.discriminator = { propertyName: def.discriminator, mapping: Object.fromEntries(mapping) };
}

const isReference = (value: unknown): value is { $ref: string } =>
  typeof value === "object" && value !== null && "$ref" in value && typeof value.$ref === "string";
