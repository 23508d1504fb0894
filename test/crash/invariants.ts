import { resultOf, walkLog } from "./log-grammar.ts";
import type { CallRecord, SessionRecord } from "./session-record.ts";

/** An event of a client that the server has answered with 200. */
export interface Acknowledged {
  id: string;
  type: string;
}

/** What happened in the workspace: how often each token of {@link effectToken} was written. `null`: not looked at. */
export type Effects = ReadonlyMap<string, number> | null;

/** In the input of a tool call that leaves a trace: a text that no other call has. */
export function effectToken(): string {
  return `effect-${crypto.randomUUID()}`;
}

const TOKEN = /effect-[0-9a-f-]{36}/g;

export function tokensIn(text: string): string[] {
  return text.match(TOKEN) ?? [];
}

/**
 * What must hold of every session that has come to rest, whatever was killed meanwhile (design §2, semantics §4.2 and
 * §5.2). This list is the only place where the crash tests say what "correct" is.
 * @returns one sentence a violation
 */
export function violations(session: SessionRecord, acknowledged: readonly Acknowledged[], effects: Effects): string[] {
  return [
    ...checkSequence(session),
    ...checkAcknowledged(session, acknowledged),
    ...walkLog(session.events),
    ...checkCalls(session),
    ...checkProjection(session),
    ...(effects === null ? [] : checkEffects(session, effects)),
  ];
}

/** Dense, without repeats, and time never goes back. */
function checkSequence({ events, head }: SessionRecord): string[] {
  const found: string[] = [];
  const ids = new Set<string>();
  events.forEach((event, index) => {
    if (event.seq !== index + 1) found.push(`seq ${event.seq} stands where ${index + 1} should`);
    if (ids.has(event.id)) found.push(`${event.type} ${event.id} is on the log twice`);
    ids.add(event.id);
    const before = events[index - 1];
    if (before && before.processedAt > event.processedAt) found.push(`seq ${event.seq} is older than the event before it`);
  });
  if (head.seq !== events.length) found.push(`the head says ${head.seq} events, the log has ${events.length}`);
  return found;
}

/** Acknowledged ⊆ log; only what starts nothing may still wait in the inbox. */
function checkAcknowledged({ events, inbox, head }: SessionRecord, acknowledged: readonly Acknowledged[]): string[] {
  const found: string[] = [];
  const logged = new Map(events.map((event) => [event.id, event.type]));
  const waiting = new Set(inbox.map((input) => input.id));
  for (const { id, type } of acknowledged) {
    if (logged.has(id) && waiting.has(id)) found.push(`${type} ${id} is on the log and still in the inbox`);
    else if (!logged.has(id) && !waiting.has(id)) found.push(`${type} ${id} was acknowledged and is lost`);
    else if (logged.has(id) && logged.get(id) !== type)
      found.push(`${id} was acknowledged as ${type}, logged as ${logged.get(id)}`);
  }
  const isParked = head.stopReason?.type === "requires_action";
  for (const { id, type } of inbox) {
    if (type === "user.message" && isParked) continue;
    if (type !== "system.message") found.push(`${type} ${id} waits in the inbox of a session at rest`);
  }
  if (head.inboxCount !== inbox.length) found.push(`the head counts ${head.inboxCount} inputs, the inbox has ${inbox.length}`);
  return found;
}

/** The rows of the calls and the log tell the same story: one result each, under the id that was set aside for it. */
function checkCalls({ events, calls, head }: SessionRecord): string[] {
  const found: string[] = [];
  const results = Map.groupBy(events, resultOf);
  const uses = new Set(events.filter((event) => /^agent\.(custom_|mcp_)?tool_use$/.test(event.type)).map((event) => event.id));
  const parked = new Set(head.stopReason?.type === "requires_action" ? (head.stopReason.event_ids as string[]) : []);
  for (const call of calls) {
    if (!uses.delete(call.id)) found.push(`the call ${call.id} has a row and no event`);
    const mine = results.get(call.id) ?? [];
    const expected = parked.has(call.id) ? 0 : 1;
    if (mine.length !== expected) found.push(`the call ${call.id} has ${mine.length} results, not ${expected}`);
    if (call.finished !== mine.length > 0) found.push(`the row of the call ${call.id} disagrees with the log about its end`);
    for (const result of mine) {
      const isClients = result.type.startsWith("user.");
      if (!isClients && result.id !== call.resultId)
        found.push(`the result of ${call.id} has the id ${result.id}, not ${call.resultId}`);
    }
  }
  for (const id of uses) found.push(`the call ${id} has an event and no row`);
  return found;
}

/** What the head says is what the log says, and nobody is about to do anything. */
function checkProjection({ events, head, openSpans }: SessionRecord): string[] {
  const found: string[] = [];
  const last = events.findLast((event) => /^session\.status_/.test(event.type));
  const logged = { "session.status_idle": "idle", "session.status_terminated": "terminated" }[
    last?.type ?? "session.status_idle"
  ];
  if (logged === undefined) found.push(`the log ends with ${last?.type}`);
  if (head.status !== logged || head.shownStatus !== logged)
    found.push(`the head is ${head.status}/${head.shownStatus}, the log ${logged}`);
  if (last?.type === "session.status_idle" && !sameJson(last.body.stop_reason, head.stopReason)) {
    found.push(`the head stopped for ${JSON.stringify(head.stopReason)}, the log for ${JSON.stringify(last.body.stop_reason)}`);
  }
  if (head.leaseOwner !== null || head.wakeAt !== null) found.push("the session is not at rest: it has a lease or a wake time");
  if (head.turnPending || head.interrupted) found.push("the session is not at rest: a turn or an interrupt is pending");
  for (const id of openSpans) found.push(`the span ${id} has no end in the trace`);
  const used = events.filter((event) => event.type === "span.model_request_end").map((event) => event.body.model_usage as Usage);
  const input = used.reduce((sum, usage) => sum + usage.input_tokens, 0);
  const output = used.reduce((sum, usage) => sum + usage.output_tokens, 0);
  if (head.inputTokens !== input || head.outputTokens !== output) {
    found.push(`the head counts ${head.inputTokens}+${head.outputTokens} tokens, the spans ${input}+${output}`);
  }
  return found;
}

interface Usage {
  input_tokens: number;
  output_tokens: number;
}

/** Whatever the order of the keys: jsonb has its own. */
function sameJson(a: unknown, b: unknown): boolean {
  const sorted = (value: unknown): unknown =>
    value !== null && typeof value === "object" && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1)))
      : value;
  return JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));
}

/** Intent before effect, at most once: every trace in the workspace is of a call on the log, and of one that may have run. */
function checkEffects({ events, calls }: SessionRecord, effects: ReadonlyMap<string, number>): string[] {
  const found: string[] = [];
  const rows = new Map(calls.map((call) => [call.id, call]));
  const results = new Map(events.map((event) => [resultOf(event), event]));
  const unexplained = new Set(effects.keys());
  for (const event of events) {
    if (event.type !== "agent.tool_use") continue;
    for (const token of tokensIn(JSON.stringify(event.body.input))) {
      unexplained.delete(token);
      const count = effects.get(token) ?? 0;
      if (count > 1) found.push(`the effect of the call ${event.id} happened ${count} times`);
      if (count > 0 && !mayHaveRun(rows.get(event.id))) found.push(`the call ${event.id} ran although it was never allowed`);
      if (count === 0 && results.get(event.id)?.body.is_error === false) {
        found.push(`the call ${event.id} has a good result and no effect`);
      }
    }
  }
  for (const token of unexplained) found.push(`${token} happened in the workspace, and no call on the log has it`);
  return found;
}

function mayHaveRun(call: CallRecord | undefined): boolean {
  if (call === undefined) return false;
  return call.permission === "allow" || (call.permission === "ask" && call.confirmed === "allow");
}
