import type { AssistantMessage } from "@earendil-works/pi-ai";

/**
 * The provider's own form of a response, stored beside its `span.model_request_end`: thinking with its signatures and
 * the provider's call ids. Only the model that made it can use it; `content` is pi-ai's form.
 */
export interface NativeStep {
  v: 1;
  api: string;
  baseUrl: string;
  model: string;
  content: AssistantMessage["content"];
  /** Event ids of the tool calls, in the order of the tool calls in `content`. */
  callIds: string[];
  /** The effort the provider was given, where it is part of the conversation. */
  effort?: string;
}

/** `native` comes from storage and may be of another harness or of an older version: then it is as good as missing. */
export function readNative(native: unknown, callIds: readonly string[]): NativeStep | null {
  if (typeof native !== "object" || native === null) return null;
  const step = native as Partial<NativeStep>;
  const usable = step.v === 1 && Array.isArray(step.content) && Array.isArray(step.callIds);
  if (!usable || step.callIds?.join() !== callIds.join()) return null;
  return step as NativeStep;
}
