export {
  agentCreateParamsSchema,
  agentSchema,
  agentUpdateParamsSchema,
  sessionAgentSchema,
  type Agent,
  type AgentConfig,
  type AgentCreateParams,
  type AgentUpdateParams,
  type ExecutionIdentity,
  type McpServer,
  type SessionAgent,
  type SessionMultiagent,
  type SessionThreadAgent,
  type Skill,
  type SkillParams,
} from "./agents.ts";
export { attentionSchema, type Attention, type SessionAttention, type WaitingCall } from "./attention.ts";
export type {
  AgentContent,
  DocumentBlock,
  ImageBlock,
  MessageContent,
  ResultContent,
  SearchResultBlock,
  TextBlock,
} from "./content.ts";
export { describeAllowedHostProblem } from "./domains.ts";
export {
  PACKAGE_MANAGERS,
  environmentCreateParamsSchema,
  environmentSchema,
  environmentUpdateParamsSchema,
  type CloudConfig,
  type CloudConfigParams,
  type Environment,
  type EnvironmentConfig,
  type EnvironmentConfigParams,
  type EnvironmentCreateParams,
  type EnvironmentUpdateParams,
  type Networking,
  type PackageManager,
  type Packages,
} from "./environments.ts";
export { ApiError, ERROR_STATUS, invalidRequest, notFound, type ErrorBody, type ErrorDetails, type ErrorType } from "./errors.ts";
export {
  EVENT_FILTER_TYPES,
  PREVIEW_TYPES,
  sessionEventSchema,
  type EventFilterType,
  type EventOf,
  type EventParams,
  type PreviewType,
  type RefusalDetails,
  type SessionError,
  type SessionEvent,
  type SessionEventType,
  type StopReason,
  type StreamPreview,
  type ToolEvaluation,
  type UserMessageParams,
} from "./events.ts";
export {
  describeFileNameProblem,
  fileListQuerySchema,
  fileUploadParamsSchema,
  legacyFileListQuerySchema,
  type FileListQuery,
  type FileMetadata,
  type FileUploadParams,
  type LegacyFileListQuery,
  type LegacyFileMetadata,
} from "./files.ts";
export { ID_PREFIXES, createId, type IdKind } from "./ids.ts";
export {
  EVENTS_PAGE_SIZE_MAX,
  PAGE_SIZE_DEFAULT,
  agentListQuerySchema,
  agentRetrieveQuerySchema,
  FULL_PAGE_SIZE_MAX,
  environmentListQuerySchema,
  eventListQuerySchema,
  eventStreamQuerySchema,
  memoryDeleteQuerySchema,
  memoryListQuerySchema,
  memoryStoreListQuerySchema,
  memoryVersionListQuerySchema,
  modelListQuerySchema,
  pageQuerySchema,
  sessionListQuerySchema,
  threadEventListQuerySchema,
  threadListQuerySchema,
  vaultListQuerySchema,
  viewQuerySchema,
  type AgentListQuery,
  type EnvironmentListQuery,
  type EventListQuery,
  type MemoryListQuery,
  type MemoryStoreListQuery,
  type MemoryVersionListQuery,
  type ModelListQuery,
  type PageQuery,
  type SessionListQuery,
  type ThreadListQuery,
  type VaultListQuery,
  type View,
} from "./lists.ts";
export {
  MEMORIES_PER_STORE_MAX,
  MEMORY_CONTENT_BYTES_MAX,
  memoryCreateParamsSchema,
  memoryUpdateParamsSchema,
  type Memory,
  type MemoryCreateParams,
  type MemoryListItem,
  type MemoryUpdateParams,
} from "./memories.ts";
export { describeMemoryPathProblem, MEMORY_PATH_SEGMENTS_MAX } from "./memory-paths.ts";
export {
  memoryStoreCreateParamsSchema,
  memoryStoreUpdateParamsSchema,
  type MemoryStore,
  type MemoryStoreCreateParams,
  type MemoryStoreUpdateParams,
} from "./memory-stores.ts";
export type { Actor, MemoryOperation, MemoryVersion } from "./memory-versions.ts";
export { mergeMetadata, type Metadata, type MetadataPatch } from "./metadata.ts";
export type { Effort, ModelConfig, ModelParams, Speed } from "./model-config.ts";
export { modelInfoSchema, type ModelInfo } from "./models.ts";
export type {
  AgentReference,
  Multiagent,
  Multiagent20261001,
  Multiagent20261001Params,
  MultiagentParams,
  PredefinedAgentParams,
  RosterEntryParams,
  Spawning,
  SpawningParams,
} from "./multiagent.ts";
export { OPERATIONS, OPERATION_NAMES, findOperation, type HttpMethod, type OperationName } from "./operations.ts";
export {
  apiKeyCreateParamsSchema,
  egressListQuerySchema,
  masterKeyRotateParamsSchema,
  type ApiKeyInfo,
  type EgressListQuery,
  type EgressRequest,
  type EnvironmentBuild,
  type HarnessInfo,
} from "./own-shapes.ts";
export { decodeCursor, encodeCursor, type Cursor, type Order, type Page } from "./pagination.ts";
export { parseQuery, type Query } from "./query.ts";
export { findProblems, parseEvent, parseStreamEvent, validateResponse } from "./responses.ts";
export {
  resourceAddParamsSchema,
  resourceListQuerySchema,
  resourceUpdateParamsSchema,
  SESSION_RESOURCES_MAX,
  type ResourceAddParams,
  type ResourceListQuery,
  type ResourceUpdateParams,
  type SessionResource,
  type SessionResourceParams,
} from "./session-resources.ts";
export {
  EVENTS_PER_SEND_MAX,
  eventSendParamsSchema,
  sessionCreateParamsSchema,
  sessionSchema,
  sessionUpdateParamsSchema,
  threadSchema,
  type AgentWithOverridesParams,
  type Session,
  type SessionAgentParams,
  type SessionCreateParams,
  type SessionStatus,
  type SessionUpdateParams,
  type Thread,
} from "./sessions.ts";
export {
  SKILL_DESCRIPTION_CHARS_MAX,
  skillCreateParamsSchema,
  skillFrontMatterSchema,
  skillListQuerySchema,
  skillVersionListQuerySchema,
  type LegacySkillInfo,
  type LegacySkillVersionInfo,
  type SkillFrontMatter,
  type SkillInfo,
  type SkillListQuery,
  type SkillVersionInfo,
  type SkillVersionListQuery,
} from "./skills.ts";
export {
  sessionForkParamsSchema,
  sessionRestoreParamsSchema,
  snapshotCreateParamsSchema,
  snapshotSchema,
  type SessionForkParams,
  type SessionRestoreParams,
  type Snapshot,
  type SnapshotCreateParams,
} from "./snapshots.ts";
export { PING_FRAME, encodeFrame } from "./sse.ts";
export {
  AGENT_TOOLSET,
  BUILTIN_TOOLS,
  SANDBOX_TOOLS,
  type AgentToolset,
  type BuiltinTool,
  type CustomTool,
  type McpToolset,
  type PermissionPolicy,
  type Tool,
  type ToolConfig,
  type ToolConfigParams,
  type ToolDefaults,
  type ToolParams,
  type UrlSources,
  type UrlSourcesParams,
} from "./tools.ts";
export type { BudgetLimit, ModelUsage, Money, SessionUsage, UsageSnapshot } from "./usage.ts";
export {
  CREDENTIALS_PER_VAULT_MAX,
  SECRET_CHARS_MAX,
  credentialCreateParamsSchema,
  credentialUpdateParamsSchema,
  vaultCreateParamsSchema,
  vaultUpdateParamsSchema,
  type CapturedResponse,
  type Credential,
  type CredentialAuth,
  type CredentialCreateParams,
  type CredentialUpdateParams,
  type CredentialValidation,
  type EnvironmentVariableParams,
  type EnvironmentVariableUpdate,
  type McpOAuthParams,
  type McpOAuthUpdate,
  type StaticBearerParams,
  type Vault,
  type VaultCreateParams,
  type VaultUpdateParams,
} from "./vaults.ts";
export { parseRequest, requireShallow, requireStorableText } from "./validation.ts";
export { SPAN_KINDS, timelineSchema, timelineSpanSchema, type SpanKind, type Timeline, type TimelineSpan } from "./timeline.ts";
