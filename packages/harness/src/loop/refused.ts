/**
 * Stored for a response that the provider's own safety system declined: what led to it must leave the conversation, or
 * every later request is declined too (Anthropic: reset the context after `stop_reason: "refusal"`).
 */
export const REFUSED = { v: 1, refused: true } as const;

export function isRefused(native: unknown): boolean {
  return typeof native === "object" && native !== null && (native as { refused?: unknown }).refused === true;
}
