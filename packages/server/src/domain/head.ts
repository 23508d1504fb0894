import type { RefusalDetails, StopReason } from "@sandbox0/protocol";

/** Token counts, running time and web searches of a session so far. */
export interface UsageTotals {
  inputTokens: number;
  outputTokens: number;
  cacheReadTokens: number;
  cacheWriteTokens: number;
  activeMs: number;
  webSearches: number;
  /** By the list, not rounded; `null`: none of the models has a price. */
  tokenCostUsd: number | null;
}

export type SessionStatus = "idle" | "running" | "rescheduling" | "terminated";

/** How a model response ends its turn. */
export type TurnEnding = { type: "end_turn" } | { type: "refusal"; details: RefusalDetails };

/** What is projected from a session's log: the row whose lock orders it. */
export interface Head {
  sessionId: string;
  seq: number;
  /** Never goes back, also when the next event comes from a node whose clock is behind. */
  lastEventAt: Date;
  /** As the log says. */
  status: SessionStatus;
  /** `status`, but `running` once a turn is certain to start. */
  shownStatus: SessionStatus;
  stopReason: StopReason | null;
  inboxPosition: number;
  inboxCount: number;
  turnPending: boolean;
  /** A `user.interrupt` is in the inbox. */
  interrupted: boolean;
  /** The last model response on the log ends the turn, and the turn has not been settled yet. */
  ending: TurnEnding | null;
  attempts: number;
  steps: number;
  usage: UsageTotals;
  runningSince: Date | null;
  leaseOwner: number | null;
  leaseGeneration: number;
}

/** A change of the head that goes with an append; an absent field stays as it is. */
export interface HeadPatch {
  status?: SessionStatus;
  stopReason?: StopReason | null;
  turnPending?: boolean;
  interrupted?: boolean;
  ending?: TurnEnding | null;
  attempts?: number;
  steps?: number;
  addUsage?: {
    inputTokens: number;
    outputTokens: number;
    cacheReadTokens: number;
    cacheWriteTokens: number;
    /** `null`: the model has no price. */
    costUsd: number | null;
  };
  /** `now`, a delay in milliseconds from now, or `null` for never. */
  wake?: "now" | { inMs: number } | null;
  releaseLease?: true;
}

/** An event before it has its place in the log. `fields` is all of the event but id, type and processed_at. */
export interface NewEvent {
  id: string;
  type: string;
  fields: Record<string, unknown>;
}

/** An admitted input that waits. */
export interface InboxRow {
  position: number;
  id: string;
  type: string;
  fields: Record<string, unknown>;
}

export interface ToolCall {
  id: string;
  kind: "builtin" | "mcp" | "custom";
  /** For an MCP server's tool, as the server calls it. */
  name: string;
  /** Of an MCP call; the log has it, in the event of the call. */
  mcpServer?: string;
  input: Record<string, unknown>;
  permission: "allow" | "ask" | "deny";
  resultId: string;
  started: boolean;
  finished: boolean;
  confirmed: "allow" | "deny" | null;
  /** The event that settled it, as sent by the client; `null` when the server did, or nobody yet. */
  answer: Record<string, unknown> | null;
  answerId: string | null;
  denyMessage: string | null;
}

const STARTS_TURN = new Set(["user.message", "user.define_outcome"]);

/** Some of these inputs are for a turn of their own. */
export function hasWork(inbox: readonly InboxRow[]): boolean {
  return inbox.some((row) => STARTS_TURN.has(row.type));
}

/** The call waits for the client: a custom result or a confirmation. */
export function waitsForClient(call: ToolCall): boolean {
  if (call.finished) return false;
  return call.kind === "custom" || (call.permission === "ask" && call.confirmed === null);
}

/** The call may run now: nobody has started it and nobody forbids it. */
export function isRunnable(call: ToolCall): boolean {
  if (call.finished || call.started || call.kind === "custom") return false;
  return call.permission === "allow" || call.confirmed === "allow";
}
