import type { RefusalDetails, SessionError, StopReason } from "@sandbox0/protocol";
import type { Head, HeadPatch, InboxRow, NewEvent, ToolCall } from "./head.ts";
import { hasWork, waitsForClient } from "./head.ts";
import type { ThreadName } from "./lifecycle-events.ts";
import {
  INTERRUPTED_TEXT,
  deniedText,
  errorEvent,
  errorResult,
  idleEvents,
  newEvent,
  promoted,
  rescheduledEvents,
  runningEvents,
  terminatedEvents,
  totalsAt,
} from "./lifecycle-events.ts";

/** Failed attempts in a row, crashes of the server included, before a turn is given up (semantics §6). */
export const ATTEMPTS_MAX = 5;
const RETRY_DELAY_MAX_MS = 30_000;
const RETRY_AFTER_MAX_MS = 120_000;
/** What the model is told of a call that a crash cut: it may have had its effect. */
export const CRASHED_TEXT =
  "Tool execution was interrupted before completion by a server failure; it may or may not have taken effect. Check, then retry.";
/** Tools without an effect: after a crash they simply run again. */
const REPLAY_SAFE = new Set(["read", "glob", "grep"]);

/** A session under its row lock, as a decision about its turn needs it. */
export interface TurnState {
  head: Head;
  thread: ThreadName;
  now: Date;
  /** Calls without a result, in order of emission. */
  calls: readonly ToolCall[];
  inbox: readonly InboxRow[];
  /** `span.model_request_start` events without an end. */
  openSpans: readonly string[];
}

/** What to write in one transaction, and what then. */
export interface TurnPlan {
  events: NewEvent[];
  patch: HeadPatch;
  /** Inbox rows that went onto the log. */
  taken: number[];
  /** Calls that got their result here. */
  finished: string[];
  /** Calls to run again: as if never started. */
  restarted: string[];
  /**
   * `run` the harness, decide `again` (inputs wait), or `rest`: the lease is given back. `finish`: the model has had its last
   * word, and what the session has in its sandbox is looked at before the turn is settled.
   */
  next: "run" | "again" | "finish" | "rest";
}

export type TurnEnd =
  | { type: "end_turn" }
  | { type: "refusal"; details: RefusalDetails }
  | { type: "requires_action" }
  | { type: "interrupted" }
  | { type: "failed"; error: TurnFailure };

export interface TurnFailure {
  kind: SessionError["type"];
  message: string;
  disposition: "retryable" | "exhausted" | "terminal";
  retryAfterMs?: number | undefined;
}

export interface RetryPolicy {
  /** Delay before the second attempt in milliseconds; doubles each time, up to 30 s, with jitter. */
  baseMs: number;
}

function plan(next: TurnPlan["next"], patch: HeadPatch): TurnPlan {
  return { events: [], patch, taken: [], finished: [], restarted: [], next };
}

function closeCalls(target: TurnPlan, calls: readonly ToolCall[], text: string): void {
  for (const call of calls) {
    target.events.push(errorResult(call, text));
    target.finished.push(call.id);
  }
}

function take(target: TurnPlan, rows: readonly InboxRow[]): void {
  for (const row of rows) {
    target.events.push(promoted(row));
    target.taken.push(row.position);
  }
}

/** What a node does that has just claimed the session. */
export function begin(state: TurnState, retry: RetryPolicy): TurnPlan {
  const { head } = state;
  if (head.status === "terminated") return rest();
  if (head.status === "running") return canFinish(head) ? plan("finish", { attempts: head.attempts + 1 }) : recover(state, retry);
  if (head.interrupted) return interrupt(state);
  if (head.status === "rescheduling") return resume(state);
  return head.turnPending ? start(state) : rest();
}

/** A turn that was cut between the model's last word and its end; one that is cut there again and again is just ended. */
function canFinish({ ending, interrupted, attempts }: Head): boolean {
  return ending !== null && !interrupted && attempts + 1 < ATTEMPTS_MAX;
}

/** How a turn ends whose `begin` said `finish`. */
export function settleFinished(state: TurnState, retry: RetryPolicy): TurnPlan {
  return state.head.interrupted ? interrupt(state) : settle(state, state.head.ending ?? { type: "end_turn" }, retry);
}

function rest(): TurnPlan {
  return plan("rest", { wake: null, releaseLease: true, turnPending: false });
}

/** Idle → running (semantics §4.2): inputs, then the status, then the results of what was denied. */
function start(state: TurnState): TurnPlan {
  const { thread, inbox, calls } = state;
  const result = plan("run", { status: "running", stopReason: null, turnPending: false, attempts: 0 });
  // A turn that goes on after its answers takes nothing new up before its calls have their results.
  const continues = calls.some((call) => !call.finished);
  if (!continues) {
    take(result, inbox);
    result.patch.steps = 0;
  }
  result.events.push(...runningEvents(thread));
  closeDenied(result, calls);
  return result;
}

function closeDenied(target: TurnPlan, calls: readonly ToolCall[]): void {
  for (const call of calls) {
    if (call.finished || call.confirmed !== "deny") continue;
    target.events.push(errorResult(call, deniedText(call.denyMessage)));
    target.finished.push(call.id);
  }
}

function resume(state: TurnState): TurnPlan {
  const result = plan("run", { status: "running" });
  result.events.push(...runningEvents(state.thread));
  return result;
}

/** The node that ran this turn is gone: close what it left open and go on from the log (design §2.5). */
function recover(state: TurnState, retry: RetryPolicy): TurnPlan {
  const { head, calls } = state;
  if (head.interrupted) return interrupt(state);
  if (head.ending !== null) return settle(state, head.ending, retry);
  const attempts = head.attempts + 1;
  const result = plan("run", { attempts });
  closeSpans(result, state.openSpans);
  for (const call of calls) {
    if (!call.started || call.finished) continue;
    if (call.kind === "builtin" && REPLAY_SAFE.has(call.name)) {
      result.restarted.push(call.id);
      continue;
    }
    closeCalls(result, [call], CRASHED_TEXT);
  }
  closeDenied(result, calls);
  if (attempts < ATTEMPTS_MAX) return result;
  const left = state.calls.filter((call) => !result.finished.includes(call.id));
  const message = `The turn was cut ${attempts} times by failures of the server.`;
  const failed = fail(
    { ...state, calls: left, openSpans: [] },
    { kind: "unknown_error", message, disposition: "exhausted" },
    retry,
  );
  return { ...failed, events: [...result.events, ...failed.events], finished: [...result.finished, ...failed.finished] };
}

function closeSpans(target: TurnPlan, openSpans: readonly string[]): void {
  for (const id of openSpans) target.events.push(spanEnd(id));
}

/** A request that gave nothing: it is closed all the same (semantics §5.2). */
function spanEnd(startId: string): NewEvent {
  return newEvent("span.model_request_end", {
    model_request_start_id: startId,
    is_error: true,
    model_usage: { input_tokens: 0, output_tokens: 0, cache_creation_input_tokens: 0, cache_read_input_tokens: 0 },
  });
}

/** What the turn's end does. Called under the row lock by the node that holds the lease. */
export function settle(state: TurnState, end: TurnEnd, retry: RetryPolicy): TurnPlan {
  const { head, inbox, calls } = state;
  if (head.interrupted) return interrupt(state);
  switch (end.type) {
    case "interrupted":
      // By nobody: whatever stopped it, it goes on from the log.
      return recover(state, retry);
    case "failed":
      return fail(state, end.error, retry);
    case "requires_action": {
      if (calls.some((call) => call.started && !call.finished)) return failOpen(state, retry);
      const waiting = calls.filter(waitsForClient);
      if (waiting.length > 0) return goIdle(state, { type: "requires_action", event_ids: waiting.map((call) => call.id) });
      // Everything was answered while the turn was ending.
      const onward = plan("run", {});
      closeDenied(onward, calls);
      return onward;
    }
    case "end_turn":
    case "refusal": {
      if (calls.some((call) => !call.finished)) return failOpen(state, retry);
      if (end.type === "refusal") return goIdle(state, { type: "refusal" }, end.details);
      if (!hasWork(inbox)) return goIdle(state, { type: "end_turn" });
      const onward = plan("run", { steps: 0, attempts: 0 });
      take(onward, inbox);
      return onward;
    }
  }
}

/** A harness that leaves a call behind has a bug; the call gets its result all the same. */
function failOpen(state: TurnState, retry: RetryPolicy): TurnPlan {
  const message = "The harness ended its turn with open tool calls.";
  return fail(state, { kind: "unknown_error", message, disposition: "exhausted" }, retry);
}

function goIdle(state: TurnState, stopReason: StopReason, details: RefusalDetails | null = null): TurnPlan {
  const { head, thread, now, inbox } = state;
  // While it waits for answers, queued messages wait too; otherwise they start the next turn.
  const again = stopReason.type !== "requires_action" && hasWork(inbox);
  const result = plan(again ? "again" : "rest", { status: "idle", stopReason, turnPending: again, attempts: 0 });
  result.events.push(...idleEvents(thread, totalsAt(head, now), stopReason, details));
  return finishRest(result);
}

function finishRest(result: TurnPlan): TurnPlan {
  if (result.next === "rest") {
    result.patch.wake = null;
    result.patch.releaseLease = true;
  }
  return result;
}

/**
 * Ends the turn where it stands (semantics §5.5). The first interrupt jumps the queue; a turn that was admitted and not
 * yet taken up is shown and ended. Interrupts right behind it have nothing left to stop and are taken along.
 */
function interrupt(state: TurnState): TurnPlan {
  const { head, thread, now, calls, inbox } = state;
  const at = inbox.findIndex((row) => row.type === "user.interrupt");
  let until = at + 1;
  while (inbox[until]?.type === "user.interrupt") until++;
  const interrupts = at < 0 ? [] : inbox.slice(at, until);
  const before = head.status === "idle" ? inbox.slice(0, Math.max(0, at)) : [];
  const left = inbox.filter((row) => !interrupts.includes(row) && !before.includes(row));
  const again = hasWork(left);

  const result = plan(again ? "again" : "rest", {
    status: "idle",
    stopReason: { type: "end_turn" },
    turnPending: again,
    interrupted: left.some((row) => row.type === "user.interrupt"),
    attempts: 0,
  });
  take(result, before);
  if (head.status === "idle") result.events.push(...runningEvents(thread));
  closeSpans(result, state.openSpans);
  closeDenied(result, calls);
  closeCalls(
    result,
    calls.filter((call) => !call.finished && !result.finished.includes(call.id)),
    INTERRUPTED_TEXT,
  );
  take(result, interrupts);
  result.events.push(...idleEvents(thread, totalsAt(head, now), { type: "end_turn" }));
  return finishRest(result);
}

function fail(state: TurnState, error: TurnFailure, retry: RetryPolicy): TurnPlan {
  const { head, thread, now, calls, inbox } = state;
  const attempts = head.attempts + 1;
  if (error.disposition === "retryable" && attempts < ATTEMPTS_MAX) {
    const result = plan("rest", { status: "rescheduling", attempts, releaseLease: true });
    result.patch.wake = { inMs: retryDelayMs(attempts, error.retryAfterMs, retry) };
    closeSpans(result, state.openSpans);
    result.events.push(sessionError(error, "retrying"), ...rescheduledEvents(thread));
    return result;
  }
  const terminal = error.disposition === "terminal";
  const result = plan("rest", { attempts: 0, turnPending: false, interrupted: false, wake: null, releaseLease: true });
  closeSpans(result, state.openSpans);
  closeCalls(
    result,
    calls.filter((call) => !call.finished),
    INTERRUPTED_TEXT,
  );
  // The queue is flushed (semantics §5.1.6): on the log, so that nothing acknowledged is lost, but it starts no turn.
  take(result, inbox);
  result.events.push(sessionError(error, terminal ? "terminal" : "exhausted"));
  if (terminal) {
    result.patch.status = "terminated";
    result.events.push(...terminatedEvents(thread));
  } else {
    result.patch.status = "idle";
    result.patch.stopReason = { type: "retries_exhausted" };
    result.events.push(...idleEvents(thread, totalsAt(head, now), { type: "retries_exhausted" }));
  }
  return result;
}

function sessionError(error: TurnFailure, retryStatus: "retrying" | "exhausted" | "terminal"): NewEvent {
  return errorEvent({ type: error.kind, message: error.message, retry_status: { type: retryStatus } } as SessionError);
}

/** Exponential with jitter (semantics §6); a provider's `retry-after` is honoured up to two minutes. */
export function retryDelayMs(attempts: number, retryAfterMs: number | undefined, retry: RetryPolicy): number {
  const backoff = Math.min(RETRY_DELAY_MAX_MS, retry.baseMs * 2 ** (attempts - 1));
  const jittered = backoff * (0.75 + Math.random() * 0.25);
  return Math.round(Math.max(jittered, Math.min(RETRY_AFTER_MAX_MS, retryAfterMs ?? 0)));
}
