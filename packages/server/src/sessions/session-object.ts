import type { Session, Thread } from "@sandbox0/protocol";
import { totalsAt, usageFields } from "../domain/lifecycle-events.ts";
import { toHead } from "../store/session-state.ts";
import type { SessionRow } from "../store/sessions.ts";
import { resourceObject } from "./resource-object.ts";

function later(a: Date, b: Date): Date {
  return a > b ? a : b;
}

/** Stops when the session is terminated (contract §6). */
function durationSeconds(row: SessionRow, now: Date): number {
  return Math.max(0, ((row.terminated_at ?? now).getTime() - row.created_at.getTime()) / 1000);
}

export function sessionObject(row: SessionRow, now: Date): Session {
  const head = toHead(row);
  const totals = totalsAt(head, now);
  return {
    id: row.id,
    type: "session",
    agent: row.agent as Session["agent"],
    environment_id: row.environment_id,
    title: row.title,
    status: head.shownStatus,
    metadata: row.metadata,
    vault_ids: row.vault_ids,
    resources: row.resources.map(({ id, config, created_at_ms: createdAt, updated_at_ms: updatedAt }) =>
      resourceObject({ id, config, createdAt: new Date(createdAt), updatedAt: new Date(updatedAt) }),
    ),
    outcome_evaluations: [],
    budget: row.budget as Session["budget"],
    stats: { active_seconds: totals.activeMs / 1000, duration_seconds: durationSeconds(row, now) },
    usage: usageFields(totals) as Session["usage"],
    created_at: row.created_at.toISOString(),
    updated_at: later(row.updated_at, row.last_event_at).toISOString(),
    archived_at: row.archived_at?.toISOString() ?? null,
    deployment_id: row.deployment_id,
  };
}

/** The one thread of a session without multiagent: its primary (contract §6.2). */
export function primaryThread(row: SessionRow, now: Date): Thread {
  const { multiagent: _, ...agent } = row.agent;
  const head = toHead(row);
  const totals = totalsAt(head, now);
  const hasIdled = head.stopReason !== null || head.usage.activeMs > 0;
  const hasRun = hasIdled || head.runningSince !== null;
  return {
    id: row.thread_id,
    type: "session_thread",
    session_id: row.id,
    parent_thread_id: null,
    workflow_run_id: null,
    agent: agent as Thread["agent"],
    status: head.shownStatus,
    stats: hasRun
      ? { active_seconds: totals.activeMs / 1000, duration_seconds: durationSeconds(row, now), startup_seconds: 0 }
      : null,
    usage: hasIdled ? (usageFields(totals, { runtime: false }) as Thread["usage"]) : null,
    created_at: row.created_at.toISOString(),
    updated_at: later(row.updated_at, row.last_event_at).toISOString(),
    archived_at: row.archived_at?.toISOString() ?? null,
  };
}
