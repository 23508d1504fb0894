import type { ScriptedRequest } from "./request.ts";
import type { ContentPart, ProviderFailure, ScriptedUsage } from "./step.ts";

/** How a response ended, in words no API owns. */
export type Ending = "end" | "calls" | "refusal" | "max_tokens" | "context_window";

/** One response in one API's form. The strings are ready SSE frames. */
export interface Wire {
  open(): string;
  begin(part: ContentPart): string;
  /** `piece` is the next piece of the part's text or arguments. */
  delta(part: ContentPart, piece: string): string;
  end(part: ContentPart): string;
  close(ending: Ending): string;
  /** The same response as one body, for a request that does not stream. */
  whole(parts: readonly ContentPart[], ending: Ending): Record<string, unknown>;
  /** An error after the stream began. */
  errorFrame(failure: ProviderFailure): string;
}

export type WireFactory = (request: ScriptedRequest, usage: ScriptedUsage) => Wire;

export function frame(event: string | null, data: unknown): string {
  return `${event === null ? "" : `event: ${event}\n`}data: ${JSON.stringify(data)}\n\n`;
}

/** Ids like the providers': a prefix and 24 characters of base 36. */
export function providerId(prefix: string): string {
  let id = prefix;
  for (const word of crypto.getRandomValues(new Uint8Array(24))) id += (word % 36).toString(36);
  return id;
}

/** What of a part arrives piece by piece. */
export function streamedText(part: ContentPart): string {
  if (part.type === "call") return part.argumentsText;
  return part.type === "refusal" ? part.explanation : part.text;
}
