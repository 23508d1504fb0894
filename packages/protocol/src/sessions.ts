import { z } from "zod";
import {
  inlineAgentSchema,
  mcpServersParamsSchema,
  sessionAgentSchema,
  sessionThreadAgentSchema,
  skillsParamsSchema,
  systemParamsSchema,
} from "./agents.ts";
import { defineOutcomeParamsSchema, eventParamsSchema, userMessageParamsSchema } from "./events.ts";
import { metadataParamsSchema, metadataPatchSchema, metadataSchema } from "./metadata.ts";
import { modelParamsSchema } from "./model-config.ts";
import { agentParamsSchema } from "./multiagent.ts";
import { sessionResourceSchema, sessionResourcesParamsSchema } from "./session-resources.ts";
import { toolsParamsSchema } from "./tools.ts";
import { budgetLimitSchema, sessionUsageSchema } from "./usage.ts";

/** Sessions and threads (contract §6). */
export const INITIAL_EVENTS_MAX = 50;
export const INITIAL_FILE_DOCUMENTS_MAX = 100;
export const EVENTS_PER_SEND_MAX = 1_000;
export const VAULT_IDS_MAX = 50;
export const TITLE_CHARS_MAX = 1_024;

const AMOUNT = /^[1-9][0-9]{0,14}$/;
const budgetParams = z.object({
  type: z.literal("limit"),
  max_list_cost: z.object({
    amount: z.string().regex(AMOUNT, 'must be a positive whole number of cents without leading zeros, such as "2500"'),
    currency: z.literal("USD"),
  }),
});

/** Left out inherits, `null` or `[]` clears, a value replaces the whole field (semantics §4.1). */
export const agentWithOverridesParamsSchema = z.object({
  type: z.literal("agent_with_overrides"),
  id: z.string().min(1),
  version: z.int().min(1).nullish(),
  model: modelParamsSchema.nullish(),
  system: systemParamsSchema,
  tools: toolsParamsSchema.nullish(),
  mcp_servers: mcpServersParamsSchema.nullish(),
  skills: skillsParamsSchema.nullish(),
});
export type AgentWithOverridesParams = z.infer<typeof agentWithOverridesParamsSchema>;
export const sessionAgentParamsSchema = z.union([
  z.string().min(1),
  z.discriminatedUnion("type", [agentParamsSchema.extend({ version: z.int().min(1).nullish() }), agentWithOverridesParamsSchema]),
]);
export type SessionAgentParams = z.infer<typeof sessionAgentParamsSchema>;

type InitialEvent = z.infer<typeof userMessageParamsSchema> | z.infer<typeof defineOutcomeParamsSchema>;
const countFileDocuments = (events: readonly InitialEvent[]): number =>
  events
    .flatMap((event) => (event.type === "user.message" ? event.content : []))
    .filter((block) => block.type === "document" && block.source.type === "file").length;
const initialEvents = z
  .array(z.discriminatedUnion("type", [userMessageParamsSchema, defineOutcomeParamsSchema]))
  .max(INITIAL_EVENTS_MAX)
  .refine(
    (events) => events.filter((event) => event.type === "user.define_outcome").length <= 1,
    "At most one user.define_outcome is allowed",
  )
  .refine(
    (events) => countFileDocuments(events) <= INITIAL_FILE_DOCUMENTS_MAX,
    `At most ${INITIAL_FILE_DOCUMENTS_MAX} file documents are allowed`,
  );

export const sessionCreateParamsSchema = z.object({
  agent: sessionAgentParamsSchema,
  environment_id: z.string().min(1),
  title: z.string().max(TITLE_CHARS_MAX).nullish(),
  metadata: metadataParamsSchema.nullish(),
  vault_ids: z.array(z.string().min(1)).max(VAULT_IDS_MAX).nullish(),
  resources: sessionResourcesParamsSchema.nullish(),
  budget: budgetParams.nullish(),
  initial_events: initialEvents.nullish(),
});
export type SessionCreateParams = z.infer<typeof sessionCreateParamsSchema>;

/** An unknown key is ignored elsewhere; who sends one of these would believe that the session has changed. */
const fixed = z.undefined({ error: "cannot change in a session; only tools and mcp_servers can" }).optional();

export const sessionUpdateParamsSchema = z.object({
  title: z.string().max(TITLE_CHARS_MAX).nullish(),
  metadata: metadataPatchSchema.nullish(),
  budget: budgetParams.nullish(),
  agent: z
    .object({
      tools: toolsParamsSchema.nullish(),
      mcp_servers: mcpServersParamsSchema.nullish(),
      model: fixed,
      system: fixed,
      skills: fixed,
    })
    .optional(),
  vault_ids: z.undefined({ error: "Updating vault_ids is not yet supported" }).optional(),
});
export type SessionUpdateParams = z.infer<typeof sessionUpdateParamsSchema>;

export const eventSendParamsSchema = z.object({ events: z.array(eventParamsSchema).min(1).max(EVENTS_PER_SEND_MAX) });

// --- responses -------------------------------------------------------------------------------------------------------

export const sessionStatusSchema = z.enum(["rescheduling", "running", "idle", "terminated"]);
export type SessionStatus = z.infer<typeof sessionStatusSchema>;
const outcomeEvaluationSchema = z.object({
  type: z.literal("outcome_evaluation"),
  outcome_id: z.string(),
  description: z.string(),
  iteration: z.number(),
  result: z.string(),
  explanation: z.string().nullable(),
  completed_at: z.string().nullable(),
});

export const sessionSchema = z.object({
  id: z.string(),
  type: z.literal("session"),
  agent: sessionAgentSchema,
  environment_id: z.string(),
  title: z.string().nullable(),
  status: sessionStatusSchema,
  metadata: metadataSchema,
  vault_ids: z.array(z.string()),
  resources: z.array(sessionResourceSchema),
  outcome_evaluations: z.array(outcomeEvaluationSchema),
  budget: budgetLimitSchema.nullable(),
  stats: z.object({ active_seconds: z.number().optional(), duration_seconds: z.number().optional() }),
  usage: sessionUsageSchema,
  created_at: z.string(),
  updated_at: z.string(),
  archived_at: z.string().nullable(),
  deployment_id: z.string().nullish(),
});
export type Session = z.infer<typeof sessionSchema>;

export const threadSchema = z.object({
  id: z.string(),
  type: z.literal("session_thread"),
  session_id: z.string(),
  parent_thread_id: z.string().nullable(),
  workflow_run_id: z.string().nullable(),
  agent: z.discriminatedUnion("type", [
    sessionThreadAgentSchema,
    z.object({ type: z.literal("advisor"), model: z.string() }),
    inlineAgentSchema,
  ]),
  status: sessionStatusSchema,
  stats: z
    .object({
      active_seconds: z.number().optional(),
      duration_seconds: z.number().optional(),
      startup_seconds: z.number().optional(),
    })
    .nullable(),
  usage: sessionUsageSchema.nullable(),
  created_at: z.string(),
  updated_at: z.string(),
  archived_at: z.string().nullable(),
});
export type Thread = z.infer<typeof threadSchema>;
