import type { ContentPart, ScriptedUsage } from "./step.ts";
import { type Ending, frame, providerId, type Wire, type WireFactory } from "./wire.ts";

type Item = Record<string, unknown>;

/** OpenAI Responses: one output item a part. */
export const createResponsesWire: WireFactory = (request, usage): Wire => {
  const base = {
    id: providerId("resp_"),
    object: "response",
    created_at: Math.floor(Date.now() / 1000),
    model: request.model,
    error: null,
  };
  const output: Item[] = [];
  let sequence = 0;
  let current: Item = {};
  const event = (type: string, data: Item): string => frame(type, { type, ...data, sequence_number: sequence++ });
  const at = (): Item => ({ item_id: current.id, output_index: output.length });
  const response = (status: string, extra: Item = {}): Item => ({
    ...base,
    status,
    output: [...output],
    incomplete_details: null,
    ...extra,
  });
  const finished = (ending: Ending): Item => {
    const incomplete = ending === "max_tokens" || ending === "context_window";
    const extra = { usage: responsesUsage(usage), service_tier: request.body.service_tier ?? "default" };
    return incomplete
      ? response("incomplete", { ...extra, incomplete_details: { reason: "max_output_tokens" } })
      : response("completed", extra);
  };
  return {
    open: () =>
      event("response.created", { response: response("in_progress") }) +
      event("response.in_progress", { response: response("in_progress") }),
    begin(part) {
      current = emptyItem(part);
      let frames = event("response.output_item.added", { output_index: output.length, item: current });
      if (part.type === "text" || part.type === "refusal") {
        frames += event("response.content_part.added", { ...at(), content_index: 0, part: contentPart(part, "") });
      } else if (part.type === "thinking" && part.text !== "") {
        frames += event("response.reasoning_summary_part.added", {
          ...at(),
          summary_index: 0,
          part: { type: "summary_text", text: "" },
        });
      }
      return frames;
    },
    delta(part, piece) {
      if (part.type === "text")
        return event("response.output_text.delta", { ...at(), content_index: 0, delta: piece, logprobs: [] });
      if (part.type === "refusal") return event("response.refusal.delta", { ...at(), content_index: 0, delta: piece });
      if (part.type === "call") return event("response.function_call_arguments.delta", { ...at(), delta: piece });
      return event("response.reasoning_summary_text.delta", { ...at(), summary_index: 0, delta: piece });
    },
    end(part) {
      const done = partDoneEvents(part).map(([type, data]) => event(type, { ...at(), ...data }));
      const item = wholeItem(part, current);
      const frames = done.join("") + event("response.output_item.done", { output_index: output.length, item });
      output.push(item);
      return frames;
    },
    close(ending) {
      const last = finished(ending);
      return event(last.status === "completed" ? "response.completed" : "response.incomplete", { response: last });
    },
    whole(parts, ending) {
      for (const part of parts) output.push(wholeItem(part, emptyItem(part)));
      return finished(ending);
    },
    errorFrame: (failure) => event("error", { code: failure.errorType ?? "server_error", message: failure.message, param: null }),
  };
};

function contentPart(part: ContentPart, text: string): Item {
  return part.type === "refusal"
    ? { type: "refusal", refusal: text }
    : { type: "output_text", text, annotations: [], logprobs: [] };
}

function partDoneEvents(part: ContentPart): [string, Item][] {
  if (part.type === "call")
    return [["response.function_call_arguments.done", { name: part.name, arguments: part.argumentsText }]];
  if (part.type === "thinking") {
    if (part.text === "") return [];
    const summary = { type: "summary_text", text: part.text };
    return [
      ["response.reasoning_summary_text.done", { summary_index: 0, text: part.text }],
      ["response.reasoning_summary_part.done", { summary_index: 0, part: summary }],
    ];
  }
  const first: [string, Item] =
    part.type === "refusal"
      ? ["response.refusal.done", { content_index: 0, refusal: part.explanation }]
      : ["response.output_text.done", { content_index: 0, text: part.text, logprobs: [] }];
  const text = part.type === "refusal" ? part.explanation : part.text;
  return [first, ["response.content_part.done", { content_index: 0, part: contentPart(part, text) }]];
}

function emptyItem(part: ContentPart): Item {
  if (part.type === "call") {
    const id = { id: providerId("fc_"), call_id: part.id ?? providerId("call_") };
    return { ...id, type: "function_call", status: "in_progress", name: part.name, arguments: "" };
  }
  if (part.type === "thinking") return { id: providerId("rs_"), type: "reasoning", summary: [] };
  return { id: providerId("msg_"), type: "message", status: "in_progress", role: "assistant", content: [] };
}

function wholeItem(part: ContentPart, item: Item): Item {
  if (part.type === "call") return { ...item, status: "completed", arguments: part.argumentsText };
  if (part.type === "thinking") {
    const summary = part.text === "" ? [] : [{ type: "summary_text", text: part.text }];
    return { ...item, summary, encrypted_content: part.signature };
  }
  const text = part.type === "refusal" ? part.explanation : part.text;
  return { ...item, status: "completed", content: [contentPart(part, text)] };
}

function responsesUsage(usage: ScriptedUsage): Item {
  const input = usage.input + usage.cacheRead + usage.cacheWrite;
  return {
    input_tokens: input,
    input_tokens_details: { cached_tokens: usage.cacheRead, cache_write_tokens: usage.cacheWrite },
    output_tokens: usage.output,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: input + usage.output,
  };
}
