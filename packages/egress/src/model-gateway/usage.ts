import type { Api } from "./operation.ts";
import type { Json } from "./request-body.ts";

/** Tokens; `input` is what was neither read from the cache nor written to it, as Anthropic counts. */
export interface Usage {
  inputTokens: number;
  outputTokens: number;
  cacheReadTokens: number;
  cacheWriteTokens: number;
}

export const NO_USAGE: Usage = { inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0 };

/** What one event of a stream says. */
export interface EventReading {
  /** Replaces what earlier events said: usage is cumulative in all three APIs. */
  usage: Partial<Usage>;
  /** Something that the model wrote. */
  hasContent: boolean;
  /** Nothing but usage: what a Chat Completions client gets that asks for it. */
  onlyUsage: boolean;
}

/** The usage in a whole (JSON) answer. */
export function usageOfAnswer(api: Api, answer: Json): Partial<Usage> {
  return api === "anthropic-messages" ? anthropicUsage(answer.usage) : openaiUsage(answer.usage);
}

export function readEvent(api: Api, event: Json): EventReading {
  return READERS[api](event);
}

const READERS: Readonly<Record<Api, (event: Json) => EventReading>> = {
  "anthropic-messages": (event) => ({
    usage: anthropicUsage(event.type === "message_start" ? objectOf(event.message).usage : event.usage),
    hasContent: event.type === "content_block_start" || event.type === "content_block_delta",
    onlyUsage: false,
  }),
  "openai-responses": ({ type, response }) => ({
    usage: openaiUsage(objectOf(response).usage),
    hasContent: typeof type === "string" && (type.endsWith(".delta") || type === "response.output_item.done"),
    onlyUsage: false,
  }),
  "openai-completions": ({ choices, usage }) => {
    const deltas = Array.isArray(choices) ? choices.map((choice) => objectOf(objectOf(choice).delta)) : [];
    return {
      usage: openaiUsage(usage),
      hasContent: deltas.some((delta) => COMPLETION_CONTENT.some((name) => delta[name] != null && delta[name] !== "")),
      onlyUsage: Array.isArray(choices) && choices.length === 0 && usage != null,
    };
  },
};

/** `reasoning_content` and `reasoning` are what the servers of open models send. */
const COMPLETION_CONTENT = ["content", "tool_calls", "function_call", "refusal", "reasoning_content", "reasoning"];

function anthropicUsage(usage: unknown): Partial<Usage> {
  const { input_tokens, output_tokens, cache_read_input_tokens, cache_creation_input_tokens } = objectOf(usage);
  const said: Partial<Usage> = {};
  if (isCount(input_tokens)) said.inputTokens = input_tokens;
  if (isCount(output_tokens)) said.outputTokens = output_tokens;
  if (isCount(cache_read_input_tokens)) said.cacheReadTokens = cache_read_input_tokens;
  if (isCount(cache_creation_input_tokens)) said.cacheWriteTokens = cache_creation_input_tokens;
  return said;
}

/** OpenAI's input includes what was cached. Chat Completions say prompt and completion, Responses input and output. */
function openaiUsage(usage: unknown): Partial<Usage> {
  const counts = objectOf(usage);
  const input = counts.input_tokens ?? counts.prompt_tokens;
  const output = counts.output_tokens ?? counts.completion_tokens;
  if (!isCount(input) && !isCount(output)) return {};
  const details = objectOf(counts.input_tokens_details ?? counts.prompt_tokens_details);
  const cacheReadTokens = isCount(details.cached_tokens) ? details.cached_tokens : 0;
  const cacheWriteTokens = isCount(details.cache_write_tokens) ? details.cache_write_tokens : 0;
  return {
    inputTokens: Math.max(0, (isCount(input) ? input : 0) - cacheReadTokens - cacheWriteTokens),
    outputTokens: isCount(output) ? output : 0,
    cacheReadTokens,
    cacheWriteTokens,
  };
}

const objectOf = (value: unknown): Json => (typeof value === "object" && value !== null ? (value as Json) : {});
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
