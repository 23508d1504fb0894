import type { ResponseItem } from "./protocol.ts";

/**
 * A response as the provider made it, stored beside its `span.model_request_end`: reasoning with what the provider wants
 * back unchanged, and its own call ids. Only the endpoint and model that made it can use it.
 */
export interface NativeResponse {
  v: 1;
  harness: "codex";
  baseUrl: string;
  model: string;
  items: ResponseItem[];
  /** Event ids of the calls, in the order of the calls in `items`. */
  callIds: string[];
}

/** `native` comes from storage and may be of another harness or of an older version: then it is as good as missing. */
export function readNative(native: unknown, callIds: readonly string[]): NativeResponse | null {
  if (typeof native !== "object" || native === null) return null;
  const response = native as Partial<NativeResponse>;
  if (response.v !== 1 || response.harness !== "codex" || !Array.isArray(response.items)) return null;
  return Array.isArray(response.callIds) && response.callIds.join() === callIds.join() ? (response as NativeResponse) : null;
}
