import { openaiError } from "./openai-error.ts";
import type { CallPart, ContentPart, ScriptedUsage } from "./step.ts";
import { type Ending, frame, providerId, type Wire, type WireFactory } from "./wire.ts";

const FINISH_REASONS: Record<Ending, string> = {
  end: "stop",
  calls: "tool_calls",
  refusal: "stop",
  max_tokens: "length",
  context_window: "length",
};

/** OpenAI Chat Completions. Thinking goes out as `reasoning_content`, as the open models' servers send it. */
export const createCompletionsWire: WireFactory = (request, usage): Wire => {
  const base = { id: providerId("chatcmpl-"), created: Math.floor(Date.now() / 1000), model: request.model };
  const chunk = (delta: Record<string, unknown>, finishReason: string | null = null): string => {
    const choices = [{ index: 0, delta, logprobs: null, finish_reason: finishReason }];
    return frame(null, { ...base, object: "chat.completion.chunk", choices });
  };
  const options = request.body.stream_options as { include_usage?: boolean } | undefined;
  let callIndex = -1;
  return {
    open: () => chunk({ role: "assistant", content: "" }),
    begin(part) {
      if (part.type !== "call") return "";
      callIndex += 1;
      return chunk({ tool_calls: [{ index: callIndex, ...toolCall(part, "") }] });
    },
    delta(part, piece) {
      if (part.type === "text") return chunk({ content: piece });
      if (part.type === "thinking") return chunk({ reasoning_content: piece });
      if (part.type === "refusal") return chunk({ refusal: piece });
      return chunk({ tool_calls: [{ index: callIndex, function: { arguments: piece } }] });
    },
    end: () => "",
    close(ending) {
      const total = { ...base, object: "chat.completion.chunk", choices: [], usage: completionsUsage(usage) };
      return `${chunk({}, FINISH_REASONS[ending])}${options?.include_usage ? frame(null, total) : ""}data: [DONE]\n\n`;
    },
    whole(parts, ending) {
      const choice = { index: 0, message: wholeMessage(parts), logprobs: null, finish_reason: FINISH_REASONS[ending] };
      return { ...base, object: "chat.completion", choices: [choice], usage: completionsUsage(usage) };
    },
    errorFrame: (failure) => frame(null, openaiError(failure)),
  };
};

function toolCall(part: CallPart, argumentsText: string): Record<string, unknown> {
  return { id: part.id ?? providerId("call_"), type: "function", function: { name: part.name, arguments: argumentsText } };
}

function wholeMessage(parts: readonly ContentPart[]): Record<string, unknown> {
  const join = (type: "text" | "thinking"): string =>
    parts.map((part) => (part.type === type && "text" in part ? part.text : "")).join("");
  const calls = parts.filter((part) => part.type === "call").map((part) => toolCall(part, part.argumentsText));
  const reasoning = join("thinking");
  return {
    role: "assistant",
    content: join("text") || null,
    refusal: parts.find((part) => part.type === "refusal")?.explanation ?? null,
    ...(reasoning === "" ? {} : { reasoning_content: reasoning }),
    ...(calls.length === 0 ? {} : { tool_calls: calls }),
  };
}

function completionsUsage(usage: ScriptedUsage): Record<string, unknown> {
  const prompt = usage.input + usage.cacheRead + usage.cacheWrite;
  return {
    prompt_tokens: prompt,
    completion_tokens: usage.output,
    total_tokens: prompt + usage.output,
    prompt_tokens_details: { cached_tokens: usage.cacheRead, cache_write_tokens: usage.cacheWrite },
  };
}
