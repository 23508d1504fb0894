import type { ToolDefinition } from "@sandbox0/harness";
import type { Volume } from "@sandbox0/sandbox";
import type { AgentTool } from "../domain/permissions.ts";
import { newEvent } from "../domain/lifecycle-events.ts";
import { type Head, type InboxRow, isRunnable, type ToolCall, waitsForClient } from "../domain/head.ts";
import { STEPS_PER_TURN_MAX } from "../domain/step.ts";
import type { TurnPlan, TurnState } from "../domain/turn.ts";
import type { LockedSession, LockedWrite, TurnMemory } from "../log/event-log.ts";
import type { McpLink, McpServer } from "../mcp/connector.ts";
import type { TurnSession } from "../store/sessions.ts";
import { LeaseLost } from "../store/append.ts";

export type StopCause = "interrupted" | "lease_lost" | "shutdown" | "step_limit";

/** What this node knows of a session whose lease it holds. Made by the claim, gone with the lease. */
export interface HeldTurn {
  sessionId: string;
  threadId: string;
  agentName: string;
  generation: number;
  /** By `performance.now()`; another node may take the session then. */
  leaseEndsAtMs: number;
  session: TurnSession;
  /** As the claim read it; `null` when it was used, and the log must be read again. */
  memory: TurnMemory | null;
  tools: readonly AgentTool[];
  /** `null`: not connected since the session last began to run. */
  mcp: TurnMcp | null;
  /** Calls without a result, by id: what `executeTool` may run. */
  calls: Map<string, ToolCall>;
  /** Calls that are marked as started and wait for the harness to run them. */
  runnable: string[];
  /** A `span.model_request_start` that was written ahead, with the turn's start, to save a commit. */
  openSpan: string | null;
  steps: number;
  /** `system.message` events that came with the answers this turn goes on from: taken up behind the results. */
  instructions: InboxRow[];
  /** The last input that the last decision has seen. */
  inboxPosition: number;
  /** `null`: nothing of it has used the sandbox yet. */
  volume: Volume | null;
  /** The sandbox that has been given, or is being given, all that the session is to find there. */
  prepared: { sandboxId: string; done: Promise<void> } | null;
  /** The session ends with it. */
  terminated: boolean;
  stopped: StopCause | null;
  controller: AbortController;
}

/** The MCP servers of a turn, from its start until the session rests. */
export interface TurnMcp {
  /** Those that are connected. */
  links: Map<string, McpLink>;
  /** Servers that the log has an error of. */
  reported: Set<string>;
  definitions: ToolDefinition[];
}

export function createHeldTurn(session: TurnSession, memory: TurnMemory, head: Head, leaseEndsAtMs: number): HeldTurn {
  return {
    sessionId: head.sessionId,
    threadId: session.thread_id,
    agentName: String(session.agent.name),
    generation: head.leaseGeneration,
    leaseEndsAtMs,
    session,
    memory,
    tools: (session.agent.tools ?? []) as AgentTool[],
    mcp: null,
    calls: new Map(),
    runnable: [],
    openSpan: null,
    steps: head.steps,
    instructions: [],
    inboxPosition: head.inboxPosition,
    volume: null,
    prepared: null,
    terminated: false,
    stopped: null,
    controller: new AbortController(),
  };
}

/** The first cause stands: an interrupt does not turn into a lost lease because both came. */
export function stopTurn(turn: HeldTurn, cause: StopCause): void {
  turn.stopped ??= cause;
  turn.controller.abort();
}

/** `position`: the last input when the interrupt was there. A decision may have taken it up since: then it is over. */
export function interruptTurn(turn: HeldTurn, position: number): void {
  if (position > turn.inboxPosition) stopTurn(turn, "interrupted");
}

export function turnState(turn: HeldTurn, session: LockedSession): TurnState {
  return {
    head: session.head,
    thread: { threadId: turn.threadId, agentName: turn.agentName },
    now: new Date(Math.max(Date.now(), session.head.lastEventAt.getTime())),
    calls: session.calls,
    inbox: session.inbox,
    openSpans: session.openSpans,
  };
}

/** The servers of which the agent has a tool that is enabled. */
export function mcpServersOf(turn: HeldTurn): McpServer[] {
  const declared = (turn.session.agent.mcp_servers ?? []) as McpServer[];
  const used = turn.tools.flatMap((tool) =>
    tool.type === "mcp_toolset" && [tool.default_config, ...tool.configs].some(({ enabled }) => enabled)
      ? [tool.mcp_server_name]
      : [],
  );
  return declared.filter(({ name }) => used.includes(name)).map(({ name, url }) => ({ name, url }));
}

/** Runs `decide` under the row lock, if the lease is still this node's. @throws LeaseLost */
export async function holdingLease<T>(turn: HeldTurn, session: LockedSession, decide: () => Promise<T>): Promise<T> {
  if (session.head.leaseGeneration !== turn.generation || session.head.leaseOwner === null) throw new LeaseLost(turn.sessionId);
  return decide();
}

/** Writes a plan, and with it what is certain to come next: the calls that start now, or the first model request. */
export async function writePlan(turn: HeldTurn, session: LockedSession, plan: TurnPlan): Promise<void> {
  const open = session.calls.filter((call) => !plan.finished.includes(call.id));
  for (const call of open) if (plan.restarted.includes(call.id)) call.started = false;
  const runnable = plan.next === "run" ? open.filter(isRunnable).map((call) => call.id) : [];
  const write: LockedWrite = {
    threadId: turn.threadId,
    generation: turn.generation,
    events: plan.events,
    patch: plan.next === "finish" ? plan.patch : { ...plan.patch, ending: null },
    takenInputs: plan.taken,
    finishedCalls: plan.finished,
    startedCalls: runnable,
    spanEnds: failedSpans(plan),
  };
  const steps = plan.patch.steps ?? session.head.steps;
  const goesOn = plan.next === "run" && runnable.length === 0 && !open.some(waitsForClient);
  turn.instructions = plan.next === "run" ? accompanying(session.inbox.filter((row) => !plan.taken.includes(row.position))) : [];
  // MCP servers and credentials are looked at first, and what is wrong with them is said before the request begins.
  const looksFirst = mcpServersOf(turn).length > 0 || turn.session.vault_ids.length > 0 || turn.instructions.length > 0;
  const asksModel = goesOn && steps < STEPS_PER_TURN_MAX && !looksFirst;
  const spanId = asksModel ? openSpan(turn, write, steps) : null;
  const written = await session.write(write);
  turn.calls = new Map(open.map((call) => [call.id, call]));
  turn.runnable = runnable;
  if (plan.events.some(({ type }) => type === "session.status_running")) turn.mcp = null;
  turn.terminated = plan.patch.status === "terminated";
  turn.openSpan = spanId;
  turn.steps = spanId ? steps + 1 : steps;
  turn.inboxPosition = session.head.inboxPosition;
  if (written.interrupted && plan.next === "run") stopTurn(turn, "interrupted");
}

/** Those at the front came with an answer: behind a message of the user they belong to that one's turn (semantics §5.6). */
function accompanying(inbox: readonly InboxRow[]): InboxRow[] {
  const until = inbox.findIndex((row) => row.type !== "system.message");
  return inbox.slice(0, until === -1 ? inbox.length : until);
}

function openSpan(turn: HeldTurn, write: LockedWrite, steps: number): string {
  const start = newEvent("span.model_request_start", {});
  write.events = [...(write.events ?? []), start];
  write.patch = { ...write.patch, steps: steps + 1 };
  write.spanStart = { id: start.id, model: modelOf(turn) };
  return start.id;
}

export function modelOf(turn: HeldTurn): string {
  const model = turn.session.agent.model as { id: string };
  return model.id;
}

function failedSpans(plan: TurnPlan): NonNullable<LockedWrite["spanEnds"]> {
  return plan.events
    .filter((event) => event.type === "span.model_request_end")
    .map((event) => ({
      id: String(event.fields.model_request_start_id),
      failed: true,
      firstTokenMs: null,
      totalMs: null,
      inputTokens: 0,
      outputTokens: 0,
      cacheReadTokens: 0,
      cacheWriteTokens: 0,
    }));
}
