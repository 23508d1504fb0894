import { z } from "zod";
import { sessionAgentSchema } from "./agents.ts";
import {
  agentContentSchema,
  idParamSchema,
  messageContentSchema,
  resultContentSchema,
  resultParamsSchema,
  textBlockSchema,
  textParamsSchema,
  userContentSchema,
} from "./content.ts";
import { budgetLimitSchema, modelUsageSchema, usageSnapshotSchema } from "./usage.ts";

/**
 * The session's events (contract §7): the 7 a client may send, the 42 that are stored and the 2 that exist on streams
 * only. Event names are exactly those of the wire; nothing here ever carries a field the official API does not have.
 */
export const RUBRIC_MAX_CHARS = 262_144;

const id = z.string();
const processedAt = z.string();
const nullableProcessedAt = z.string().nullish();
const threadRef = z.string().nullish();
const threadParam = idParamSchema.nullish();

// --- what a client sends -------------------------------------------------------------------------------------------

const isBlank = (block: z.infer<typeof userContentSchema>): boolean => block.type === "text" && block.text.trim() === "";

export const userMessageParamsSchema = z.object({
  type: z.literal("user.message"),
  content: z
    .array(userContentSchema)
    .min(1)
    .refine((content) => !content.every(isBlank), "must hold more than white space"),
});
export const userInterruptParamsSchema = z.object({ type: z.literal("user.interrupt"), session_thread_id: threadParam });
export const toolConfirmationParamsSchema = z.object({
  type: z.literal("user.tool_confirmation"),
  tool_use_id: idParamSchema,
  result: z.enum(["allow", "deny"]),
  deny_message: z.string().nullish(),
  session_thread_id: threadParam,
});
export const toolResultParamsSchema = z.object({
  type: z.literal("user.tool_result"),
  tool_use_id: idParamSchema,
  content: z.array(resultParamsSchema).optional(),
  is_error: z.boolean().nullish(),
  session_thread_id: threadParam,
});
export const customToolResultParamsSchema = z.object({
  type: z.literal("user.custom_tool_result"),
  custom_tool_use_id: idParamSchema,
  content: z.array(resultParamsSchema).optional(),
  is_error: z.boolean().nullish(),
  session_thread_id: threadParam,
});
const rubricSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("text"), content: z.string().max(RUBRIC_MAX_CHARS) }),
  z.object({ type: z.literal("file"), file_id: idParamSchema }),
]);
export const defineOutcomeParamsSchema = z.object({
  type: z.literal("user.define_outcome"),
  description: z.string().min(1),
  rubric: rubricSchema,
  max_iterations: z.int().min(1).max(20).nullish(),
});
export const systemMessageParamsSchema = z.object({
  type: z.literal("system.message"),
  content: z.array(textParamsSchema).min(1).max(1000),
});

export const eventParamsSchema = z.discriminatedUnion("type", [
  userMessageParamsSchema,
  userInterruptParamsSchema,
  toolConfirmationParamsSchema,
  toolResultParamsSchema,
  customToolResultParamsSchema,
  defineOutcomeParamsSchema,
  systemMessageParamsSchema,
]);
export type EventParams = z.infer<typeof eventParamsSchema>;
export type UserMessageParams = z.infer<typeof userMessageParamsSchema>;

// --- what is stored and shown ----------------------------------------------------------------------------------------

const stored = <T extends string, S extends z.ZodRawShape>(type: T, shape: S) =>
  z.object({ id, type: z.literal(type), processed_at: processedAt, ...shape });
const sent = <T extends string, S extends z.ZodRawShape>(type: T, shape: S) =>
  z.object({ id, type: z.literal(type), processed_at: nullableProcessedAt, ...shape });

export const refusalDetailsSchema = z.object({
  type: z.literal("refusal"),
  category: z.enum(["cyber", "bio", "frontier_llm", "reasoning_extraction", "general_harms"]).nullable(),
  explanation: z.string().nullable(),
});
export const stopReasonSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("end_turn") }),
  z.object({ type: z.literal("requires_action"), event_ids: z.array(z.string()) }),
  z.object({ type: z.literal("retries_exhausted") }),
  z.object({ type: z.literal("budget_reached") }),
  z.object({ type: z.literal("refusal") }),
]);

const retryStatusSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("retrying") }),
  z.object({ type: z.literal("exhausted") }),
  z.object({ type: z.literal("terminal") }),
]);
const errorOf = <T extends string, S extends z.ZodRawShape>(type: T, shape: S) =>
  z.object({ type: z.literal(type), message: z.string(), retry_status: retryStatusSchema, ...shape });
const repositoryError = { repository_url: z.string().nullable() };
export const sessionErrorSchema = z.discriminatedUnion("type", [
  errorOf("unknown_error", {}),
  errorOf("model_overloaded_error", {}),
  errorOf("model_rate_limited_error", {}),
  errorOf("model_request_failed_error", {}),
  errorOf("mcp_connection_failed_error", { mcp_server_name: z.string() }),
  errorOf("mcp_authentication_failed_error", { mcp_server_name: z.string() }),
  errorOf("billing_error", {}),
  errorOf("credential_host_unreachable_error", { credential_id: z.string(), vault_id: z.string() }),
  errorOf("tool_use_limit_reached_error", {}),
  errorOf("compaction_limit_reached_error", {}),
  errorOf("repository_authentication_error", repositoryError),
  errorOf("repository_forbidden_error", repositoryError),
  errorOf("repository_not_found_error", repositoryError),
  errorOf("repository_checkout_error", repositoryError),
  errorOf("repository_clone_error", repositoryError),
]);

const evaluatedPermission = z.enum(["allow", "ask", "deny"]);
export const toolEvaluationSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("always_allow") }),
  z.object({ type: z.literal("always_ask") }),
  z.object({
    type: z.literal("auto"),
    evaluated_permission: z.discriminatedUnion("type", [
      z.object({ type: z.literal("allow") }),
      z.object({ type: z.literal("ask"), reason_code: z.string() }),
      z.object({ type: z.literal("deny"), reason_code: z.string() }),
    ]),
  }),
]);

const toolInput = z.record(z.string(), z.unknown());
const permissionFields = { evaluated_permission: evaluatedPermission.optional(), evaluation: toolEvaluationSchema.optional() };
const resultFields = { content: z.array(resultContentSchema).optional(), is_error: z.boolean().nullish() };
const threadStatus = { session_thread_id: z.string(), agent_name: z.string() };
const idleFields = { stop_reason: stopReasonSchema, stop_details: refusalDetailsSchema.nullable() };

export const userEventSchemas = [
  sent("user.message", { content: z.array(messageContentSchema) }),
  sent("user.interrupt", { session_thread_id: threadRef }),
  sent("user.tool_confirmation", {
    tool_use_id: z.string(),
    result: z.enum(["allow", "deny"]),
    deny_message: z.string().nullish(),
    session_thread_id: threadRef,
  }),
  sent("user.tool_result", { tool_use_id: z.string(), ...resultFields, session_thread_id: threadRef }),
  sent("user.custom_tool_result", { custom_tool_use_id: z.string(), ...resultFields, session_thread_id: threadRef }),
  stored("user.define_outcome", {
    outcome_id: z.string(),
    description: z.string(),
    rubric: rubricSchema,
    max_iterations: z.int().nullable(),
  }),
  sent("system.message", { content: z.array(textBlockSchema) }),
] as const;

export const agentEventSchemas = [
  stored("agent.message", { content: z.array(agentContentSchema) }),
  stored("agent.thinking", {}),
  stored("agent.tool_use", { name: z.string(), input: toolInput, ...permissionFields, session_thread_id: threadRef }),
  stored("agent.tool_result", { tool_use_id: z.string(), ...resultFields }),
  stored("agent.mcp_tool_use", {
    mcp_server_name: z.string(),
    name: z.string(),
    input: toolInput,
    ...permissionFields,
    session_thread_id: threadRef,
  }),
  stored("agent.mcp_tool_result", { mcp_tool_use_id: z.string(), ...resultFields }),
  stored("agent.custom_tool_use", { name: z.string(), input: toolInput, session_thread_id: threadRef }),
  stored("agent.thread_message_received", {
    from_session_thread_id: z.string(),
    from_agent_name: z.string().nullish(),
    content: z.array(messageContentSchema),
  }),
  stored("agent.thread_message_sent", {
    to_session_thread_id: z.string(),
    to_agent_name: z.string().nullish(),
    content: z.array(messageContentSchema),
  }),
  stored("agent.thread_context_compacted", {}),
] as const;

export const sessionEventSchemas = [
  stored("session.status_running", {}),
  stored("session.status_idle", idleFields),
  stored("session.status_rescheduled", {}),
  stored("session.status_terminated", {}),
  stored("session.error", { error: sessionErrorSchema }),
  stored("session.updated", {
    title: z.string().nullish(),
    metadata: z.record(z.string(), z.string()).optional(),
    agent: sessionAgentSchema.nullish(),
    budget: budgetLimitSchema.nullish(),
  }),
  stored("session.usage", { usage: usageSnapshotSchema, budget: budgetLimitSchema.nullish() }),
  stored("session.deleted", {}),
  stored("session.thread_created", {
    session_thread_id: z.string(),
    agent_name: z.string(),
    workflow_run_id: z.string().nullable(),
  }),
  stored("session.thread_status_running", threadStatus),
  stored("session.thread_status_idle", { ...threadStatus, ...idleFields }),
  stored("session.thread_status_rescheduled", threadStatus),
  stored("session.thread_status_terminated", threadStatus),
  stored("span.model_request_start", {}),
  stored("span.model_request_end", {
    model_request_start_id: z.string(),
    is_error: z.boolean().nullable(),
    model_usage: modelUsageSchema,
  }),
  stored("span.outcome_evaluation_start", { outcome_id: z.string(), iteration: z.int() }),
  stored("span.outcome_evaluation_ongoing", { outcome_id: z.string(), iteration: z.int() }),
  stored("span.outcome_evaluation_end", {
    outcome_evaluation_start_id: z.string(),
    outcome_id: z.string(),
    iteration: z.int(),
    result: z.string(),
    explanation: z.string(),
    usage: modelUsageSchema,
  }),
] as const;

const runId = { workflow_run_id: z.string() };
const runErrorOf = <T extends string>(type: T) => z.object({ type: z.literal(type), message: z.string() });
const runErrors = [
  runErrorOf("timeout_error"),
  runErrorOf("program_error"),
  runErrorOf("unknown_error"),
  runErrorOf("thread_limit_error"),
] as const;
const runErrorSchema = z.discriminatedUnion("type", [...runErrors, runErrorOf("max_workflow_runs_error")]);
const runResultSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("completed") }),
  z.object({ type: z.literal("error"), error: runErrorSchema }),
  z.object({ type: z.literal("stopped") }),
]);
const runPhase = z.object({ id: z.string(), name: z.string(), description: z.string().nullable() });

export const workflowEventSchemas = [
  stored("workflow_run.created", { ...runId, name: z.string(), description: z.string().nullable(), phases: z.array(runPhase) }),
  stored("workflow_run.status_running", runId),
  stored("workflow_run.status_idle", runId),
  stored("workflow_run.phase_started", { ...runId, workflow_run_phase_id: z.string() }),
  stored("workflow_run.phase_ended", { ...runId, workflow_run_phase_id: z.string(), phase_started_id: z.string() }),
  stored("workflow_run.error", { workflow_run_id: z.string().nullable(), error: runErrorSchema }),
  stored("workflow_run.status_ended", { ...runId, result: runResultSchema }),
] as const;

export const sessionEventSchema = z.discriminatedUnion("type", [
  ...userEventSchemas,
  ...agentEventSchemas,
  ...sessionEventSchemas,
  ...workflowEventSchemas,
]);
export type SessionEvent = z.infer<typeof sessionEventSchema>;
export type SessionEventType = SessionEvent["type"];
export type EventOf<T extends SessionEventType> = Extract<SessionEvent, { type: T }>;
export type StopReason = z.infer<typeof stopReasonSchema>;
export type RefusalDetails = z.infer<typeof refusalDetailsSchema>;
export type SessionError = z.infer<typeof sessionErrorSchema>;
export type ToolEvaluation = z.infer<typeof toolEvaluationSchema>;

/** What `types[]` of the event list takes: every stored type but `session.deleted` (contract §7.1). */
export const EVENT_FILTER_TYPES = [
  "user.message",
  "user.interrupt",
  "user.tool_confirmation",
  "user.tool_result",
  "user.custom_tool_result",
  "user.define_outcome",
  "system.message",
  "agent.message",
  "agent.thinking",
  "agent.tool_use",
  "agent.tool_result",
  "agent.mcp_tool_use",
  "agent.mcp_tool_result",
  "agent.custom_tool_use",
  "agent.thread_message_received",
  "agent.thread_message_sent",
  "agent.thread_context_compacted",
  "session.status_running",
  "session.status_idle",
  "session.status_rescheduled",
  "session.status_terminated",
  "session.error",
  "session.updated",
  "session.usage",
  "session.thread_created",
  "session.thread_status_running",
  "session.thread_status_idle",
  "session.thread_status_rescheduled",
  "session.thread_status_terminated",
  "span.model_request_start",
  "span.model_request_end",
  "span.outcome_evaluation_start",
  "span.outcome_evaluation_ongoing",
  "span.outcome_evaluation_end",
  "workflow_run.created",
  "workflow_run.status_running",
  "workflow_run.status_idle",
  "workflow_run.phase_started",
  "workflow_run.phase_ended",
  "workflow_run.error",
  "workflow_run.status_ended",
] as const satisfies readonly Exclude<SessionEventType, "session.deleted">[];
export type EventFilterType = (typeof EVENT_FILTER_TYPES)[number];

// --- stream-only previews (contract §7.9) ---------------------------------------------------------------------------

export const PREVIEW_TYPES = ["agent.message", "agent.thinking"] as const;
export type PreviewType = (typeof PREVIEW_TYPES)[number];
const previewOf = <T extends PreviewType>(type: T) => z.object({ type: z.literal(type), id });
export const eventStartSchema = z.object({
  type: z.literal("event_start"),
  event: z.discriminatedUnion("type", [previewOf("agent.message"), previewOf("agent.thinking")]),
});
export const eventDeltaSchema = z.object({
  type: z.literal("event_delta"),
  event_id: z.string(),
  delta: z.object({ type: z.literal("content_delta"), index: z.int().optional(), content: textBlockSchema }),
});
export type StreamPreview = z.infer<typeof eventStartSchema> | z.infer<typeof eventDeltaSchema>;
