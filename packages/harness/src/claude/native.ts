/**
 * The provider's own form of a response, stored beside its `span.model_request_end`: thinking with its signatures, and
 * the provider's call ids.
 */
export interface NativeStep {
  v: 1;
  harness: "claude";
  model: string;
  content: NativeBlock[];
  /** Event ids of the calls, in the order of the `tool_use` blocks in `content`. */
  callIds: string[];
}

export type NativeBlock =
  | { type: "text"; text: string }
  | { type: "thinking"; thinking: string; signature: string }
  | { type: "redacted_thinking"; data: string }
  | { type: "tool_use"; id: string; name: string; input: Record<string, unknown> };

/** `native` comes from storage and may be of another harness, another model or an older version: then it is as good as missing. */
export function readNative(native: unknown, model: string, callIds: readonly string[]): NativeStep | null {
  if (typeof native !== "object" || native === null) return null;
  const step = native as Partial<NativeStep>;
  const usable = step.v === 1 && step.harness === "claude" && step.model === model && Array.isArray(step.content);
  return usable && step.callIds?.join() === callIds.join() ? (step as NativeStep) : null;
}
