import type { ScriptedRequest } from "./request.ts";

/**
 * What the real providers refuse with a 400, and a lenient double would hide: calls without results, results without
 * calls, empty text. @returns the message, or `null` when the request is fine
 */
export function invalidReason(request: ScriptedRequest): string | null {
  if (request.messages.length === 0) return "messages: at least one message is required";
  if (request.messages[0]?.role !== "user") return "messages: the first message must be of the user";
  if (request.messages.at(-1)?.role === "assistant") return "messages: the last message must be of the user";
  for (const [index, message] of request.messages.entries()) {
    const asked = message.role === "assistant" ? message.calls.map((call) => call.id) : [];
    const next = request.messages.slice(index + 1).find((later) => later.role !== "system");
    const given = next?.results.map((result) => result.callId) ?? [];
    const open = asked.filter((id) => !given.includes(id));
    if (open.length > 0) return `messages.${index}: calls without a result right after them: ${open.join(", ")}`;
    if (new Set(asked).size !== asked.length) return `messages.${index}: call ids are not unique`;
    const before = request.messages.slice(0, index).findLast((earlier) => earlier.role !== "system");
    const stray = message.results.filter((result) => !before?.calls.some((call) => call.id === result.callId));
    if (stray.length > 0)
      return `messages.${index}: results without a call right before them: ${stray.map((result) => result.callId).join(", ")}`;
  }
  return request.api === "messages" ? emptyText(request.body.messages) : null;
}

function emptyText(messages: unknown): string | null {
  for (const [index, message] of (messages as { content: unknown }[]).entries()) {
    if (!Array.isArray(message.content)) continue;
    for (const block of message.content as { type: string; text?: string }[]) {
      if (block.type === "text" && block.text?.trim() === "")
        return `messages.${index}: text content blocks must contain non-whitespace text`;
    }
  }
  return null;
}
