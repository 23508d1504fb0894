import { z } from "zod";
import { metadataParamsSchema, metadataPatchSchema, metadataSchema } from "./metadata.ts";
import { modelConfigSchema, modelParamsSchema } from "./model-config.ts";
import { multiagentOf, multiagentParamsSchema, multiagentSchema } from "./multiagent.ts";
import { toolSchema, toolsParamsSchema } from "./tools.ts";

/** Agents and their versions (contract §3). */
export const AGENT_NAME_CHARS_MAX = 256;
export const DESCRIPTION_CHARS_MAX = 2_048;
export const SYSTEM_CHARS_MAX = 100_000;
export const MCP_SERVERS_MAX = 20;
export const SKILLS_MAX = 500;
const URL_CHARS_MAX = 2_048;
const ROLE_ARN_CHARS_MAX = 2_048;
const SERVER_NAME_CHARS_MAX = 255;

export const mcpServerSchema = z.object({ type: z.literal("url"), name: z.string(), url: z.string() });
export type McpServer = z.infer<typeof mcpServerSchema>;
const mcpServerParams = z.object({
  type: z.literal("url"),
  name: z.string().min(1).max(SERVER_NAME_CHARS_MAX),
  url: z.url({ protocol: /^https?$/, error: "must be an http or https URL" }).max(URL_CHARS_MAX),
});
export const mcpServersParamsSchema = z
  .array(mcpServerParams)
  .max(MCP_SERVERS_MAX)
  .refine((servers) => new Set(servers.map((server) => server.name)).size === servers.length, "Server names must be unique");

const skillParams = z.object({ skill_id: z.string().min(1), version: z.string().min(1).nullish() });
export const skillsParamsSchema = z
  .array(
    z.discriminatedUnion("type", [
      z.object({ type: z.literal("anthropic"), ...skillParams.shape }),
      z.object({ type: z.literal("custom"), ...skillParams.shape }),
    ]),
  )
  .max(SKILLS_MAX);
export type SkillParams = z.infer<typeof skillsParamsSchema>[number];

const resolvedSkill = { skill_id: z.string(), version: z.string() };
export const skillSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("anthropic"), ...resolvedSkill }),
  z.object({ type: z.literal("custom"), ...resolvedSkill }),
]);
export type Skill = z.infer<typeof skillSchema>;

export const executionIdentitySchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("service_account") }),
  z.object({ type: z.literal("aws_role"), role_arn: z.string().min(1).max(ROLE_ARN_CHARS_MAX) }),
]);
export type ExecutionIdentity = z.infer<typeof executionIdentitySchema>;

const name = z.string().min(1).max(AGENT_NAME_CHARS_MAX);
const description = z.string().max(DESCRIPTION_CHARS_MAX).nullish();
export const systemParamsSchema = z.string().max(SYSTEM_CHARS_MAX).nullish();

export const agentCreateParamsSchema = z.object({
  name,
  model: modelParamsSchema,
  description,
  system: systemParamsSchema,
  tools: toolsParamsSchema.nullish(),
  mcp_servers: mcpServersParamsSchema.nullish(),
  skills: skillsParamsSchema.nullish(),
  multiagent: multiagentParamsSchema.nullish(),
  execution_identity: executionIdentitySchema.nullish(),
  metadata: metadataParamsSchema.nullish(),
});
export type AgentCreateParams = z.infer<typeof agentCreateParamsSchema>;

/** A field left out is kept; `null` clears what can be cleared. `name` and `model` cannot. */
export const agentUpdateParamsSchema = z.object({
  name: name.optional(),
  model: modelParamsSchema.optional(),
  description,
  system: systemParamsSchema,
  tools: toolsParamsSchema.nullish(),
  mcp_servers: mcpServersParamsSchema.nullish(),
  skills: skillsParamsSchema.nullish(),
  multiagent: multiagentParamsSchema.nullish(),
  execution_identity: executionIdentitySchema.nullish(),
  metadata: metadataPatchSchema.nullish(),
  version: z.int().min(1).nullish(),
});
export type AgentUpdateParams = z.infer<typeof agentUpdateParamsSchema>;

// --- responses -------------------------------------------------------------------------------------------------------

/** What a thread needs of an agent: no roster, no metadata. */
const definition = {
  name: z.string(),
  description: z.string().nullable(),
  system: z.string().nullable(),
  model: modelConfigSchema,
  tools: z.array(toolSchema),
  mcp_servers: z.array(mcpServerSchema),
  skills: z.array(skillSchema),
  execution_identity: executionIdentitySchema,
};

export const agentSchema = z.object({
  id: z.string(),
  type: z.literal("agent"),
  ...definition,
  multiagent: multiagentSchema.nullable(),
  metadata: metadataSchema,
  version: z.int(),
  created_at: z.string(),
  updated_at: z.string(),
  archived_at: z.string().nullable(),
});
export type Agent = z.infer<typeof agentSchema>;
/** The part of an agent that a version freezes. */
export type AgentConfig = Omit<Agent, "id" | "type" | "version" | "created_at" | "updated_at" | "archived_at">;

export const sessionThreadAgentSchema = z.object({ type: z.literal("agent"), id: z.string(), version: z.int(), ...definition });
export type SessionThreadAgent = z.infer<typeof sessionThreadAgentSchema>;
export const inlineAgentSchema = z.object({ type: z.literal("inline"), ...definition });

export const sessionMultiagentSchema = multiagentOf(sessionThreadAgentSchema);
export type SessionMultiagent = z.infer<typeof sessionMultiagentSchema>;
/** The agent of a session: frozen at creation, only `tools` and `mcp_servers` may be replaced (contract §6). */
export const sessionAgentSchema = z.object({ ...sessionThreadAgentSchema.shape, multiagent: sessionMultiagentSchema.nullable() });
export type SessionAgent = z.infer<typeof sessionAgentSchema>;
