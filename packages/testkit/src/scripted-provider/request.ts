import type { IncomingHttpHeaders } from "node:http";

export type ScriptedApi = "messages" | "responses" | "completions";

/** One message of the conversation, whatever API it came over. */
export interface ScriptedMessage {
  role: "system" | "user" | "assistant";
  /** All text of the message, blocks joined by a newline; tool results are not in it. */
  text: string;
  calls: readonly { id: string; name: string; argumentsText: string }[];
  results: readonly { callId: string; text: string; isError: boolean }[];
}

/** One model request, parsed far enough to choose an answer by. */
export interface ScriptedRequest {
  api: ScriptedApi;
  model: string;
  stream: boolean;
  /** The system prompt (and, over OpenAI's APIs, every system and developer message before the first user message). */
  system: string;
  messages: readonly ScriptedMessage[];
  toolNames: readonly string[];
  headers: IncomingHttpHeaders;
  /** The body as it was sent. */
  body: Record<string, unknown>;
  bodyBytes: number;
  /**
   * `open` until the answer ends; then `answered`, or `cut` by the script, or `abandoned` by the client. Changes as the
   * answer goes on.
   */
  state: "open" | "answered" | "cut" | "abandoned";
  /** Resolves when the connection of this answer is done, however it ended. */
  readonly ended: Promise<void>;
}

/** @throws {TypeError} when the body is not shaped like a request of this API */
export function parseRequest(api: ScriptedApi, headers: IncomingHttpHeaders, raw: string, ended: Promise<void>): ScriptedRequest {
  const body = JSON.parse(raw) as Json;
  const list = api === "responses" ? body.input : body.messages;
  const items = typeof list === "string" ? [{ role: "user", content: list }] : (list as Json[]);
  if (!Array.isArray(items)) throw new TypeError(`${api === "responses" ? "input" : "messages"}: a list is required`);
  const parse = { messages: anthropicMessage, responses: responsesItem, completions: completionsMessage }[api];
  const messages = mergeNeighbours(items.map(parse));
  const firstUser = messages.findIndex((message) => message.role !== "system");
  const leading = api === "messages" ? 0 : firstUser === -1 ? messages.length : firstUser;
  const system = [
    api === "messages" ? textOf(body.system) : textOf(body.instructions),
    ...messages.slice(0, leading).map((message) => message.text),
  ];
  return {
    api,
    model: String(body.model),
    stream: body.stream === true,
    system: system.filter((text) => text !== "").join("\n"),
    messages: messages.slice(leading),
    toolNames: ((body.tools as Json[] | undefined) ?? []).map(toolName),
    headers,
    body,
    bodyBytes: raw.length,
    state: "open",
    ended,
  };
}

/** The text of the last user message that has any. */
export function lastUserText(request: ScriptedRequest): string {
  return request.messages.findLast((message) => message.role === "user" && message.text !== "")?.text ?? "";
}

/** The results given since the model last answered, in order. */
export function lastResults(request: ScriptedRequest): ScriptedMessage["results"] {
  return request.messages.at(-1)?.results ?? [];
}

type Json = Record<string, unknown>;

const blocks = (content: unknown): Json[] =>
  typeof content === "string" ? [{ type: "text", text: content }] : Array.isArray(content) ? (content as Json[]) : [];

/** Text of a content value of any of the APIs: a string, or blocks with `text` or `refusal`. */
function textOf(content: unknown): string {
  return blocks(content)
    .map((block) => block.text ?? block.refusal)
    .filter((text) => typeof text === "string")
    .join("\n");
}

function toolName(tool: Json): string {
  return String(tool.name ?? (tool.function as Json | undefined)?.name);
}

function anthropicMessage(message: Json): ScriptedMessage {
  const all = blocks(message.content);
  return {
    role: message.role as ScriptedMessage["role"],
    text: textOf(all.filter((block) => block.type === "text")),
    calls: all
      .filter((block) => block.type === "tool_use")
      .map((block) => ({ id: String(block.id), name: String(block.name), argumentsText: JSON.stringify(block.input) })),
    results: all
      .filter((block) => block.type === "tool_result")
      .map((block) => ({
        callId: String(block.tool_use_id),
        text: textOf(block.content),
        isError: block.is_error === true,
      })),
  };
}

function responsesItem(item: Json): ScriptedMessage {
  if (item.type === "function_call") {
    const argumentsText = String(item.arguments);
    return {
      role: "assistant",
      text: "",
      calls: [{ id: String(item.call_id), name: String(item.name), argumentsText }],
      results: [],
    };
  }
  if (item.type === "function_call_output") {
    return {
      role: "user",
      text: "",
      calls: [],
      results: [{ callId: String(item.call_id), text: textOf(item.output), isError: false }],
    };
  }
  if (item.type === "reasoning") return { role: "assistant", text: "", calls: [], results: [] };
  return { role: openaiRole(item.role), text: textOf(item.content), calls: [], results: [] };
}

function completionsMessage(message: Json): ScriptedMessage {
  if (message.role === "tool") {
    const result = { callId: String(message.tool_call_id), text: textOf(message.content), isError: false };
    return { role: "user", text: "", calls: [], results: [result] };
  }
  const calls = ((message.tool_calls as Json[] | undefined) ?? []).map((item) => {
    const definition = item.function as Json;
    return { id: String(item.id), name: String(definition.name), argumentsText: String(definition.arguments) };
  });
  return { role: openaiRole(message.role), text: textOf(message.content), calls, results: [] };
}

function openaiRole(role: unknown): ScriptedMessage["role"] {
  return role === "assistant" ? "assistant" : role === "system" || role === "developer" ? "system" : "user";
}

/** OpenAI's APIs spread one response and one round of results over several items; Anthropic's does not. */
function mergeNeighbours(messages: ScriptedMessage[]): ScriptedMessage[] {
  const merged: ScriptedMessage[] = [];
  for (const message of messages) {
    const last = merged.at(-1);
    if (last?.role !== message.role || message.role === "system") {
      merged.push(message);
      continue;
    }
    merged[merged.length - 1] = {
      role: last.role,
      text: [last.text, message.text].filter((text) => text !== "").join("\n"),
      calls: [...last.calls, ...message.calls],
      results: [...last.results, ...message.results],
    };
  }
  return merged;
}
