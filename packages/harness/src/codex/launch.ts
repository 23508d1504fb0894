import type { HarnessProgram, HarnessSandbox, ProviderConfig } from "../port.ts";
import { CODEX_BINARY } from "./find-codex-program.ts";
import { modelCatalog } from "./model-catalog.ts";
import { LOG_ENV } from "./program-log.ts";
import type { InitializeParams } from "./protocol.ts";

/** How the program is started. The same launch can be kept for the next turn. */
export interface Launch {
  command: readonly string[];
  env: Readonly<Record<string, string>>;
  cwd: string;
  initialize: InitializeParams;
}

/** The environment variable that holds the session's token for the model gateway. */
const TOKEN_VARIABLE = "SANDBOX0_MODEL_TOKEN";
/** Never reached: what the conversation is cut to when it is too long is nothing that a program may decide. */
const COMPACT_TOKENS_MAX = 2 ** 40;

/**
 * Its home is in memory, seen by this process alone, and new each time: all that a session needs is on its log. In the
 * session's files, the agent could change its settings with a file tool, and with them run what it may not run.
 */
const SCRIPT = `umask 077
CODEX_HOME=$(mktemp -d /dev/shm/codex.XXXXXX) || exit
export CODEX_HOME
printf %s "$1" >"$CODEX_HOME/models.json" || exit
shift
exec "$@" -c "model_catalog_json='$CODEX_HOME/models.json'"`;

/** Everything that Codex would do by itself: tools, sub-agents, lists, searches, look-ups elsewhere. */
const FEATURES_OFF = [
  "api_key_model_discovery",
  "apps",
  "auth_elicitation",
  "browser_use",
  "browser_use_external",
  "browser_use_full_cdp_access",
  "code_mode_host",
  "computer_use",
  "daemon_auto_start",
  "deferred_tool_world_state",
  "enable_request_compression",
  "goals",
  "guardian_approval",
  "hooks",
  "image_generation",
  "in_app_browser",
  "incremental_tools",
  "memories",
  "multi_agent",
  "plugin_sharing",
  "plugins",
  "remote_plugin",
  "shell_snapshot",
  "shell_tool",
  "skill_mcp_dependency_install",
  "skill_search",
  "sleep_tool",
  "tool_call_mcp_elicitation",
  "tool_suggest",
  "unbounded_connection_retries",
  "unified_exec",
  "view_image",
  "workspace_dependencies",
];

type Setting = string | number | boolean;

/** @param idleMs how long the model may be silent in the middle of a response */
export function createLaunch(
  program: HarnessProgram,
  model: string,
  provider: Pick<ProviderConfig, "contextWindow">,
  gateway: HarnessSandbox["modelGateway"],
  idleMs: number,
): Launch {
  const settings = Object.entries(allSettings(gateway.baseUrl, idleMs)).flatMap(([key, value]) => [
    "-c",
    `${key}=${JSON.stringify(value)}`,
  ]);
  const catalog = JSON.stringify(modelCatalog(model, provider.contextWindow));
  const codex = [`${program.mountedAt}/${CODEX_BINARY}`, "app-server", ...settings];
  return {
    command: ["/bin/sh", "-c", SCRIPT, "sh", catalog, ...codex],
    env: { [TOKEN_VARIABLE]: gateway.apiKey, ...LOG_ENV },
    // Nothing of the agent's is here, so no settings of a project are.
    cwd: program.mountedAt,
    initialize: {
      clientInfo: { name: "sandbox0", title: null, version: program.version },
      capabilities: { experimentalApi: true, requestAttestation: false, optOutNotificationMethods: UNUSED_NOTIFICATIONS },
    },
  };
}

function allSettings(gatewayUrl: string, idleMs: number): Record<string, Setting> {
  return {
    model_provider: "gateway",
    "model_providers.gateway.name": "gateway",
    "model_providers.gateway.base_url": `${gatewayUrl}/v1`,
    "model_providers.gateway.env_key": TOKEN_VARIABLE,
    "model_providers.gateway.wire_api": "responses",
    "model_providers.gateway.supports_websockets": false,
    // The orchestrator retries, with the session told; a hidden retry here would double every wait.
    "model_providers.gateway.request_max_retries": 0,
    "model_providers.gateway.stream_max_retries": 0,
    "model_providers.gateway.stream_idle_timeout_ms": idleMs,
    ...Object.fromEntries(FEATURES_OFF.map((feature) => [`features.${feature}`, false])),
    web_search: "disabled",
    "tools.experimental_request_user_input.enabled": false,
    "skills.bundled.enabled": false,
    "skills.include_instructions": false,
    project_doc_max_bytes: 0,
    include_permissions_instructions: false,
    include_apps_instructions: false,
    include_collaboration_mode_instructions: false,
    include_environment_context: false,
    model_auto_compact_token_limit: COMPACT_TOKENS_MAX,
    // The log keeps no thinking text, and OpenAI gives a summary to verified organizations only.
    model_reasoning_summary: "none",
    "agents.interrupt_message": false,
    "history.persistence": "none",
    "analytics.enabled": false,
    "feedback.enabled": false,
    check_for_update_on_startup: false,
    "otel.exporter": "none",
    "otel.metrics_exporter": "none",
    "otel.trace_exporter": "none",
  };
}

/** What would be long, or come often, and say nothing that is needed. */
const UNUSED_NOTIFICATIONS = [
  "account/rateLimits/updated",
  "item/completed",
  "item/reasoning/summaryPartAdded",
  "item/reasoning/summaryTextDelta",
  "item/reasoning/textDelta",
  "remoteControl/status/changed",
  "thread/settings/updated",
  "thread/started",
  "thread/status/changed",
  "thread/tokenUsage/updated",
  "turn/diff/updated",
];
