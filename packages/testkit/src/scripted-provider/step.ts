import type { Gate } from "./gate.ts";

/** What the scripted provider answers to one request: one part, or several in order. */
export type Step = Part | readonly Part[];
export type Part = ContentPart | ControlPart;

export type ContentPart = TextPart | ThinkingPart | CallPart | RefusalPart;
export interface TextPart extends Pace {
  type: "text";
  text: string;
}
export interface ThinkingPart extends Pace {
  type: "thinking";
  text: string;
  /** What the model wants back unchanged: Anthropic's signature, OpenAI's encrypted reasoning. */
  signature: string;
  /** Anthropic `redacted_thinking`: only the opaque payload, no text. */
  redacted: boolean;
}
export interface CallPart extends Pace {
  type: "call";
  name: string;
  /** The argument text exactly as the model "wrote" it; it need not be JSON. */
  argumentsText: string;
  /** The provider's own call id; made up when absent. */
  id?: string;
}
export interface RefusalPart {
  type: "refusal";
  category: string | null;
  explanation: string;
}

export type ControlPart =
  | { type: "hold"; gate: Gate }
  | { type: "wait"; ms: number }
  | { type: "cut" }
  | { type: "error_event"; error: ProviderFailure }
  | { type: "fail"; failure: ProviderFailure }
  | { type: "usage"; usage: Partial<ScriptedUsage> }
  | { type: "stop"; reason: "max_tokens" | "context_window" };

interface Pace {
  /** Characters a delta; default 32. */
  chunkChars?: number;
  /** Milliseconds between deltas; default 0. */
  everyMs?: number;
}

/** Tokens. `input` excludes what was read from or written to the cache, as Anthropic counts. */
export interface ScriptedUsage {
  input: number;
  output: number;
  cacheRead: number;
  cacheWrite: number;
}

export interface ProviderFailure {
  status: number;
  message: string;
  retryAfterSeconds?: number;
  /** Overrides the provider's usual error type of that status. */
  errorType?: string;
}

export function say(text: string, pace: Pace = {}): TextPart {
  return { type: "text", text, ...pace };
}

export function think(text: string, options: Pace & { signature?: string } = {}): ThinkingPart {
  const { signature = "c2lnbmF0dXJlLW9mLXRoZS1zY3JpcHRlZC1tb2RlbA==", ...pace } = options;
  return { type: "thinking", text, signature, redacted: false, ...pace };
}

export function thinkRedacted(data: string): ThinkingPart {
  return { type: "thinking", text: "", signature: data, redacted: true };
}

export function call(name: string, input: Record<string, unknown>, options: Pace & { id?: string } = {}): CallPart {
  return { type: "call", name, argumentsText: JSON.stringify(input), ...options };
}

/** A tool call whose arguments are `argumentsText`, valid JSON or not. */
export function callRaw(name: string, argumentsText: string, options: Pace & { id?: string } = {}): CallPart {
  return { type: "call", name, argumentsText, ...options };
}

/** Anthropic: `stop_reason: "refusal"` with details. OpenAI: a refusal in place of the text. */
export function refuse(explanation: string, category: string | null = null): RefusalPart {
  return { type: "refusal", explanation, category };
}

/** Waits at `gate`: before the first byte when it is the first part, else in the middle of the stream. */
export function hold(gate: Gate): ControlPart {
  return { type: "hold", gate };
}

/** Waits `ms`: a slow first byte when it is the first part, else a pause in the stream. */
export function wait(ms: number): ControlPart {
  return { type: "wait", ms };
}

/** Destroys the connection here: before the answer when it is the first part, else in the middle of it. */
export function cut(): ControlPart {
  return { type: "cut" };
}

/** Answers with an HTTP error. Must come before any content. */
export function fail(status: number, options: Partial<Omit<ProviderFailure, "status">> = {}): ControlPart {
  return { type: "fail", failure: { status, message: options.message ?? `scripted failure ${status}`, ...options } };
}

/** An error in the middle of a stream that began with 200, in the provider's form. */
export function errorEvent(status: number, message = "scripted stream failure"): ControlPart {
  return { type: "error_event", error: { status, message } };
}

/** What the response reports; what is left out is estimated from the lengths (four characters a token). */
export function usage(counts: Partial<ScriptedUsage>): ControlPart {
  return { type: "usage", usage: counts };
}

/** Ends for this reason instead of the usual one. */
export function stopFor(reason: "max_tokens" | "context_window"): ControlPart {
  return { type: "stop", reason };
}

export function partsOf(step: Step): readonly Part[] {
  return Array.isArray(step) ? (step as readonly Part[]) : [step as Part];
}

export function isContent(part: Part): part is ContentPart {
  return part.type === "text" || part.type === "thinking" || part.type === "call" || part.type === "refusal";
}
