import type { LogEvent } from "./session-record.ts";

/**
 * The order rules of a session's log (semantics §4.2 and §5.2) as a walk over its events: each event is taken in the
 * state that those before it left.
 * @returns one sentence a violation
 */
export function walkLog(events: readonly LogEvent[]): string[] {
  const walk = new Walk();
  for (const event of events) walk.take(event);
  return walk.finish();
}

/** What must follow at once. */
const FOLLOWED_BY: Readonly<Record<string, string>> = {
  "session.status_running": "session.thread_status_running",
  "session.status_rescheduled": "session.thread_status_rescheduled",
  "session.thread_status_terminated": "session.status_terminated",
  "session.thread_status_idle": "session.usage",
  "session.usage": "session.status_idle",
};

/** Parts of one model response, in their order. */
const RESPONSE_PARTS = [["agent.thinking"], ["agent.message"], ["agent.tool_use", "agent.custom_tool_use", "agent.mcp_tool_use"]];

type Status = "idle" | "running" | "rescheduling" | "terminated";

class Walk {
  /** By type of event; all others are inputs and updates, which come between the model's responses. */
  private readonly takers: Readonly<Record<string, (event: LogEvent) => void>> = {
    "session.status_running": this.takeStatus,
    "session.status_rescheduled": this.takeStatus,
    "session.status_terminated": this.takeStatus,
    "session.thread_status_idle": this.takeThreadIdle,
    "session.usage": this.takeUsage,
    "session.status_idle": this.takeIdle,
    "session.error": this.takeError,
    "span.model_request_start": this.takeSpanStart,
    "span.model_request_end": this.takeSpanEnd,
    "agent.thinking": this.takePart,
    "agent.message": this.takePart,
    "agent.tool_use": this.takeCall,
    "agent.custom_tool_use": this.takeCall,
    "agent.mcp_tool_use": this.takeCall,
    "agent.tool_result": this.takeResult,
    "agent.mcp_tool_result": this.takeResult,
    "user.custom_tool_result": this.takeResult,
    "user.tool_confirmation": this.takeConfirmation,
  };
  private readonly found: string[] = [];
  private status: Status = "idle";
  private parked = false;
  /** The span that is open, and which part of the response came last. */
  private span: { id: string; part: number } | null = null;
  /** Calls without a result: whether the client must answer. */
  private readonly open = new Map<string, boolean>();
  private expected: string | undefined;
  private threadStop = "";
  private inputTokens = 0;
  private error: string | undefined;

  take(event: LogEvent): void {
    if (this.expected !== undefined && event.type !== this.expected) this.report(event, `comes where ${this.expected} must`);
    if (this.status === "terminated") this.report(event, "comes after the session was terminated");
    this.expected = FOLLOWED_BY[event.type];
    const take = this.takers[event.type] ?? this.outsideSpan;
    take.call(this, event);
  }

  finish(): string[] {
    if (this.expected !== undefined) this.found.push(`the log ends where ${this.expected} must follow`);
    if (this.span !== null) this.found.push(`the span ${this.span.id} has no end`);
    if (this.status === "running" || this.status === "rescheduling") this.found.push(`the log ends ${this.status}`);
    return this.found;
  }

  private report(event: LogEvent, sentence: string): void {
    this.found.push(`seq ${event.seq} ${event.type} ${sentence}`);
  }

  private outsideSpan(event: LogEvent): void {
    if (this.span !== null) this.report(event, `comes inside the span ${this.span.id}`);
  }

  private takeStatus(event: LogEvent): void {
    this.outsideSpan(event);
    const next =
      { "session.status_running": "running", "session.status_rescheduled": "rescheduling" }[event.type] ?? "terminated";
    const legal = {
      running: ["idle", "rescheduling"],
      rescheduling: ["running"],
      terminated: ["idle", "running", "rescheduling"],
    }[next];
    if (!legal?.includes(this.status)) this.report(event, `comes while the session is ${this.status}`);
    if (next === "rescheduling" && this.error !== "retrying") this.report(event, "comes without an error that is retried");
    this.status = next as Status;
    this.error = undefined;
  }

  private takeError(event: LogEvent): void {
    this.outsideSpan(event);
    this.error = ((event.body.error as Record<string, unknown>).retry_status as { type: string }).type;
  }

  private takeThreadIdle(event: LogEvent): void {
    this.outsideSpan(event);
    this.threadStop = JSON.stringify(event.body.stop_reason);
  }

  private takeUsage(event: LogEvent): void {
    this.outsideSpan(event);
    const usage = event.body.usage as { input_tokens: number };
    if (usage.input_tokens !== this.inputTokens) this.report(event, `says ${usage.input_tokens} tokens, not ${this.inputTokens}`);
  }

  private takeIdle(event: LogEvent): void {
    this.outsideSpan(event);
    const stop = event.body.stop_reason as { type: string; event_ids?: string[] };
    if (JSON.stringify(stop) !== this.threadStop) this.report(event, "has another stop reason than its thread");
    // While it waits for answers it says again what is left, or that an interrupt has ended the wait.
    if (this.status === "idle" && !this.parked) this.report(event, "comes while the session is idle");
    if (stop.type === "retries_exhausted" && this.error !== "exhausted") this.report(event, "comes without its error");
    this.parked = stop.type === "requires_action";
    const waiting = [...this.open].filter(([, isClients]) => isClients).map(([id]) => id);
    const named = this.parked ? (stop.event_ids ?? []) : [];
    if (this.parked && named.length === 0) this.report(event, "waits for nothing");
    if (named.join() !== waiting.join()) this.report(event, `waits for [${named}], open are [${waiting}]`);
    if (!this.parked && this.open.size > 0) this.report(event, `leaves ${[...this.open.keys()]} open`);
    this.status = "idle";
    this.error = undefined;
  }

  private takeSpanStart(event: LogEvent): void {
    this.outsideSpan(event);
    if (this.status !== "running") this.report(event, `comes while the session is ${this.status}`);
    if (this.open.size > 0) this.report(event, `asks the model while ${[...this.open.keys()]} have no result`);
    this.span = { id: event.id, part: -1 };
  }

  private takeSpanEnd(event: LogEvent): void {
    if (this.status !== "running") this.report(event, `comes while the session is ${this.status}`);
    const start = String(event.body.model_request_start_id);
    if (this.span?.id !== start) this.report(event, `ends ${start}, open is ${this.span?.id ?? "none"}`);
    this.inputTokens += (event.body.model_usage as { input_tokens: number }).input_tokens;
    this.span = null;
  }

  private takePart(event: LogEvent): void {
    if (this.span === null) {
      this.report(event, "comes outside a span");
      return;
    }
    const part = RESPONSE_PARTS.findIndex((types) => types.includes(event.type));
    const repeats = part === this.span.part && part !== RESPONSE_PARTS.length - 1;
    if (part < this.span.part || repeats) this.report(event, "is out of order in its response");
    this.span.part = part;
  }

  private takeCall(event: LogEvent): void {
    this.takePart(event);
    this.open.set(event.id, event.type === "agent.custom_tool_use" || event.body.evaluated_permission === "ask");
  }

  private takeResult(event: LogEvent): void {
    this.outsideSpan(event);
    const callId = resultOf(event);
    if (callId === undefined || !this.open.delete(callId)) this.report(event, `is a result of ${callId}, which is not open`);
    if (this.status !== "running" && !this.parked) this.report(event, `comes while the session is ${this.status}`);
  }

  private takeConfirmation(event: LogEvent): void {
    this.outsideSpan(event);
    const callId = String(event.body.tool_use_id);
    if (this.open.get(callId) !== true) this.report(event, `confirms ${callId}, which does not wait`);
    else this.open.set(callId, false);
  }
}

/** The call that an event is the result of. */
export function resultOf(event: LogEvent): string | undefined {
  const field = {
    "agent.tool_result": "tool_use_id",
    "agent.mcp_tool_result": "mcp_tool_use_id",
    "user.custom_tool_result": "custom_tool_use_id",
  }[event.type];
  return field === undefined ? undefined : String(event.body[field]);
}
