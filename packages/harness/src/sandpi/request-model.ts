import type { AssistantMessage, StreamOptions, Tool } from "@earendil-works/pi-ai";
import type { ModelAnswer } from "../loop/model-answer.ts";
import { REFUSED } from "../loop/refused.ts";
import type { Transcript } from "../loop/transcript.ts";
import type { Effects, ProviderConfig, Step, StepTiming, Turn, TurnError } from "../port.ts";
import { placeAttachments } from "./attachments.ts";
import { readNative } from "./native.ts";
import { createPreviewer } from "./preview.ts";
import type { ProviderApis } from "./provider-apis.ts";
import { toTurnError } from "./provider-error.ts";
import type { ProviderHttp } from "./provider-http.ts";
import { type ResolvedModel, resolveModel } from "./provider-model.ts";
import { createStreamObserver } from "./stream-observer.ts";
import { toMessages, toStep, toUsage } from "./translate.ts";

type RequestEffects = Pick<Effects, "preview" | "newEventId" | "signal">;

/** Sends the conversation to the model once, shows what arrives, and returns how it ended. Never rejects for a provider. */
export async function requestModel(
  turn: Turn,
  transcript: Transcript,
  effects: RequestEffects,
  apis: ProviderApis,
  http: ProviderHttp,
): Promise<ModelAnswer> {
  const { provider, agent } = turn;
  const unusable = unusableProvider(provider);
  if (unusable !== null) return { type: "failed", error: unusable, usage: null, timing: { firstTokenMs: null, totalMs: 0 } };
  const resolved = resolveModel(agent, provider, apis.catalog);
  const { model, systemInPlace, fast } = resolved;
  const target = { api: provider.api, baseUrl: model.baseUrl, vendor: model.provider, model: model.id, systemInPlace };
  const { messages, attachments } = toMessages(transcript.items, target);
  const context = apis.normalizeContext({
    ...(agent.system ? { systemPrompt: agent.system } : {}),
    messages,
    tools: toTools(turn),
  });
  const previewer = createPreviewer(effects);
  const observer = createStreamObserver();
  const call = http.call(effects.signal, provider.guarded === true);
  const clock = createClock();
  const stream = apis.streams[provider.api](model, context, {
    ...requestOptions(turn, resolved, thinkingFits(transcript, resolved)),
    fetch: call.fetch,
    signal: effects.signal,
    onPayload: (payload) => {
      placeAttachments(payload, provider.api, attachments);
      return finishPayload(payload as Payload, provider.api, fast);
    },
    onProviderStreamEvent: observer.see,
  });
  let response: AssistantMessage | null = null;
  for await (const event of stream) {
    if (event.type === "done") response = event.message;
    else if (event.type === "error") response = event.error;
    else if (event.type !== "start") clock.token();
    previewer.see(event);
  }
  call.end();
  if (response === null) throw new Error("the model stream ended without an end event");
  const timing = clock.read();
  const usage = response.usage.totalTokens > 0 ? toUsage(response, fast) : null;
  if (effects.signal.aborted) return { type: "aborted", usage, timing };
  const refusal = call.failure === null ? observer.refusal(response) : null;
  if (response.stopReason === "error" && refusal === null && !observer.windowExceeded()) {
    const error = toTurnError({ http: call.failure, message: response.errorMessage ?? "unknown error" }, provider.apiKey);
    return { type: "failed", error, usage, timing };
  }
  const { texts, ...ids } = previewer.settle(response);
  const step = toStep(response, texts, { ...ids, newEventId: effects.newEventId }, timing, { baseUrl: model.baseUrl, fast });
  return {
    type: "finished",
    step: refusal === null ? step : { ...refusedStep(step, observer.refusalText(), effects.newEventId), refusal },
    refusal,
  };
}

/**
 * Of a response that was declined only the text counts: no call of it runs. OpenAI's refusals are text of the model, and
 * stay in the conversation; a provider's own are taken out of it.
 */
function refusedStep(step: Step, said: string, newEventId: () => string): Step {
  const { native: _, message, ...rest } = step;
  if (said === "") return { ...rest, calls: [], native: REFUSED, ...(message === undefined ? {} : { message }) };
  return { ...rest, calls: [], message: message ?? { id: newEventId(), content: [{ type: "text", text: said }] } };
}

/** What would fail before a byte is sent, and so would fail again. */
function unusableProvider({ baseUrl, apiKey }: ProviderConfig): TurnError | null {
  const failed = (message: string): TurnError => ({ kind: "model_request_failed_error", message, disposition: "exhausted" });
  if (!URL.canParse(baseUrl) || !/^https?:$/.test(new URL(baseUrl).protocol))
    return failed("The model provider's base URL is not an http(s) URL.");
  return /^[\x21-\x7e]+$/.test(apiKey)
    ? null
    : failed("The model provider's API key is missing or has characters that no key has.");
}

function toTools(turn: Turn): Tool[] {
  return turn.agent.tools.map((tool) => ({ name: tool.name, description: tool.description, parameters: tool.inputSchema }));
}

/**
 * Models that think within a budget want the last response of an open tool loop to begin with its thinking. When that
 * is gone from storage, this one request goes without.
 */
function thinkingFits(transcript: Transcript, resolved: ResolvedModel): boolean {
  const last = transcript.items.at(-1);
  if (resolved.thinkingBudgetTokens === undefined || last?.kind !== "exchange") return true;
  return (
    readNative(
      last.native,
      last.calls.map((call) => call.id),
    ) !== null
  );
}

function requestOptions(turn: Turn, resolved: ResolvedModel, think: boolean): StreamOptions & Record<string, unknown> {
  const { provider } = turn;
  const common = {
    maxTokens: provider.outputTokensMax,
    // The orchestrator retries, with the session told; a hidden retry here would double every wait.
    maxRetries: 0,
    cacheRetention: "short" as const,
    sessionId: turn.threadId,
    identity: { userAgent: { custom: "sandbox0" } },
  };
  if (provider.api === "anthropic-messages") return { ...common, ...anthropicOptions(provider, resolved, think) };
  return {
    ...common,
    apiKey: provider.apiKey,
    // Not the operator's own organization: the key may be a tenant's.
    headers: { "openai-organization": null, "openai-project": null },
    ...(resolved.effort === undefined || resolved.effort === "off" ? {} : { reasoningEffort: resolved.effort }),
    ...(resolved.fast ? { samplingParams: { service_tier: "priority" } } : {}),
  };
}

const FAST_BETA = "fast-mode-2026-02-01";
const INTERLEAVED_BETA = "interleaved-thinking-2025-05-14";

function anthropicOptions(provider: ProviderConfig, resolved: ResolvedModel, think: boolean): Record<string, unknown> {
  const { hostname } = new URL(resolved.model.baseUrl);
  const thinks = resolved.effort !== undefined && resolved.effort !== "off" && think;
  const budget = resolved.thinkingBudgetTokens !== undefined;
  return {
    // As a header and not as `apiKey`: pi-ai would take some keys for a login of Claude Code and pose as it.
    headers: {
      "x-api-key": provider.apiKey,
      // Gateways that speak this API often want a bearer token.
      ...(hostname === "api.anthropic.com" ? {} : { authorization: `Bearer ${provider.apiKey}` }),
      "anthropic-dangerous-direct-browser-access": null,
      ...(hostname === "api.anthropic.com" ? {} : { "anthropic-beta": thinks && budget ? INTERLEAVED_BETA : null }),
    },
    thinkingEnabled: thinks,
    // The log keeps no thinking text, so it need not be written out: the answer begins sooner.
    thinkingDisplay: "omitted",
    ...(thinks && !budget ? { effort: resolved.effort } : {}),
    ...(thinks && budget ? { thinkingBudgetTokens: resolved.thinkingBudgetTokens } : {}),
  };
}

interface Payload {
  reasoning?: { summary?: unknown };
  betas?: string[];
  speed?: string;
}

/** What pi-ai's options cannot say. */
function finishPayload(payload: Payload, api: ProviderConfig["api"], fast: boolean): Payload {
  // Nobody sees a summary, and OpenAI gives one to verified organizations only.
  if (api === "openai-responses" && payload.reasoning !== undefined) delete payload.reasoning.summary;
  if (api === "anthropic-messages" && fast) {
    payload.speed = "fast";
    payload.betas = [...(payload.betas ?? []), FAST_BETA];
  }
  return payload;
}

function createClock(): { token(): void; read(): StepTiming } {
  const startedAt = performance.now();
  let firstTokenMs: number | null = null;
  return {
    token() {
      firstTokenMs ??= performance.now() - startedAt;
    },
    read: () => ({ firstTokenMs, totalMs: performance.now() - startedAt }),
  };
}
