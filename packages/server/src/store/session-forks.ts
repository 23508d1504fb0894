import type { StopReason } from "@sandbox0/protocol";
import type { CallAt } from "../domain/calls-at.ts";
import type { ToolCall, UsageTotals } from "../domain/head.ts";
import { CALL_POSITIONS } from "./append.ts";
import type { LogPoint } from "./log-points.ts";
import type { Queryable } from "./query.ts";

/** A session that begins as another one stood at some point. */
export interface NewFork {
  sourceId: string;
  point: LogPoint;
  id: string;
  threadId: string;
  sourceThreadId: string;
  /** `undefined`: the source's. */
  title: string | null | undefined;
  metadata: Record<string, string> | undefined;
  stopReason: StopReason | null;
  usage: UsageTotals;
  /** Calls that are not settled by what `tool_calls` says now, as they stood at the point. */
  calls: readonly CallAt[];
  createdAt: Date;
}

/** Until the transaction ends nothing is written to the session's log. Others may hold it as well. */
export async function holdLog(tx: Queryable, workspaceId: string, sessionId: string): Promise<void> {
  await tx.query(
    `select from session_heads
     where session_id = $1 and exists (select from sessions where id = $1 and workspace_id = $2) for share`,
    [sessionId, workspaceId],
    "hold_log",
  );
}

/** SQL: the place that the event of this `seq` has once what was taken back is left out. */
function seqWithout(ranges: string, seq: string): string {
  return `case when ${ranges} = '{}' then ${seq} else ${seq} -
    (select coalesce(sum(upper(r) - lower(r)), 0)::bigint from unnest(${ranges}) r where upper(r) <= ${seq}) end`;
}

/**
 * The session with its log up to the point: sets of rows, copied by the database, whatever their number. Events keep their ids
 * (what they say of each other stays true) and get a thread, and where something was taken back a seq, of the fork's own.
 * What the source does meanwhile is behind the point, and not seen.
 */
export async function insertFork(tx: Queryable, fork: NewFork): Promise<void> {
  await insertSession(tx, fork);
  const { sourceId, id, threadId, sourceThreadId, point } = fork;
  const field = (thread: string): string => `"session_thread_id":${JSON.stringify(thread)}`;
  const seq = seqWithout("$4::int8multirange", "e.seq");
  await tx.query(
    `insert into events (session_id, seq, id, thread_id, type, processed_at, bytes, body)
     select $2, ${seq}, e.id, $5, e.type, e.processed_at, e.bytes,
            case when strpos(e.body::text, $6) > 0 then replace(e.body::text, $6, $7)::json else e.body end
     from events e where e.session_id = $1 and e.seq <= $3 and not e.seq <@ $4::int8multirange`,
    [sourceId, id, point.seq, point.rewound, threadId, field(sourceThreadId), field(threadId)],
    "fork_events",
  );
  await tx.query(
    `insert into harness_records (session_id, seq, native)
     select $2, ${seq}, e.native from harness_records e
     where e.session_id = $1 and e.seq <= $3 and not e.seq <@ $4::int8multirange`,
    [sourceId, id, point.seq, point.rewound],
    "fork_harness_records",
  );
  await copyCalls(tx, fork);
  await copyTraits(tx, fork);
}

async function insertSession(tx: Queryable, fork: NewFork): Promise<void> {
  const { usage } = fork;
  await tx.query(
    `with s as (
       insert into sessions (id, workspace_id, thread_id, agent_id, agent_version, agent, environment_id, harness, title, metadata,
                             vault_ids, budget, created_at, updated_at)
       select $2, workspace_id, $3, agent_id, agent_version, agent, environment_id, harness,
              case when $4 then $5 else title end, coalesce($6::jsonb, metadata), vault_ids, budget, $7, $7
       from sessions where id = $1 returning id)
     insert into session_heads (session_id, seq, last_event_at, stop_reason, input_tokens, output_tokens, cache_read_tokens,
                                cache_write_tokens, active_ms, web_search_requests, token_cost_usd)
     select id, ${seqWithout("$9::int8multirange", "$8::bigint")}, $7, $10::jsonb, $11, $12, $13, $14, $15, $16, $17 from s`,
    [
      fork.sourceId,
      fork.id,
      fork.threadId,
      fork.title !== undefined,
      fork.title ?? null,
      fork.metadata === undefined ? null : JSON.stringify(fork.metadata),
      fork.createdAt,
      fork.point.seq,
      fork.point.rewound,
      fork.stopReason === null ? null : JSON.stringify(fork.stopReason),
      usage.inputTokens,
      usage.outputTokens,
      usage.cacheReadTokens,
      usage.cacheWriteTokens,
      Math.round(usage.activeMs),
      usage.webSearches,
      usage.tokenCostUsd,
    ],
    "fork_session",
  );
}

/** What else a session keeps for life; and the trace of the turns before it is its source's to tell. */
async function copyTraits(tx: Queryable, { sourceId, id }: NewFork): Promise<void> {
  await tx.query(
    `with skills as (
       insert into session_skills (session_id, source, skill_id, asked, directory, name, description, sha256)
       select $2, source, skill_id, asked, directory, name, description, sha256 from session_skills where session_id = $1),
     scans as (
       insert into session_skill_scans (session_id, directory) select $2, directory from session_skill_scans where session_id = $1)
     insert into trace_exports (session_id, seq) select session_id, seq from session_heads where session_id = $2`,
    [sourceId, id],
    "fork_traits",
  );
}

const WRITTEN_AT = `(c.position / ${CALL_POSITIONS})`;
/** Every call that had been made by then; `$1` to `$4` as for the events. */
const MADE_BY_THEN = `c.session_id = $1 and ${WRITTEN_AT} <= $3 and not ${WRITTEN_AT} <@ $4::int8multirange`;

async function copyCalls(tx: Queryable, { sourceId, id, point, calls }: NewFork): Promise<void> {
  const position = `(${seqWithout("$4::int8multirange", WRITTEN_AT)}) * ${CALL_POSITIONS} + c.position % ${CALL_POSITIONS}`;
  await tx.query(
    `insert into tool_calls (session_id, id, position, kind, name, input, permission, result_id, started_at, answer, answer_id,
                             confirmed, finished_at)
     select $2, c.id, ${position}, c.kind, c.name, c.input, c.permission, coalesce(a.result_id, c.result_id),
            case when a.id is null or a.finished then c.started_at end,
            case when a.id is null then c.answer else a.answer::json end,
            case when a.id is null then c.answer_id else a.answer_id end,
            case when a.id is null then c.confirmed else a.confirmed end,
            case when coalesce(a.finished, true) then coalesce(c.finished_at, clock_timestamp()) end
     from tool_calls c left join ${callsAtTable(5)} on a.id = c.id
     where ${MADE_BY_THEN}`,
    [sourceId, id, point.seq, point.rewound, ...callsAtColumns(calls)],
    "fork_tool_calls",
  );
}

/** SQL: the table `a` of calls as they stood at a point; its columns are parameters from `first` on. */
function callsAtTable(first: number): string {
  const casts = ["text[]", "text[]", "text[]", "text[]", "text[]", "boolean[]"];
  const columns = casts.map((cast, index) => `$${first + index}::${cast}`);
  return `unnest(${columns.join(", ")}) as a(id, result_id, answer, answer_id, confirmed, finished)`;
}

function callsAtColumns(calls: readonly CallAt[]): unknown[] {
  return [
    calls.map((call) => call.id),
    calls.map((call) => call.resultId),
    calls.map((call) => (call.answer === null ? null : JSON.stringify(call.answer))),
    calls.map((call) => call.answerId),
    calls.map((call) => call.confirmed),
    calls.map((call) => call.finished),
  ];
}

/**
 * Calls made by the point that no event on the log by then settles under the name that `tool_calls` has for it: those that were
 * open, and after a restore those whose result was another one.
 */
export async function readUnsettledCalls(
  db: Queryable,
  sessionId: string,
  point: LogPoint,
): Promise<Pick<ToolCall, "id" | "kind">[]> {
  const { rows } = await db.query<Pick<ToolCall, "id" | "kind">>(
    `with results as materialized (
       select id from events where session_id = $1 and seq <= $2 and not seq <@ $3::int8multirange
         and type in ('agent.tool_result', 'agent.mcp_tool_result', 'user.custom_tool_result'))
     select c.id, c.kind from tool_calls c
       left join results r on r.id = c.result_id
       left join results a on c.kind = 'custom' and a.id = c.answer_id
     where c.session_id = $1 and ${WRITTEN_AT} <= $2 and not ${WRITTEN_AT} <@ $3::int8multirange and r.id is null and a.id is null`,
    [sessionId, point.seq, point.rewound],
    "read_unsettled_calls",
  );
  return rows;
}

/** Takes back what came behind a point, up to and with `upTo`: it stays on the log, and nobody is shown it any more. */
export async function rewindLog(tx: Queryable, sessionId: string, point: LogPoint, upTo: number): Promise<void> {
  await tx.query(
    `insert into session_rewinds (session_id, ranges)
     values ($1, $3::int8multirange + int8multirange(int8range($2::bigint + 1, $4::bigint + 1)))
     on conflict (session_id) do update set ranges = excluded.ranges`,
    [sessionId, point.seq, point.rewound, upTo],
    "rewind_log",
  );
}

/** The calls of a session, back to what they were: those made later are closed, the others stand as `calls` says. */
export async function rewindCalls(tx: Queryable, sessionId: string, point: LogPoint, calls: readonly CallAt[]): Promise<void> {
  await tx.query(
    `update tool_calls c set finished_at = clock_timestamp()
     where c.session_id = $1 and c.finished_at is null and (${WRITTEN_AT} > $2 or ${WRITTEN_AT} <@ $3::int8multirange)`,
    [sessionId, point.seq, point.rewound],
    "close_rewound_calls",
  );
  if (calls.length === 0) return;
  await tx.query(
    `update tool_calls c set result_id = a.result_id, answer = a.answer::json, answer_id = a.answer_id, confirmed = a.confirmed,
            started_at = case when a.finished then c.started_at end,
            finished_at = case when a.finished then coalesce(c.finished_at, clock_timestamp()) end
     from ${callsAtTable(2)} where c.session_id = $1 and c.id = a.id`,
    [sessionId, ...callsAtColumns(calls)],
    "reopen_calls",
  );
}

/** The session may not have the files any more that were put there for it once: who puts them there must look again. */
export async function forgetProvided(tx: Queryable, sessionId: string): Promise<void> {
  await tx.query(
    `with scans as (delete from session_skill_scans where session_id = $1)
     delete from session_repositories where resource_id in (select id from session_resources where session_id = $1)`,
    [sessionId],
    "forget_provided",
  );
}

/**
 * The files that a session has left, as its fork's own; what was deleted of them is so for the fork. They have no stamp that
 * could fit: the fork looks at each again when it next rests. @param ids for the copies, as many as there are files
 */
export async function copyOutputs(
  tx: Queryable,
  sourceId: string,
  fork: { id: string; at: Date },
  copies: readonly { from: string; id: string }[],
): Promise<void> {
  await tx.query(
    `with copied as (
       insert into files (id, workspace_id, session_id, filename, mime_type, size_bytes, sha256, downloadable, created_at)
       select c.id, f.workspace_id, $2, f.filename, f.mime_type, f.size_bytes, f.sha256, f.downloadable, $3
       from unnest($4::text[], $5::text[]) as c(source_id, id) join files f on f.id = c.source_id)
     insert into session_outputs (session_id, path, file_id, stamp, sha256)
     select $2, o.path, c.id, '', o.sha256 from session_outputs o
     left join unnest($4::text[], $5::text[]) as c(source_id, id) on c.source_id = o.file_id
     where o.session_id = $1 and (o.file_id is null or c.id is not null)`,
    [sourceId, fork.id, fork.at, copies.map(({ from }) => from), copies.map(({ id }) => id)],
    "copy_outputs",
  );
}

/** What was to be told of the session's files is past, and the time for which they are kept begins anew with the next turn. */
export async function renewVolume(tx: Queryable, sessionId: string): Promise<void> {
  await tx.query(
    "update session_volumes set started_at = null, notice = null where session_id = $1",
    [sessionId],
    "renew_volume",
  );
}

/**
 * A checkpoint takes over the blobs of the one before it, which only the session refers to. One that is being made now must not
 * take those of a checkpoint that this transaction begins to refer to: it is given up, and made again. Turns do not mind.
 */
export async function fenceCheckpoints(tx: Queryable, sessionId: string): Promise<void> {
  await tx.query("update session_volumes set fence = fence + 1 where session_id = $1", [sessionId], "fence_checkpoints");
}

/**
 * The checkpoint that the session's volume was made from or last kept as, if it is of the files as they were while the session
 * rested at `seq`: no turn began between the two.
 */
export async function readCheckpointOfRest(db: Queryable, sessionId: string, seq: number): Promise<string | null> {
  const { rows } = await db.query<{ id: string }>(
    `select c.id from session_volumes v join volume_checkpoints c on c.id = v.checkpoint_id
     where v.session_id = $1 and c.session_id = $1 and c.seq >= $2 and not exists (
       select from events where session_id = $1 and seq > $2 and seq <= c.seq and type = 'session.status_running')`,
    [sessionId, seq],
    "read_checkpoint_of_rest",
  );
  return rows[0]?.id ?? null;
}
