import type { Api, Model, ModelThinkingLevel } from "@earendil-works/pi-ai";
import type { ProviderConfig, TurnAgent } from "../port.ts";

/** The model of one turn in pi-ai's form, and how to ask it. */
export interface ResolvedModel {
  model: Model<Api>;
  /** The effort sent, clamped to what the model has; `undefined` leaves it to the provider. */
  effort: ModelThinkingLevel | undefined;
  /** Thinking is asked for with a token budget: models before adaptive thinking. */
  thinkingBudgetTokens: number | undefined;
  systemInPlace: boolean;
  fast: boolean;
}

export interface Catalog {
  anthropic: Readonly<Record<string, Model<Api>>>;
  openai: Readonly<Record<string, Model<Api>>>;
  clamp: (model: Model<Api>, level: ModelThinkingLevel) => ModelThinkingLevel;
}

const THINKING_BUDGET_TOKENS: Record<ModelThinkingLevel, number> = {
  off: 0,
  minimal: 1_024,
  low: 2_048,
  medium: 8_192,
  high: 16_384,
  xhigh: 32_768,
  max: 63_999,
};
/** Left for the answer when thinking has a budget. */
const ANSWER_TOKENS_MIN = 1_024;

export function resolveModel(agent: TurnAgent, provider: ProviderConfig, catalog: Catalog): ResolvedModel {
  const anthropic = provider.api === "anthropic-messages";
  const baseUrl = vendorBaseUrl(provider);
  const ownEndpoint = ["api.anthropic.com", "api.openai.com"].includes(new URL(baseUrl).hostname);
  const known = anthropic ? catalog.anthropic[agent.model.id] : catalog.openai[agent.model.id];
  const reasoning = known?.reasoning ?? (anthropic ? agent.model.id.startsWith("claude") : agent.model.effort !== undefined);
  const model: Model<Api> = {
    id: agent.model.id,
    name: agent.model.id,
    api: provider.api,
    provider: anthropic ? "anthropic" : "openai",
    baseUrl,
    reasoning,
    input: known?.input ?? ["text", "image"],
    cost: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 },
    contextWindow: provider.contextWindow,
    maxTokens: provider.outputTokensMax,
    ...(known?.thinkingLevelMap
      ? { thinkingLevelMap: known.thinkingLevelMap }
      : known
        ? {}
        : { thinkingLevelMap: UNKNOWN_LEVELS }),
    compat: anthropic ? anthropicCompat(known, ownEndpoint) : openaiCompat(known, ownEndpoint),
  } as Model<Api>;
  const asked = agent.model.effort ?? (known?.reasoning || anthropic ? (anthropic ? "high" : "medium") : undefined);
  const effort = reasoning && asked !== undefined ? catalog.clamp(model, asked) : undefined;
  const compat = model.compat as { forceAdaptiveThinking?: boolean; supportsMidConvoSystemMessages?: boolean };
  const budget = anthropic && effort !== undefined && compat.forceAdaptiveThinking !== true;
  return {
    model,
    effort,
    thinkingBudgetTokens: budget
      ? Math.min(THINKING_BUDGET_TOKENS[effort], Math.max(1_024, provider.outputTokensMax - ANSWER_TOKENS_MIN))
      : undefined,
    systemInPlace: compat.supportsMidConvoSystemMessages === true,
    fast: agent.model.speed === "fast",
  };
}

/** A model pi-ai does not know may have any effort; it, not we, says no. */
const UNKNOWN_LEVELS = { low: "low", medium: "medium", high: "high", xhigh: "xhigh", max: "max" };

/**
 * Anthropic's SDK adds `/v1/messages`, OpenAI's adds only what follows `/v1`: both spellings of a base URL work.
 */
export function vendorBaseUrl(provider: ProviderConfig): string {
  const url = provider.baseUrl.replace(/\/+$/, "");
  if (provider.api === "anthropic-messages") return url.replace(/\/v1$/, "");
  return new URL(url).pathname === "/" ? `${url}/v1` : url;
}

/**
 * Never: tools that change in the middle of a conversation (the agent's tools are given whole each time; pi-ai would add
 * a placeholder tool), message threads (state in the process), fallback models (an answer under another name).
 * Away from the vendor's own endpoint: only what every gateway takes, not the fields that came with a beta.
 */
function anthropicCompat(known: Model<Api> | undefined, ownEndpoint: boolean): Record<string, unknown> {
  const compat = {
    forceAdaptiveThinking: known === undefined,
    ...known?.compat,
    supportsMidConvoToolChanges: false,
    supportsMessageThreads: false,
    allowedFallbackModels: [],
  };
  if (ownEndpoint) return compat;
  return {
    ...compat,
    supportsMidConvoSystemMessages: false,
    supportsMidConvoEffort: false,
    supportsEagerToolInputStreaming: false,
  };
}

function openaiCompat(known: Model<Api> | undefined, ownEndpoint: boolean): Record<string, unknown> {
  const compat = { ...known?.compat, supportsAdditionalTools: false, supportsToolSearch: false, supportsMidConvoEffort: false };
  if (ownEndpoint) return compat;
  return {
    ...compat,
    supportsMidConvoSystemMessages: false,
    ...(known === undefined ? { supportsDeveloperRole: false, supportsStore: false } : {}),
  };
}
