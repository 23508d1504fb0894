import { type EventParams, createId, invalidRequest } from "@sandbox0/protocol";
import type { Head, InboxRow, NewEvent, ToolCall } from "./head.ts";
import { hasWork, waitsForClient } from "./head.ts";
import type { ThreadName } from "./lifecycle-events.ts";
import { INTERRUPTED_TEXT, errorResult, idleEvents, newEvent, totalsAt } from "./lifecycle-events.ts";
import { ApiError } from "@sandbox0/protocol";

/** Events in one request. The documents name no bound; a client never needs more. */
export const EVENTS_PER_SEND_MAX = 1000;
/** Inputs that may wait in one session; over it the client is told to come back (429). An interrupt may come still. */
export const INBOX_MAX = 2000;
/** What waits may be one request larger than this. All of it is read when the turn takes it up. */
export const INBOX_BYTES_MAX = 32 * 1024 * 1024;

/** What the batch does, decided before anything is written: all of it or nothing (semantics §5.1). */
export interface Admission {
  /** Onto the log now. */
  append: NewEvent[];
  /** Into the inbox, in order. */
  enqueue: Omit<InboxRow, "position">[];
  answers: CallAnswer[];
  /** Calls that an interrupt closes, but for those that this batch also answers. */
  closed: string[];
  interrupted: boolean;
  /** A turn is certain to start. */
  startsTurn: boolean;
  /** The stored form of each event of the request, in order. */
  echo: Echo[];
}

export interface CallAnswer {
  callId: string;
  answerId: string;
  answer: Record<string, unknown>;
  confirmed: "allow" | "deny" | null;
  /** The call is over: by its custom tool's result, or by an interrupt behind its confirmation. */
  finishes: boolean;
}

/** `admitted`: not processed yet. `logged`: on the log by this request. `known`: an identical answer that is there already. */
export type Echo =
  | { state: "admitted" | "logged"; id: string; type: string; fields: Record<string, unknown> }
  | { state: "known"; id: string };

export interface AdmitContext {
  head: Head;
  thread: ThreadName;
  now: Date;
  /** Every call without a result, in order of emission, and each call that the batch names. */
  calls: readonly ToolCall[];
  /** What was admitted before and is not taken up. */
  inbox: readonly InboxRow[];
  inboxBytes: number;
}

/** What a `system.message` may stand right behind (semantics §5.6). */
const BEFORE_SYSTEM_MESSAGE = new Set(["user.message", "user.custom_tool_result", "user.tool_result"]);

/** @throws ApiError invalid_request_error that names `events[i]`, rate_limit_error when the inbox is full */
export function admit(context: AdmitContext, events: readonly EventParams[]): Admission {
  if (events.length === 0) throw invalidRequest("events: at least one event is required");
  if (events.length > EVENTS_PER_SEND_MAX) {
    throw invalidRequest(`events: at most ${EVENTS_PER_SEND_MAX} events may be sent in one request, got ${events.length}`);
  }
  if (context.head.status === "terminated") {
    throw invalidRequest("This session is terminated and accepts no more events.");
  }
  const batch = new Batch(context);
  events.forEach((event, index) => {
    batch.take(event, index, events);
  });
  return batch.finish();
}

class Batch {
  private readonly context: AdmitContext;
  private readonly calls: Map<string, ToolCall>;
  private readonly result: Admission;
  /** Nothing runs and nothing is about to: what the batch so far leaves behind. */
  private atRest: boolean;
  /** At rest until the client has answered its calls. */
  private parked: boolean;

  constructor(context: AdmitContext) {
    this.context = context;
    this.calls = new Map(context.calls.map((call) => [call.id, { ...call }]));
    this.atRest = context.head.shownStatus === "idle";
    this.parked = this.atRest && context.head.stopReason?.type === "requires_action" && this.waiting().length > 0;
    this.result = { append: [], enqueue: [], answers: [], closed: [], interrupted: false, startsTurn: false, echo: [] };
  }

  take(event: EventParams, index: number, events: readonly EventParams[]): void {
    switch (event.type) {
      case "user.message":
        this.refuseWhileWaiting(event.type, index);
        this.enqueue(event.type, { content: event.content });
        this.startTurn();
        return;
      case "system.message":
        this.takeSystemMessage(event, index, events);
        return;
      case "user.interrupt":
        this.takeInterrupt(event, index);
        return;
      case "user.tool_confirmation":
        this.takeConfirmation(event, index);
        return;
      case "user.custom_tool_result":
        this.takeCustomResult(event, index);
        return;
      case "user.tool_result":
        throw invalidRequest(`Invalid user.tool_result event at events[${index}]: it is only valid on self_hosted environments`);
      case "user.define_outcome":
        throw new ApiError("api_error", "Outcomes are not supported by this server yet.", { status: 501, shouldRetry: false });
    }
  }

  finish(): Admission {
    const { result, context } = this;
    this.refuseWhenFull();
    // Some of what the session waits for was answered: say what is left (contract §7.10).
    if (this.parked && result.answers.length > 0) {
      const left = { type: "requires_action", event_ids: this.waiting() } as const;
      result.append.push(...idleEvents(context.thread, totalsAt(context.head, context.now), left));
    }
    return result;
  }

  private refuseWhenFull(): void {
    const { enqueue } = this.result;
    const count = this.context.head.inboxCount + enqueue.length;
    const interruptsOnly = enqueue.every((row) => row.type === "user.interrupt");
    const isFull = interruptsOnly
      ? count > INBOX_MAX + EVENTS_PER_SEND_MAX
      : count > INBOX_MAX || this.context.inboxBytes >= INBOX_BYTES_MAX;
    if (!isFull || enqueue.length === 0) return;
    throw new ApiError(
      "rate_limit_error",
      `This session has ${INBOX_MAX} events or ${INBOX_BYTES_MAX} bytes waiting; send more when it has taken some up.`,
      { retryAfterSeconds: 5 },
    );
  }

  private waiting(): string[] {
    return [...this.calls.values()].filter(waitsForClient).map((call) => call.id);
  }

  private refuseWhileWaiting(type: string, index: number): void {
    if (!this.parked) return;
    throw invalidRequest(
      `Invalid ${type} event at events[${index}]: waiting on responses to events [${this.waiting().join(", ")}]; ` +
        "only `user.tool_confirmation`, `user.custom_tool_result`, `user.tool_result`, or `user.interrupt` may be sent",
    );
  }

  private enqueue(type: string, fields: Record<string, unknown>): void {
    const row = { id: createId("event"), type, fields };
    this.result.enqueue.push(row);
    this.result.echo.push({ state: "admitted", ...row });
  }

  private log(event: NewEvent): void {
    this.result.append.push(event);
    this.result.echo.push({ state: "logged", ...event });
  }

  private startTurn(): void {
    if (this.atRest) this.result.startsTurn = true;
    this.atRest = false;
    this.parked = false;
  }

  /** At most one, last, and right behind an input; or alone to a session at rest (semantics §5.6, §25 no. 4). */
  private takeSystemMessage(
    event: Extract<EventParams, { type: "system.message" }>,
    index: number,
    events: readonly EventParams[],
  ): void {
    const previous = events[index - 1];
    if (index !== events.length - 1)
      throw invalidRequest(`Invalid system.message event at events[${index}]: it must be the last event of the request`);
    if (previous && !BEFORE_SYSTEM_MESSAGE.has(previous.type)) {
      throw invalidRequest(
        `Invalid system.message event at events[${index}]: it must directly follow a user.message, user.tool_result or user.custom_tool_result event`,
      );
    }
    if (!previous) {
      this.refuseWhileWaiting(event.type, index);
      if (!this.atRest)
        throw invalidRequest(
          `Invalid system.message event at events[${index}]: alone it may only be sent while the session is idle`,
        );
    }
    this.enqueue(event.type, { content: event.content });
  }

  private takeInterrupt(event: Extract<EventParams, { type: "user.interrupt" }>, index: number): void {
    const { head, thread, now } = this.context;
    if (event.session_thread_id != null && event.session_thread_id !== thread.threadId) {
      throw invalidRequest(
        `Invalid user.interrupt event at events[${index}]: session_thread_id "${event.session_thread_id}" is not a thread of this session`,
      );
    }
    const fields = event.session_thread_id == null ? {} : { session_thread_id: event.session_thread_id };
    if (!this.atRest) {
      this.enqueue(event.type, fields);
      this.result.interrupted = true;
      return;
    }
    this.log(newEvent(event.type, fields));
    if (!this.parked) return;
    // Parked on the client: close what waits, go idle, do not ask the model (semantics §5.5).
    for (const call of this.calls.values()) {
      if (call.finished) continue;
      this.result.append.push(errorResult(call, INTERRUPTED_TEXT));
      call.finished = true;
      const answered = this.result.answers.find((answer) => answer.callId === call.id);
      if (answered) answered.finishes = true;
      else this.result.closed.push(call.id);
    }
    this.result.append.push(...idleEvents(thread, totalsAt(head, now), { type: "end_turn" }));
    this.parked = false;
    // Messages that came before the calls were made have waited with them.
    if (hasWork(this.context.inbox)) this.startTurn();
  }

  private takeConfirmation(event: Extract<EventParams, { type: "user.tool_confirmation" }>, index: number): void {
    const call = this.calls.get(event.tool_use_id);
    if (!call || call.kind === "custom") {
      throw invalidRequest(`\`tool_use_id\` "${event.tool_use_id}" does not match any \`agent.tool_use\` event in this session`);
    }
    this.checkThread(event.session_thread_id, "tool_use_id", event.tool_use_id, index);
    if (event.deny_message != null && event.result === "allow") {
      throw invalidRequest(`events[${index}].deny_message: only allowed when result is "deny"`);
    }
    const answer = { result: event.result, deny_message: event.deny_message ?? null };
    if (this.isRepeated(call, answer, event.tool_use_id, index)) return;
    if (call.permission !== "ask") {
      throw invalidRequest(
        `Invalid user.tool_confirmation event at events[${index}]: tool use "${call.id}" does not wait for a confirmation`,
      );
    }
    const fields: Record<string, unknown> = { tool_use_id: call.id, result: event.result };
    if (event.deny_message != null) fields.deny_message = event.deny_message;
    call.confirmed = event.result;
    this.settle(call, newEvent(event.type, fields), answer);
  }

  private takeCustomResult(event: Extract<EventParams, { type: "user.custom_tool_result" }>, index: number): void {
    const call = this.calls.get(event.custom_tool_use_id);
    if (call?.kind !== "custom") {
      throw invalidRequest(
        `\`custom_tool_use_id\` "${event.custom_tool_use_id}" does not match any \`agent.custom_tool_use\` event in this session`,
      );
    }
    this.checkThread(event.session_thread_id, "custom_tool_use_id", event.custom_tool_use_id, index);
    const answer = { content: event.content ?? null, is_error: event.is_error ?? null };
    if (this.isRepeated(call, answer, event.custom_tool_use_id, index)) return;
    const fields: Record<string, unknown> = { custom_tool_use_id: call.id };
    if (event.content) fields.content = event.content;
    if (event.is_error != null) fields.is_error = event.is_error;
    call.finished = true;
    this.settle(call, newEvent(event.type, fields), answer);
  }

  /** `call` is as the answer leaves it. The last answer that the session waits for starts the turn again. */
  private settle(call: ToolCall, logged: NewEvent, answer: Record<string, unknown>): void {
    this.log(logged);
    call.answer = answer;
    call.answerId = logged.id;
    const { confirmed, finished: finishes } = call;
    this.result.answers.push({ callId: call.id, answerId: logged.id, answer, confirmed, finishes });
    if (this.parked && this.waiting().length === 0) this.startTurn();
  }

  /** SDKs retry a POST: the same answer again is a success, a different one an error (contract §1.8, semantics §25 no. 17). */
  private isRepeated(call: ToolCall, answer: Record<string, unknown>, id: string, index: number): boolean {
    if (call.answer && call.answerId) {
      if (JSON.stringify(call.answer) === JSON.stringify(answer)) {
        this.result.echo.push({ state: "known", id: call.answerId });
        return true;
      }
      throw invalidRequest(`Invalid event at events[${index}]: "${id}" was already answered differently`);
    }
    if (call.finished) throw invalidRequest(`Invalid event at events[${index}]: "${id}" is closed and can no longer be answered`);
    return false;
  }

  /** Routing is by tool-use id; a thread id is optional but must be right (semantics §16). */
  private checkThread(given: string | null | undefined, field: string, id: string, index: number): void {
    if (given == null || given === "" || given === this.context.thread.threadId) return;
    throw invalidRequest(
      `session_thread_id "${given}" does not match the originating tool_use event's session_thread_id "" for ${field} "${id}" ` +
        `at event index ${index}; copy session_thread_id from the tool_use event (omit for the primary thread)`,
    );
  }
}
