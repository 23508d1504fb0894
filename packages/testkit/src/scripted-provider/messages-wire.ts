import type { ContentPart, ProviderFailure } from "./step.ts";
import { type Ending, frame, providerId, type Wire, type WireFactory } from "./wire.ts";

const STOP_REASONS: Record<Ending, string> = {
  end: "end_turn",
  calls: "tool_use",
  refusal: "refusal",
  max_tokens: "max_tokens",
  context_window: "model_context_window_exceeded",
};

/** Anthropic Messages. A refusal is no content block: it is the stop reason and its details. */
export const createMessagesWire: WireFactory = (request, usage): Wire => {
  const inputUsage = {
    input_tokens: usage.input,
    cache_creation_input_tokens: usage.cacheWrite,
    cache_read_input_tokens: usage.cacheRead,
  };
  const message = {
    id: providerId("msg_01"),
    type: "message",
    role: "assistant",
    model: request.model,
    content: [] as unknown[],
    stop_reason: null,
    stop_sequence: null,
    usage: { ...inputUsage, output_tokens: 1, ...speedOf(request.body) },
  };
  let index = -1;
  let refusal: unknown = null;
  const delta = (value: unknown): string => frame("content_block_delta", { type: "content_block_delta", index, delta: value });
  const note = (part: ContentPart): boolean => {
    if (part.type !== "refusal") return false;
    refusal = { type: "refusal", category: part.category, explanation: part.explanation };
    return true;
  };
  return {
    open: () => frame("message_start", { type: "message_start", message }) + frame("ping", { type: "ping" }),
    begin(part) {
      if (note(part)) return "";
      index += 1;
      return frame("content_block_start", { type: "content_block_start", index, content_block: emptyBlock(part) });
    },
    delta(part, piece) {
      if (part.type === "text") return delta({ type: "text_delta", text: piece });
      if (part.type === "thinking") return part.redacted ? "" : delta({ type: "thinking_delta", thinking: piece });
      return part.type === "call" ? delta({ type: "input_json_delta", partial_json: piece }) : "";
    },
    end(part) {
      if (part.type === "refusal") return "";
      const signature =
        part.type === "thinking" && !part.redacted ? delta({ type: "signature_delta", signature: part.signature }) : "";
      return signature + frame("content_block_stop", { type: "content_block_stop", index });
    },
    close(ending) {
      const end = { stop_reason: STOP_REASONS[ending], stop_sequence: null, stop_details: refusal };
      const total = { ...inputUsage, output_tokens: usage.output };
      return (
        frame("message_delta", { type: "message_delta", delta: end, usage: total }) +
        frame("message_stop", { type: "message_stop" })
      );
    },
    whole(parts, ending) {
      const content = parts.filter((part) => !note(part)).map(wholeBlock);
      const total = { ...message.usage, output_tokens: usage.output };
      return { ...message, content, stop_reason: STOP_REASONS[ending], stop_details: refusal, usage: total };
    },
    errorFrame: (failure) => frame("error", messagesError(failure)),
  };
};

/** The body of an error of the Messages API, with the type that goes with the status. */
export function messagesError(failure: ProviderFailure): Record<string, unknown> {
  const types: Record<number, string> = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
  };
  const type = failure.errorType ?? types[failure.status] ?? "api_error";
  return { type: "error", error: { type, message: failure.message }, request_id: providerId("req_01") };
}

function speedOf(body: Record<string, unknown>): { speed?: unknown } {
  return body.speed === undefined ? {} : { speed: body.speed };
}

function emptyBlock(part: ContentPart): Record<string, unknown> {
  if (part.type === "text") return { type: "text", text: "" };
  if (part.type === "call") return { type: "tool_use", id: part.id ?? providerId("toolu_01"), name: part.name, input: {} };
  if (part.type === "thinking" && part.redacted) return { type: "redacted_thinking", data: part.signature };
  return { type: "thinking", thinking: "", signature: "" };
}

function wholeBlock(part: ContentPart): Record<string, unknown> {
  const block = emptyBlock(part);
  if (part.type === "text") return { ...block, text: part.text };
  if (part.type === "call") return { ...block, input: parsedOrEmpty(part.argumentsText) };
  return part.type === "thinking" && !part.redacted ? { ...block, thinking: part.text, signature: part.signature } : block;
}

/** A whole Messages body can only hold arguments that are JSON; the API itself answers `{}` for what it cannot read. */
function parsedOrEmpty(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}
