import type { Sandbox } from "@sandbox0/sandbox";
import type {
  AgentContent,
  ModelUsage,
  PreviewType,
  RefusalDetails,
  ResultContent,
  SessionError,
  SessionEvent,
} from "@sandbox0/protocol";

/**
 * The harness port (design §5). A harness runs one turn of one session against injected effects; it holds nothing
 * between turns that the log cannot give back. It never sees a database, a sandbox driver or an HTTP request, and all
 * that it does to the world goes through `Effects`.
 */

/**
 * How the server reaches the model. Resolved for each turn; the key never leaves the server process. A harness in a sandbox
 * goes to the sandbox's `modelGateway` instead, and is given an empty key here.
 */
export interface ProviderConfig {
  api: "anthropic-messages" | "openai-responses" | "openai-completions";
  /** Without a trailing slash, for example `https://api.anthropic.com`. */
  baseUrl: string;
  apiKey: string;
  /** Not the operator's, but written by whoever uses the API: to be dialled only where the address guard allows. */
  guarded?: true;
  /** Tokens. */
  contextWindow: number;
  outputTokensMax: number;
}

export type Effort = "low" | "medium" | "high" | "xhigh" | "max";

/** A tool as the model is told of it. Names are unique in a turn. */
export interface ToolDefinition {
  name: string;
  description: string;
  inputSchema: Record<string, unknown>;
}

export interface TurnAgent {
  name: string;
  /** The agent's own system prompt with what the server adds about paths and mounts. */
  system: string | null;
  model: { id: string; effort?: Effort; speed?: "standard" | "fast" };
  /** To be read before each model request: MCP servers may change theirs in between. */
  readonly tools: readonly ToolDefinition[];
}

/**
 * One event of the log, with what the harness stored beside it. `native` rides on `span.model_request_end`: the
 * provider's own form of that response (thinking signatures, call ids). It may be missing; the events are enough.
 */
export interface HistoryEntry {
  event: SessionEvent;
  native?: unknown;
}

export interface Turn {
  sessionId: string;
  threadId: string;
  agent: TurnAgent;
  provider: ProviderConfig;
  /** The thread's log in order, up to now: only what the model must see, and the spans that carry `native`. */
  history: readonly HistoryEntry[];
  /** Tool calls on the log that are allowed and have no result yet: run these before the next model request. */
  runnable: readonly string[];
}

/** What a model response asked for. `id` is the event id of the call, made with `newEventId`. */
export interface RequestedCall {
  id: string;
  name: string;
  input: Record<string, unknown>;
  /** The arguments were not a JSON object: the call is logged and answered with this error, never run. */
  inputError?: string;
}

/** One finished model response, as it goes onto the log in one transaction. */
export interface Step {
  /** Emits `agent.thinking` under this id when the response had thinking. */
  thinkingId?: string;
  /** Emits `agent.message`; left out when the response had no text. */
  message?: { id: string; content: AgentContent[] };
  calls: readonly RequestedCall[];
  /** The model declined; there are no calls then. The outcome says it too: this is for a crash between the two. */
  refusal?: RefusalDetails;
  usage: ModelUsage;
  native?: unknown;
  timing: StepTiming;
}

/** Milliseconds since the request was sent. */
export interface StepTiming {
  firstTokenMs: number | null;
  totalMs: number;
}

/** What became of each requested call, in the order of `Step.calls`. */
export type CallDisposition =
  /** Run it with `executeTool`. */
  | { id: string; action: "run" }
  /** The client must answer or confirm; end the turn with `requires_action` when nothing else is left. */
  | { id: string; action: "wait" }
  /** Already answered on the log (denied, unknown tool, bad input); the result is in `result`. */
  | { id: string; action: "answered"; result: ToolResult };

export interface ToolResult {
  content: ResultContent[];
  isError: boolean;
}

/** The previews of one message; text is cut into deltas by the caller. They may be dropped, never reordered. */
export type Preview =
  | { type: "start"; eventType: PreviewType; eventId: string }
  | { type: "text"; eventId: string; index: number; text: string };

export interface Effects {
  /**
   * The safe boundary before a model request: takes up queued inputs, writes `span.model_request_start`, and returns
   * what was promoted since the harness last looked.
   * @throws TurnStopped when the turn must end now (interrupt, lease lost, shutdown, too many steps)
   */
  startStep(): Promise<{ spanId: string; promoted: readonly HistoryEntry[] }>;
  /** Writes a finished response with its `span.model_request_end`. @throws TurnStopped */
  finishStep(spanId: string, step: Step): Promise<readonly CallDisposition[]>;
  /** Closes the span of a request that failed or was cut: nothing of it goes onto the log. @throws TurnStopped */
  failStep(spanId: string, failure: { usage: ModelUsage | null; timing: StepTiming }): Promise<void>;
  /** Runs a call that is `run` or `runnable` and writes its one result. Safe to call in parallel. @throws TurnStopped */
  executeTool(callId: string): Promise<ToolResult>;
  /**
   * The session's sandbox, for a harness that runs in it; the same one while it lives, also in later turns. What is
   * started in it may outlive the turn and ends with the sandbox. @throws TurnStopped, SandboxError
   */
  openSandbox(): Promise<HarnessSandbox>;
  /** Live subscribers only; never awaited, never fails. */
  preview(preview: Preview): void;
  newEventId(): string;
  now(): Date;
  /** Aborts when the turn must end now. */
  readonly signal: AbortSignal;
}

/** Its life is the server's: it is paused while the session rests, and may go (`gone`). */
export interface HarnessSandbox extends Pick<Sandbox, "id" | "exec" | "readFile" | "writeFile" | "gone"> {
  /** Placeholders of the session's credentials, for the environment of what the agent runs. */
  readonly environment: Readonly<Record<string, string>>;
  /** The model as processes in the sandbox reach it; the key is a token of the session, worthless elsewhere. */
  readonly modelGateway: { baseUrl: string; apiKey: string };
}

/** The turn was ended from outside: let it pass through, write nothing more. */
export class TurnStopped extends Error {
  readonly reason: "interrupted" | "lease_lost" | "shutdown" | "step_limit";
  constructor(reason: TurnStopped["reason"]) {
    super(`turn stopped: ${reason}`);
    this.name = "TurnStopped";
    this.reason = reason;
  }
}

export type TurnOutcome =
  | { type: "idle"; stopReason: "end_turn" }
  | { type: "idle"; stopReason: "requires_action" }
  | { type: "idle"; stopReason: "refusal"; details: RefusalDetails }
  | { type: "stopped" }
  | { type: "failed"; error: TurnError };

/** `retryable`: the same turn may work later. `terminal`: no later input to this session can work. */
export interface TurnError {
  kind: Extract<
    SessionError["type"],
    "unknown_error" | "model_overloaded_error" | "model_rate_limited_error" | "model_request_failed_error" | "billing_error"
  >;
  message: string;
  disposition: "retryable" | "exhausted" | "terminal";
  /** From the provider's `retry-after`. */
  retryAfterMs?: number;
}

export interface HarnessCapabilities {
  placement: "sandbox-as-tool" | "agent-in-sandbox";
  apis: readonly ProviderConfig["api"][];
}

/** A vendor's program, as it is installed here; sandboxes see its directory read-only. */
export interface HarnessProgram {
  version: string;
  /** Absolute host directory. */
  directory: string;
  /** Where sandboxes see that directory; see `HARNESS_PROGRAMS_DIR` of `@sandbox0/sandbox`. */
  mountedAt: string;
}

export interface Harness {
  readonly name: "sandpi" | "claude" | "codex";
  readonly capabilities: HarnessCapabilities;
  /** Resolves with the outcome; rejects only for a bug, which the server turns into a stated session error. */
  runTurn(turn: Turn, effects: Effects): Promise<TurnOutcome>;
}
