/**
 * The part of the app-server protocol that the adapter uses, as codex-cli 0.169.0 writes it
 * (`codex app-server generate-ts --experimental`). Made by protocol.test.ts; not edited by hand.
 */

export type AbsolutePathBuf = string;

export type AdditionalContextEntry = { value: string; kind: AdditionalContextKind; name?: string | null };

export type AdditionalContextKind = "untrusted" | "application";

export type AgentMessageDeltaNotification = { threadId: string; turnId: string; itemId: string; delta: string };

export type AgentMessageInputContent =
  | { type: "input_text"; text: string }
  | { type: "encrypted_content"; encrypted_content: string };

export type ApprovalsReviewer = "user" | "auto_review" | "guardian_subagent";

export type AskForApproval =
  | "untrusted"
  | "on-request"
  | {
      granular: {
        sandbox_approval: boolean;
        rules: boolean;
        skill_approval: boolean;
        request_permissions: boolean;
        mcp_elicitations: boolean;
      };
    }
  | "never";

export type ByteRange = { start: number; end: number };

export type CapabilityRootLocation = { type: "environment"; environmentId: string; path: string };

export type ClientInfo = { name: string; title: string | null; version: string };

export type CodexErrorInfo =
  | "contextWindowExceeded"
  | "sessionBudgetExceeded"
  | "usageLimitExceeded"
  | "rateLimitExceeded"
  | "flexUnavailable"
  | "serverOverloaded"
  | "modelNotFound"
  | "policyCapacityUnavailable"
  | "inferenceHookDenied"
  | "cyberPolicy"
  | "misalignmentPolicyViolation"
  | "tooManyDenials"
  | { httpConnectionFailed: { httpStatusCode: number | null } }
  | { responseStreamConnectionFailed: { httpStatusCode: number | null } }
  | "internalServerError"
  | "unauthorized"
  | "badRequest"
  | "threadRollbackFailed"
  | "sandboxError"
  | { responseStreamDisconnected: { httpStatusCode: number | null } }
  | { responseTooManyFailedAttempts: { httpStatusCode: number | null } }
  | { activeTurnNotSteerable: { turnKind: NonSteerableTurnKind } }
  | "other"
  | string
  | { [key: string]: unknown };

export type CollaborationMode = { mode: ModeKind; settings: Settings };

export type ConfigurationReasoning = { effort: ReasoningEffort };

export type ContentItem =
  | { type: "input_text"; text: string }
  | ({ type: "input_image"; detail?: ImageDetail } & ({ image_url: string } | { file_id: string }))
  | ({ type: "input_audio" } & ({ audio_url: string } | { file_id: string }))
  | { type: "output_text"; text: string; annotations?: unknown[]; logprobs?: unknown[] };

export type CyberAccessProgram = "standard" | "daybreakBlue" | "daybreakRed";

export type DynamicToolCallOutputContentItem =
  | { type: "inputText"; text: string }
  | { type: "inputImage"; imageUrl: string }
  | { type: "inputAudio"; audioUrl: string };

export type DynamicToolCallParams = {
  threadId: string;
  turnId: string;
  callId: string;
  namespace: string | null;
  tool: string;
  arguments: JsonValue;
};

export type DynamicToolCallResponse = { contentItems: Array<DynamicToolCallOutputContentItem>; success: boolean };

export type DynamicToolFunctionSpec = { name: string; description: string; inputSchema: JsonValue; deferLoading?: boolean };

export type DynamicToolNamespaceSpec = { name: string; description: string; tools: Array<DynamicToolNamespaceTool> };

export type DynamicToolNamespaceTool = { type: "function" } & DynamicToolFunctionSpec;

export type DynamicToolSpec =
  | ({ type: "function" } & DynamicToolFunctionSpec)
  | ({ type: "namespace" } & DynamicToolNamespaceSpec);

export type ErrorNotification = { error: TurnError; willRetry: boolean; threadId: string; turnId: string };

export type FunctionCallOutputBody = string | Array<FunctionCallOutputContentItem>;

export type FunctionCallOutputContentItem =
  | { type: "input_text"; text: string }
  | ({ type: "input_image"; detail?: ImageDetail } & ({ image_url: string } | { file_id: string }))
  | ({ type: "input_audio" } & ({ audio_url: string } | { file_id: string }))
  | { type: "encrypted_content"; encrypted_content: string };

export type ImageDetail = "auto" | "low" | "high" | "original";

export type InitializeCapabilities = {
  requiredHumanApproval?: boolean;
  explicitGatewayOauth?: boolean;
  experimentalApi: boolean;
  requestAttestation: boolean;
  mcpServerOpenaiFormElicitation?: boolean;
  optOutNotificationMethods?: Array<string> | null;
  extensions?: { [key in string]?: JsonValue } | null;
};

export type InitializeParams = { clientInfo: ClientInfo; capabilities: InitializeCapabilities | null };

export type InternalChatMessageMetadataPassthrough = { turn_id?: string };

export type JsonValue = number | string | boolean | Array<JsonValue> | { [key in string]?: JsonValue } | null;

export type LegacyAppPathString = string;

export type LocalShellAction = { type: "exec" } & LocalShellExecAction;

export type LocalShellExecAction = {
  command: Array<string>;
  timeout_ms: bigint | null;
  working_directory: string | null;
  env: { [key in string]?: string } | null;
  user: string | null;
};

export type LocalShellStatus = "completed" | "in_progress" | "incomplete";

export type MessagePhase = "commentary" | "partial_answer" | "final_answer";

export type MisalignmentErrorDetails = {
  errorType: string | null;
  detailedExplanation: string | null;
  steer: MisalignmentSteer | null;
  reviewTarget?: string | null;
};

export type MisalignmentSteer = { message: string };

export type ModeKind = "plan" | "default";

export type MultiAgentMode = { custom: string } | "explicitRequestOnly" | "proactive";

export type NetworkAccess = "restricted" | "enabled";

export type NonSteerableTurnKind = "review" | "compact";

export type Personality = "none" | "friendly" | "pragmatic";

export type RawResponseCompletedNotification = {
  threadId: string;
  turnId: string;
  responseId: string;
  usage: TokenUsageBreakdown | null;
  usageMetadata: ResponseUsageMetadata | null;
};

export type RawResponseItemCompletedNotification = { threadId: string; turnId: string; item: ResponseItem };

export type ReasoningEffort = string;

export type ReasoningItemContent = { type: "reasoning_text"; text: string } | { type: "text"; text: string };

export type ReasoningItemReasoningSummary = { type: "summary_text"; text: string };

export type ReasoningSummary = "auto" | "concise" | "detailed" | "none";

export type ResponseItem =
  | { type: "additional_tools"; id?: ResponseItemId; role: string; tools: unknown[] }
  | {
      type: "message";
      encrypted_content?: string;
      status?: string;
      id?: ResponseItemId;
      role: string;
      content: Array<ContentItem>;
      phase?: MessagePhase;
      internal_chat_message_metadata_passthrough?: InternalChatMessageMetadataPassthrough;
    }
  | {
      type: "agent_message";
      id?: ResponseItemId;
      author: string;
      recipient: string;
      content: Array<AgentMessageInputContent>;
      internal_chat_message_metadata_passthrough?: InternalChatMessageMetadataPassthrough;
    }
  | {
      type: "reasoning";
      id?: ResponseItemId;
      summary: Array<ReasoningItemReasoningSummary>;
      content?: Array<ReasoningItemContent>;
      encrypted_content: string | null;
      internal_chat_message_metadata_passthrough?: InternalChatMessageMetadataPassthrough;
    }
  | {
      type: "local_shell_call";
      encrypted_content?: string;
      id?: ResponseItemId;
      call_id: string | null;
      status: LocalShellStatus;
      action: LocalShellAction;
      internal_chat_message_metadata_passthrough?: InternalChatMessageMetadataPassthrough;
    }
  | {
      type: "function_call";
      encrypted_content?: string;
      status?: string;
      id?: ResponseItemId;
      name: string;
      namespace?: string;
      arguments: string;
      encrypted_function_args?: Array<string>;
      call_id: string;
      internal_chat_message_metadata_passthrough?: InternalChatMessageMetadataPassthrough;
    }
  | {
      type: "tool_search_call";
      encrypted_content?: string;
      id?: ResponseItemId;
      call_id: string | null;
      status?: string;
      execution: string;
      arguments: unknown;
      internal_chat_message_metadata_passthrough?: InternalChatMessageMetadataPassthrough;
    }
  | {
      type: "function_call_output";
      id?: ResponseItemId;
      call_id?: string;
      name?: string;
      namespace?: string;
      output: FunctionCallOutputBody;
      internal_chat_message_metadata_passthrough?: InternalChatMessageMetadataPassthrough;
    }
  | {
      type: "custom_tool_call";
      encrypted_content?: string;
      id?: ResponseItemId;
      status?: string;
      call_id: string;
      name: string;
      namespace?: string;
      input: string;
      internal_chat_message_metadata_passthrough?: InternalChatMessageMetadataPassthrough;
    }
  | {
      type: "custom_tool_call_output";
      id?: ResponseItemId;
      call_id: string;
      name?: string;
      output: FunctionCallOutputBody;
      internal_chat_message_metadata_passthrough?: InternalChatMessageMetadataPassthrough;
    }
  | {
      type: "tool_search_output";
      id?: ResponseItemId;
      call_id: string | null;
      status: string;
      execution: string;
      tools: unknown[];
      internal_chat_message_metadata_passthrough?: InternalChatMessageMetadataPassthrough;
    }
  | {
      type: "web_search_call";
      encrypted_content?: string;
      id?: ResponseItemId;
      status?: string;
      action?: WebSearchAction;
      internal_chat_message_metadata_passthrough?: InternalChatMessageMetadataPassthrough;
    }
  | {
      type: "image_generation_call";
      encrypted_content?: string;
      id?: ResponseItemId;
      status: string;
      revised_prompt?: string;
      result: string;
      internal_chat_message_metadata_passthrough?: InternalChatMessageMetadataPassthrough;
    }
  | {
      type: "compaction";
      id?: ResponseItemId;
      encrypted_content: string;
      internal_chat_message_metadata_passthrough?: InternalChatMessageMetadataPassthrough;
    }
  | { type: "configuration_update"; reasoning: ConfigurationReasoning }
  | { type: "compaction_trigger" }
  | {
      type: "context_compaction";
      id?: ResponseItemId;
      encrypted_content?: string;
      internal_chat_message_metadata_passthrough?: InternalChatMessageMetadataPassthrough;
    }
  | { type: "other" };

export type ResponseItemId = string;

export type ResponseUsageMetadata = { amount: string | null; metadata: JsonValue | null };

export type SandboxMode = "read-only" | "workspace-write" | "danger-full-access";

export type SandboxPolicy =
  | { type: "dangerFullAccess" }
  | { type: "readOnly"; networkAccess: boolean }
  | { type: "externalSandbox"; networkAccess: NetworkAccess }
  | {
      type: "workspaceWrite";
      writableRoots: Array<AbsolutePathBuf>;
      networkAccess: boolean;
      excludeTmpdirEnvVar: boolean;
      excludeSlashTmp: boolean;
    };

export type SelectedCapabilityRoot = {
  id: string;
  location: CapabilityRootLocation;
};

export type Settings = { model: string; reasoning_effort: ReasoningEffort | null; developer_instructions: string | null };

export type TextElement = {
  byteRange: ByteRange;
  placeholder: string | null;
};

export type ThreadHistoryMode = "legacy" | "paginated";

export type ThreadInjectItemsParams = { threadId: string; items: Array<JsonValue> };

export type ThreadSource = string;

export type ThreadStartParams = {
  model?: string | null;
  modelProvider?: string | null;
  allowProviderModelFallback?: boolean;
  serviceTier?: string | null | null;
  cwd?: string | null;
  runtimeWorkspaceRoots?: Array<AbsolutePathBuf> | null;
  approvalPolicy?: AskForApproval | null;
  approvalsReviewer?: ApprovalsReviewer | null;
  sandbox?: SandboxMode | null;
  permissions?: string | null;
  config?: { [key in string]?: JsonValue } | null;
  serviceName?: string | null;
  baseInstructions?: string | null;
  developerInstructions?: string | null;
  personality?: Personality | null;
  multiAgentMode?: MultiAgentMode | null;
  ephemeral?: boolean | null;
  historyMode?: ThreadHistoryMode | null;
  sessionStartSource?: ThreadStartSource | null;
  threadSource?: ThreadSource | null;
  projectId?: string | null;
  daybreakEnabled?: boolean | null;
  environments?: Array<TurnEnvironmentParams> | null;
  dynamicTools?: Array<DynamicToolSpec> | null;
  selectedCapabilityRoots?: Array<SelectedCapabilityRoot> | null;
  mockExperimentalField?: string | null;
  experimentalRawEvents?: boolean;
};

export type ThreadStartSource = "startup" | "clear";

export type ThreadUnsubscribeParams = { threadId: string };

export type TokenUsageBreakdown = {
  totalTokens: number;
  inputTokens: number;
  cachedInputTokens: number;
  cacheWriteInputTokens: number;
  outputTokens: number;
  reasoningOutputTokens: number;
};

export type TurnEnvironmentParams = {
  environmentId: string;
  cwd: LegacyAppPathString;
  runtimeWorkspaceRoots?: Array<LegacyAppPathString> | null;
};

export type TurnError = {
  message: string;
  codexErrorInfo: CodexErrorInfo | null;
  additionalDetails: string | null;
  misalignment: MisalignmentErrorDetails | null;
};

export type TurnInterruptParams = { threadId: string; turnId: string };

export type TurnStartParams = {
  threadId: string;
  disabledPluginIds?: Array<string> | null;
  clientUserMessageId?: string | null;
  input: Array<UserInput>;
  turnTrigger?: string | null;
  parentTurnId?: string | null;
  rootTurnId?: string | null;
  toolOutput?: TurnToolOutput | null;
  responsesapiClientMetadata?: { [key in string]?: string } | null;
  responsesapiClientMetadataPatch?: { [key in string]?: string } | null;
  additionalContext?: { [key in string]?: AdditionalContextEntry } | null;
  environments?: Array<TurnEnvironmentParams> | null;
  cwd?: string | null;
  runtimeWorkspaceRoots?: Array<AbsolutePathBuf> | null;
  approvalPolicy?: AskForApproval | null;
  approvalsReviewer?: ApprovalsReviewer | null;
  sandboxPolicy?: SandboxPolicy | null;
  permissions?: string | null;
  model?: string | null;
  serviceTier?: string | null | null;
  serviceTierForTurn?: string | null;
  effort?: ReasoningEffort | null;
  summary?: ReasoningSummary | null;
  personality?: Personality | null;
  outputSchema?: JsonValue | null;
  collaborationMode?: CollaborationMode | null;
  multiAgentMode?: MultiAgentMode | null;
  cyberAccessProgram?: CyberAccessProgram | null;
};

export type TurnStatus = "completed" | "interrupted" | "failed" | "inProgress";

export type TurnSteerParams = {
  threadId: string;
  clientUserMessageId?: string | null;
  input: Array<UserInput>;
  responsesapiClientMetadata?: { [key in string]?: string } | null;
  responsesapiClientMetadataPatch?: { [key in string]?: string } | null;
  additionalContext?: { [key in string]?: AdditionalContextEntry } | null;
  expectedTurnId: string;
};

export type TurnToolOutput = { name: string; namespace: string | null; output: FunctionCallOutputBody; retain?: boolean };

export type UserInput =
  | { type: "text"; text: string; text_elements: Array<TextElement> }
  | ({ type: "image"; detail?: ImageDetail } & ({ url: string } | { fileId: string }))
  | { type: "localImage"; detail?: ImageDetail; path: string }
  | ({ type: "audio" } & ({ url: string } | { fileId: string }))
  | { type: "localAudio"; path: string }
  | { type: "skill"; name: string; path: string }
  | { type: "mention"; name: string; path: string };

export type WebSearchAction =
  | { type: "search"; query?: string; queries?: Array<string> }
  | { type: "open_page"; url?: string }
  | { type: "find_in_page"; url?: string; pattern?: string }
  | { type: "other" };
