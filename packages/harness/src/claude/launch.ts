import type {
  HookCallback,
  McpSdkServerConfigWithInstance,
  Options,
  SpawnedProcess,
  SpawnOptions,
} from "@anthropic-ai/claude-agent-sdk";
import type { HarnessSandbox, Turn } from "../port.ts";
import { CLAUDE_PATH } from "./find-claude-program.ts";
import { TOOL_SERVER } from "./tool-server.ts";
import { programDir, WORKING_DIR } from "./write-conversation.ts";

/** Milliseconds. The session bounds its own tools; the program shall not give up before. */
const TOOL_WAIT_MS_MAX = 2 ** 31 - 1;
/** Seconds. */
const HOOK_WAIT_S_MAX = 2_000_000;

/** In its minimal mode the program waits for no other servers than those it was started with. */
const TOOL_SERVER_CONFIG = JSON.stringify({
  mcpServers: { [TOOL_SERVER]: { type: "sdk", name: TOOL_SERVER, alwaysLoad: true } },
});

export interface LaunchParts {
  turn: Turn;
  sandbox: HarnessSandbox;
  sessionId: string;
  toolServer: McpSdkServerConfigWithInstance;
  afterCalls: HookCallback;
  spawn: (options: SpawnOptions) => SpawnedProcess;
}

/** Claude Code as the loop of this session and nothing else: its own tools, files, memory and helpers are off. */
export function launchOptions({ turn, sandbox, sessionId, toolServer, afterCalls, spawn }: LaunchParts): Options {
  const { model, system } = turn.agent;
  return {
    pathToClaudeCodeExecutable: CLAUDE_PATH,
    spawnClaudeCodeProcess: spawn,
    cwd: WORKING_DIR,
    env: launchEnv(turn, sandbox, sessionId),
    resume: sessionId,
    model: model.id,
    ...(model.effort === undefined ? {} : { effort: model.effort }),
    systemPrompt: { type: "custom", prompt: system ?? "", snapshot: false },
    settingSources: [],
    tools: [],
    mcpServers: { [TOOL_SERVER]: toolServer },
    strictMcpConfig: true,
    // Every call is decided by the session before its result is given.
    permissionMode: "bypassPermissions",
    allowDangerouslySkipPermissions: true,
    includePartialMessages: true,
    verbatimPrompts: true,
    hooks: { PostToolBatch: [{ hooks: [afterCalls], timeout: HOOK_WAIT_S_MAX }] },
    // The tools must be there before the turn goes on; the log keeps no thinking text.
    extraArgs: { "await-initialize": null, "mcp-config": TOOL_SERVER_CONFIG, "thinking-display": "omitted" },
  };
}

function launchEnv({ provider, threadId }: Turn, sandbox: HarnessSandbox, sessionId: string): Record<string, string> {
  const off = Object.fromEntries(SWITCHED_OFF.map((name) => [name, "1"]));
  return {
    ...off,
    CLAUDE_CONFIG_DIR: programDir(threadId, sessionId),
    ANTHROPIC_BASE_URL: sandbox.modelGateway.baseUrl,
    ANTHROPIC_API_KEY: sandbox.modelGateway.apiKey,
    CLAUDE_AGENT_SDK_CLIENT_APP: "sandbox0",
    CLAUDE_AGENT_SDK_MCP_NO_PREFIX: "1",
    CLAUDE_CODE_RESUME_INTERRUPTED_TURN: "1",
    CLAUDE_CODE_RESUME_PROMPT: "Continue.",
    CLAUDE_CODE_MAX_RETRIES: "0",
    CLAUDE_CODE_MAX_OUTPUT_TOKENS: String(provider.outputTokensMax),
    CLAUDE_CODE_MAX_CONTEXT_TOKENS: String(provider.contextWindow),
    CLAUDE_CODE_ATTRIBUTION_HEADER: "0",
    CLAUDE_CODE_TOTAL_TOKENS_REMINDER: "0",
    ENABLE_TOOL_SEARCH: "0",
    MAX_MCP_OUTPUT_TOKENS: String(TOOL_WAIT_MS_MAX),
    MCP_TIMEOUT: String(TOOL_WAIT_MS_MAX),
    MCP_TOOL_TIMEOUT: String(TOOL_WAIT_MS_MAX),
    CLAUDE_CODE_SDK_MCP_TOOL_IDLE_TIMEOUT: String(TOOL_WAIT_MS_MAX),
  };
}

/** What the program would do by itself: traffic of its own, other models, files of its own, more text to the model. */
const SWITCHED_OFF = [
  // Its minimal mode (`--bare`): 7 % less to start, and nothing of its own said to the model about the machine.
  "CLAUDE_CODE_SIMPLE",
  "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
  "DISABLE_TELEMETRY",
  "DISABLE_ERROR_REPORTING",
  "DISABLE_GROWTHBOOK",
  "DISABLE_AUTOUPDATER",
  "DISABLE_AUTO_COMPACT",
  "CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK",
  "CLAUDE_CODE_NO_MODEL_FALLBACK",
  "CLAUDE_CODE_DISABLE_REFUSAL_RETRY",
  "CLAUDE_CODE_DISABLE_REFUSAL_FALLBACK",
  "CLAUDE_CODE_DISABLE_ATTACHMENTS",
  "CLAUDE_CODE_DISABLE_CLAUDE_MDS",
  "CLAUDE_CODE_DISABLE_AUTO_MEMORY",
  "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS",
  "CLAUDE_CODE_DISABLE_BUNDLED_SKILLS",
  "CLAUDE_CODE_DISABLE_EXPERIMENTAL_BETAS",
  "CLAUDE_CODE_DISABLE_CRON",
  "CLAUDE_CODE_DISABLE_FILE_CHECKPOINTING",
  "CLAUDE_CODE_DISABLE_GIT_INSTRUCTIONS",
  "CLAUDE_CODE_DISABLE_WORKFLOWS",
  "CLAUDE_CODE_SKIP_PROMPT_HISTORY",
];
