import { hash } from "node:crypto";
import type { CallAnswer } from "../domain/admit.ts";
import type { HeadPatch, InboxRow, NewEvent } from "../domain/head.ts";
import type { NewToolCall } from "../domain/step.ts";
import type { Queryable } from "./query.ts";

/**
 * Everything that one write does to a session, in one statement: it takes the row lock of the head, checks the lease's
 * generation, allocates `seq`, and writes events and all that is projected from them (design §2.2 to §2.4). No other
 * statement writes to a log that is there; a fork begins with a copy of one (`session-forks.ts`).
 */
export interface SessionWrite {
  sessionId: string;
  threadId: string;
  /** The lease's generation for a turn's write; `null` for a client's. */
  generation: number | null;
  events?: readonly NewEvent[];
  patch?: HeadPatch;
  /** What the harness stores beside the event at this index of `events`. */
  native?: { index: number; value: unknown };
  calls?: readonly NewToolCall[];
  /** Calls that start now: intent before effect. */
  startedCalls?: readonly string[];
  finishedCalls?: readonly string[];
  answers?: readonly CallAnswer[];
  enqueue?: readonly Omit<InboxRow, "position">[];
  takenInputs?: readonly number[];
  spanStart?: { id: string; model: string };
  spanEnds?: readonly SpanEnd[];
  /** Some of the events have been taken back before they are written: the log alone says which of them are shown. */
  takesBack?: boolean;
}

export interface SpanEnd {
  id: string;
  failed: boolean;
  firstTokenMs: number | null;
  totalMs: number | null;
  inputTokens: number;
  outputTokens: number;
  cacheReadTokens: number;
  cacheWriteTokens: number;
}

export interface Written {
  /** Of the last event. */
  seq: number;
  /** `processed_at` of all events of this write. */
  at: Date;
  interrupted: boolean;
  leased: boolean;
  /** Of the last input that was ever admitted. */
  inboxPosition: number;
}

/** Another node holds the session now, or it is gone: this turn may write nothing more. */
export class LeaseLost extends Error {
  constructor(sessionId: string) {
    super(`the lease on ${sessionId} is held by another node, or the session is gone`);
    this.name = "LeaseLost";
  }
}

const WEB_SEARCH = "web_search";
/** A call's `position` is the seq of the last event that it was written with, times this, and its place among its step's calls. */
export const CALL_POSITIONS = 1_000;

/** Builds one statement with its values: parts are left out when they have nothing to do. */
class Statement {
  readonly values: unknown[] = [];
  private readonly parts: string[] = [];

  param(value: unknown, cast: string): string {
    this.values.push(value);
    return `$${this.values.length}::${cast}`;
  }

  with(name: string, sql: string): void {
    this.parts.push(`${name} as (${sql})`);
  }

  text(): string {
    return `with ${this.parts.join(", ")} select seq, at, interrupted, leased, inbox_position as "inboxPosition" from head`;
  }
}

/** Milliseconds, as on the wire, and never before the event before it. */
const AT = "greatest(last_event_at, date_trunc('milliseconds', clock_timestamp()))";

/** @throws LeaseLost when nothing was written */
export async function writeSession(db: Queryable, write: SessionWrite): Promise<Written> {
  const statement = new Statement();
  addHead(statement, write);
  addEvents(statement, write);
  addCalls(statement, write);
  addCallChanges(statement, write);
  addInbox(statement, write);
  addSpans(statement, write);
  const text = statement.text();
  const { rows } = await db.query<Written>(text, statement.values, `write_${hash("md5", text)}`);
  const written = rows[0];
  if (!written) throw new LeaseLost(write.sessionId);
  return written;
}

function addHead(statement: Statement, write: SessionWrite): void {
  const { patch = {} } = write;
  const set = [
    `seq = seq + ${statement.param(write.events?.length ?? 0, "int")}`,
    `last_event_at = ${AT}`,
    ...headChanges(statement, patch),
    ...leaseChanges(statement, write),
    ...searchChanges(statement, write),
  ];
  if (write.enqueue?.length) set.push(`inbox_position = inbox_position + ${statement.param(write.enqueue.length, "int")}`);
  const queued = (write.enqueue?.length ?? 0) - (write.takenInputs?.length ?? 0);
  if (queued !== 0) set.push(`inbox_count = inbox_count + ${statement.param(queued, "int")}`);
  const session = statement.param(write.sessionId, "text");
  const fence = write.generation === null ? "" : ` and lease_generation = ${statement.param(write.generation, "bigint")}`;
  statement.with(
    "head",
    `update session_heads set ${set.join(", ")} where session_id = ${session}${fence} ` +
      "returning session_id, seq, last_event_at as at, interrupted, inbox_position, lease_owner is not null as leased",
  );
}

function headChanges(statement: Statement, patch: HeadPatch): string[] {
  const set: string[] = [];
  if (patch.status !== undefined) {
    const status = statement.param(patch.status, "text");
    set.push(
      `status = ${status}`,
      `running_since = case when ${status} = 'running' then coalesce(running_since, ${AT}) end`,
      `active_ms = active_ms + case when ${status} <> 'running' and running_since is not null
         then (extract(epoch from ${AT} - running_since) * 1000)::bigint else 0 end`,
    );
    if (patch.status === "terminated") set.push(`terminated_at = coalesce(terminated_at, ${AT})`);
  }
  if (patch.stopReason !== undefined) {
    set.push(`stop_reason = ${statement.param(patch.stopReason === null ? null : JSON.stringify(patch.stopReason), "jsonb")}`);
  }
  if (patch.turnPending !== undefined) set.push(`turn_pending = ${statement.param(patch.turnPending, "boolean")}`);
  if (patch.interrupted !== undefined) set.push(`interrupted = ${statement.param(patch.interrupted, "boolean")}`);
  if (patch.ending === null) set.push("ending = null");
  else if (patch.ending !== undefined) set.push(`ending = ${statement.param(JSON.stringify(patch.ending), "jsonb")}`);
  if (patch.attempts !== undefined) set.push(`attempts = ${statement.param(patch.attempts, "int")}`);
  if (patch.steps !== undefined) set.push(`steps = ${statement.param(patch.steps, "int")}`);
  if (patch.addUsage) {
    const { inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens, costUsd } = patch.addUsage;
    set.push(
      `input_tokens = input_tokens + ${statement.param(inputTokens, "bigint")}`,
      `output_tokens = output_tokens + ${statement.param(outputTokens, "bigint")}`,
      `cache_read_tokens = cache_read_tokens + ${statement.param(cacheReadTokens, "bigint")}`,
      `cache_write_tokens = cache_write_tokens + ${statement.param(cacheWriteTokens, "bigint")}`,
    );
    if (costUsd !== null) set.push(`token_cost_usd = coalesce(token_cost_usd, 0) + ${statement.param(costUsd, "float8")}`);
  }
  return set;
}

/** A client's wake leaves a held lease alone: its holder looks at the inbox before it lets go. */
function leaseChanges(statement: Statement, write: SessionWrite): string[] {
  const set: string[] = [];
  const wake = write.patch?.wake;
  if (wake === null) set.push("wake_at = null");
  else if (wake === "now")
    set.push(
      write.generation === null
        ? "wake_at = case when lease_owner is null then clock_timestamp() else wake_at end"
        : "wake_at = clock_timestamp()",
    );
  else if (wake !== undefined) set.push(`wake_at = clock_timestamp() + ${statement.param(wake.inMs, "int")} * interval '1 ms'`);
  if (write.patch?.releaseLease) set.push("lease_owner = null");
  return set;
}

/** Web searches that have an answer with this write. One that failed is not counted, as the Messages API does not. */
function searchChanges(statement: Statement, write: SessionWrite): string[] {
  const answered = (write.events ?? []).flatMap(({ type, fields }) =>
    type === "agent.tool_result" && fields.is_error !== true ? [fields.tool_use_id] : [],
  );
  if (answered.length === 0) return [];
  const isSearch = ({ id, kind, name }: NewToolCall): boolean =>
    kind === "builtin" && name === WEB_SEARCH && answered.includes(id);
  // A call and its result in one write: this statement does not see its own row yet.
  const atOnce = (write.calls ?? []).filter(isSearch).length;
  const before = `(select count(*) from tool_calls t where t.session_id = session_heads.session_id and t.kind = 'builtin'
    and t.name = '${WEB_SEARCH}' and t.id = any(${statement.param(answered, "text[]")}))`;
  return [`web_search_requests = web_search_requests + ${statement.param(atOnce, "int")} + ${before}`];
}

function addEvents(statement: Statement, write: SessionWrite): void {
  const events = write.events ?? [];
  if (events.length === 0) return;
  const count = statement.param(events.length, "int");
  const ids = statement.param(
    events.map((event) => event.id),
    "text[]",
  );
  const types = statement.param(
    events.map((event) => event.type),
    "text[]",
  );
  const bodies = statement.param(
    events.map((event) => JSON.stringify({ type: event.type, ...event.fields })),
    "text[]",
  );
  const thread = statement.param(write.threadId, "text");
  statement.with(
    "log",
    `insert into events (session_id, seq, id, thread_id, type, processed_at, bytes, body)
     select head.session_id, head.seq - ${count} + e.ord, e.id, ${thread}, e.type, head.at, octet_length(e.body), e.body::json
     from head, unnest(${ids}, ${types}, ${bodies}) with ordinality as e(id, type, body, ord)`,
  );
  if (!write.native) return;
  const offset = statement.param(events.length - 1 - write.native.index, "int");
  const native = statement.param(JSON.stringify(write.native.value), "json");
  statement.with(
    "record",
    `insert into harness_records (session_id, seq, native) select session_id, seq - ${offset}, ${native} from head`,
  );
}

function addCalls(statement: Statement, write: SessionWrite): void {
  const calls = write.calls ?? [];
  if (calls.length === 0) return;
  const column = (pick: (call: NewToolCall) => unknown, cast: string) => statement.param(calls.map(pick), cast);
  statement.with(
    "calls",
    `insert into tool_calls (session_id, id, position, kind, name, input, permission, result_id, started_at, finished_at)
     select head.session_id, c.id, head.seq * ${CALL_POSITIONS} + c.ord, c.kind, c.name, c.input::json, c.permission, c.result_id,
            case when c.started then head.at end, case when c.finished then head.at end
     from head, unnest(${column((c) => c.id, "text[]")}, ${column((c) => c.kind, "text[]")}, ${column((c) => c.name, "text[]")},
       ${column((c) => JSON.stringify(c.input), "text[]")}, ${column((c) => c.permission, "text[]")}, ${column((c) => c.resultId, "text[]")},
       ${column((c) => c.started, "boolean[]")}, ${column((c) => c.finished, "boolean[]")})
       with ordinality as c(id, kind, name, input, permission, result_id, started, finished, ord)`,
  );
}

function addCallChanges(statement: Statement, write: SessionWrite): void {
  const change = (name: string, ids: readonly string[] | undefined, set: string) => {
    if (!ids?.length) return;
    const list = statement.param(ids, "text[]");
    statement.with(name, `update tool_calls t set ${set} from head where t.session_id = head.session_id and t.id = any(${list})`);
  };
  change("started", write.startedCalls, "started_at = head.at");
  change("finished", write.finishedCalls, "finished_at = head.at");
  const answers = write.answers ?? [];
  if (answers.length === 0) return;
  const column = (pick: (answer: CallAnswer) => unknown, cast: string) => statement.param(answers.map(pick), cast);
  statement.with(
    "answered",
    `update tool_calls t set answer = a.answer::json, answer_id = a.answer_id, confirmed = a.confirmed,
            finished_at = case when a.finishes then head.at end
     from head, unnest(${column((a) => a.callId, "text[]")}, ${column((a) => a.answerId, "text[]")}, ${column((a) => JSON.stringify(a.answer), "text[]")},
       ${column((a) => a.confirmed, "text[]")}, ${column((a) => a.finishes, "boolean[]")}) as a(id, answer_id, answer, confirmed, finishes)
     where t.session_id = head.session_id and t.id = a.id`,
  );
}

function addInbox(statement: Statement, write: SessionWrite): void {
  const rows = write.enqueue ?? [];
  if (rows.length > 0) {
    const count = statement.param(rows.length, "int");
    const ids = statement.param(
      rows.map((row) => row.id),
      "text[]",
    );
    const types = statement.param(
      rows.map((row) => row.type),
      "text[]",
    );
    const bodies = statement.param(
      rows.map((row) => JSON.stringify({ type: row.type, ...row.fields })),
      "text[]",
    );
    statement.with(
      "admitted",
      `insert into inbox (session_id, position, id, type, bytes, body, admitted_at)
       select head.session_id, head.inbox_position - ${count} + i.ord, i.id, i.type, octet_length(i.body), i.body::json, head.at
       from head, unnest(${ids}, ${types}, ${bodies}) with ordinality as i(id, type, body, ord)`,
    );
  }
  if (!write.takenInputs?.length) return;
  const positions = statement.param(write.takenInputs, "bigint[]");
  statement.with(
    "taken",
    `delete from inbox i using head where i.session_id = head.session_id and i.position = any(${positions})`,
  );
}

function addSpans(statement: Statement, write: SessionWrite): void {
  if (write.spanStart) {
    const id = statement.param(write.spanStart.id, "text");
    const model = statement.param(write.spanStart.model, "text");
    statement.with(
      "span",
      `insert into model_spans (session_id, id, model, started_at) select session_id, ${id}, ${model}, at from head`,
    );
  }
  const ends = write.spanEnds ?? [];
  if (ends.length === 0) return;
  const column = (pick: (end: SpanEnd) => unknown, cast: string) => statement.param(ends.map(pick), cast);
  statement.with(
    "span_end",
    `update model_spans s set ended_at = head.at, failed = e.failed, first_token_ms = e.first_token_ms, total_ms = e.total_ms,
            input_tokens = e.input_tokens, output_tokens = e.output_tokens,
            cache_read_tokens = e.cache_read_tokens, cache_write_tokens = e.cache_write_tokens
     from head, unnest(${column((e) => e.id, "text[]")}, ${column((e) => e.failed, "boolean[]")}, ${column((e) => e.firstTokenMs, "float8[]")},
       ${column((e) => e.totalMs, "float8[]")}, ${column((e) => e.inputTokens, "bigint[]")}, ${column((e) => e.outputTokens, "bigint[]")},
       ${column((e) => e.cacheReadTokens, "bigint[]")}, ${column((e) => e.cacheWriteTokens, "bigint[]")})
       as e(id, failed, first_token_ms, total_ms, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens)
     where s.session_id = head.session_id and s.id = e.id`,
  );
}
