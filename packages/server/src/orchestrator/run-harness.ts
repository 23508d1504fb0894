import type { Harness, HistoryEntry, ProviderConfig, ToolDefinition, Turn, TurnOutcome } from "@sandbox0/harness";
import type { SessionAgent, SessionError, SessionEvent } from "@sandbox0/protocol";
import { enabledBuiltins } from "../domain/permissions.ts";
import { describeMisfit } from "../domain/harness-fit.ts";
import type { NewEvent } from "../domain/head.ts";
import { errorEvent } from "../domain/lifecycle-events.ts";
import type { TurnEnd } from "../domain/turn.ts";
import { BlobsUnavailable } from "../blobs/port.ts";
import { DatabaseUnavailable } from "../store/database-error.ts";
import type { TurnMemory } from "../log/event-log.ts";
import { readTranscript, TRANSCRIPT_BYTES_MAX, type TranscriptRow } from "../store/events.ts";
import type { Queryable } from "../store/query.ts";
import { describeInvalidSettings } from "../web/web-settings.ts";
import { createEffects, type EffectsDeps, stopIfStopped } from "./effects.ts";
import { connectMcp } from "./mcp-turn.ts";
import { systemPrompt } from "./system-prompt.ts";
import type { SandboxOfTurn } from "./sandbox-of-turn.ts";
import { type HeldTurn, modelOf } from "./turn.ts";
import { turnWriter } from "./turn-writer.ts";

export interface RunHarnessDeps extends EffectsDeps {
  db: Queryable;
  harnesses: ReadonlyMap<string, Harness>;
  /** Which provider serves a model of a session with these vaults, or a sentence for its log that says why none does. */
  resolveModel(
    modelId: string,
    session: { workspaceId: string; vaultIds: readonly string[]; harness: string },
  ): Promise<ProviderConfig | { unavailable: string }>;
  sandboxes: Pick<SandboxOfTurn, "begin">;
  /** The built-in tools as the model is told of them, by name. */
  builtinTools: ReadonlyMap<string, ToolDefinition>;
  /** What of the session's credentials its network policy shuts out, and its log does not say yet. */
  findPolicyErrors(sessionId: string): Promise<SessionError[]>;
  /** The conversation with the files in it that its messages refer to. @throws BlobsUnavailable */
  withFiles(workspaceId: string, transcript: readonly TranscriptRow[]): Promise<readonly TranscriptRow[]>;
  onBug(error: unknown, sessionId: string): void;
}

const FILES_UNAVAILABLE: TurnEnd = {
  type: "failed",
  error: {
    kind: "unknown_error",
    message: "The files of the conversation cannot be read from the server's storage now.",
    disposition: "retryable",
  },
};

/**
 * One call of the harness, from the log to the way it ended.
 * @throws DatabaseUnavailable when the log could not be read: the turn did not fail, and goes on from the log later
 */
export async function runHarness(deps: RunHarnessDeps, turn: HeldTurn): Promise<TurnEnd> {
  let outcome: TurnOutcome;
  const effects = createEffects(deps, turn);
  try {
    const harness = deps.harnesses.get(turn.session.harness);
    if (!harness) return failed(`The harness "${turn.session.harness}" is not available on this server.`);
    const { workspace_id: workspaceId, vault_ids: vaultIds } = turn.session;
    const provider = await deps.resolveModel(modelOf(turn), { workspaceId, vaultIds, harness: harness.name });
    if ("unavailable" in provider) return failed(provider.unavailable, "model_request_failed_error");
    const speaks = { name: harness.name, apis: harness.capabilities.apis };
    const misfit = describeMisfit(speaks, { id: modelOf(turn), api: provider.api });
    if (misfit !== null) return failed(`The model cannot be asked: ${misfit}.`, "model_request_failed_error");
    const { transcript } = turn.memory ?? (await readMemory(deps.db, turn.sessionId));
    turn.memory = null;
    if (transcript === null)
      return failed(
        `The conversation is larger than ${TRANSCRIPT_BYTES_MAX} bytes: no model can read it.`,
        "model_request_failed_error",
      );
    const invalid = await describeInvalidSettings(
      deps.db,
      turn.sessionId,
      (turn.session.agent.tools ?? []) as SessionAgent["tools"],
    );
    if (invalid !== null) return failed(invalid);
    await openMcp(deps, turn, transcript);
    const notes = await deps.sandboxes.begin(turn);
    stopIfStopped(turn);
    // Where the harness runs in the sandbox, nothing of it ever holds the key: requests get theirs in the model gateway.
    const shown = harness.capabilities.placement === "agent-in-sandbox" ? { ...provider, apiKey: "" } : provider;
    const { agent } = turn.session;
    const system = systemPrompt(agent.system as string | null, turn.tools, notes);
    const history = historyOf(await deps.withFiles(workspaceId, transcript));
    stopIfStopped(turn);
    outcome = await harness.runTurn(harnessTurn(deps, turn, system, shown, history), effects);
  } catch (error) {
    if (turn.stopped) return stoppedEnd(turn);
    if (error instanceof DatabaseUnavailable) throw error;
    if (error instanceof BlobsUnavailable) return FILES_UNAVAILABLE;
    deps.onBug(error, turn.sessionId);
    return failed("The turn failed inside the server. The server's log has the details.");
  }
  if (turn.stopped || outcome.type === "stopped") return stoppedEnd(turn);
  if (outcome.type === "failed") {
    const { retryAfterMs } = effects;
    return { type: "failed", error: { ...(retryAfterMs === null ? {} : { retryAfterMs }), ...outcome.error } };
  }
  if (outcome.stopReason === "refusal") return { type: "refusal", details: outcome.details };
  return { type: outcome.stopReason };
}

function failed(message: string, kind: SessionError["type"] = "unknown_error"): TurnEnd {
  return { type: "failed", error: { kind, message, disposition: "exhausted" } };
}

function stoppedEnd(turn: HeldTurn): TurnEnd {
  if (turn.stopped !== "step_limit") return { type: "interrupted" };
  const message = `The agent made ${turn.steps} model requests in one turn without coming to an end.`;
  return { type: "failed", error: { kind: "tool_use_limit_reached_error", message, disposition: "exhausted" } };
}

async function readMemory(db: Queryable, sessionId: string): Promise<TurnMemory> {
  return { transcript: await readTranscript(db, sessionId) };
}

/** Connects the agent's MCP servers, once for as long as the session runs, and says what came of it. */
async function openMcp(deps: RunHarnessDeps, turn: HeldTurn, transcript: readonly TranscriptRow[]): Promise<void> {
  for (const { id, body } of transcript) {
    const call = body.type === "agent.mcp_tool_use" ? turn.calls.get(id) : undefined;
    if (call) call.mcpServer = String(body.mcp_server_name);
  }
  if (turn.mcp) return;
  const events = [...(await policyErrors(deps, turn)), ...(await connectMcp(deps, turn))];
  stopIfStopped(turn);
  if (events.length > 0) await turnWriter(deps.log, turn)({ events });
  stopIfStopped(turn);
}

/** Said before the model is asked; the session goes on. */
async function policyErrors({ findPolicyErrors }: RunHarnessDeps, turn: HeldTurn): Promise<NewEvent[]> {
  if (turn.session.vault_ids.length === 0) return [];
  return (await findPolicyErrors(turn.sessionId)).map(errorEvent);
}

function historyOf(transcript: readonly TranscriptRow[]): HistoryEntry[] {
  return transcript.map((row) => {
    // The log was written from typed events; reading it back is not a border of trust.
    const event = { ...row.body, id: row.id, processed_at: row.processedAt.toISOString() } as SessionEvent;
    return row.native === null ? { event } : { event, native: row.native };
  });
}

function harnessTurn(
  deps: RunHarnessDeps,
  turn: HeldTurn,
  system: string | null,
  provider: ProviderConfig,
  history: HistoryEntry[],
): Turn {
  const agent = turn.session.agent;
  const model = agent.model as {
    id: string;
    effort?: { type: NonNullable<Turn["agent"]["model"]["effort"]> };
    speed?: "standard" | "fast";
  };
  return {
    sessionId: turn.sessionId,
    threadId: turn.threadId,
    agent: {
      name: turn.agentName,
      system,
      model: {
        id: model.id,
        ...(model.effort ? { effort: model.effort.type } : {}),
        ...(model.speed ? { speed: model.speed } : {}),
      },
      // An MCP server may change its list from one request to the next.
      get tools() {
        return toolDefinitions(deps, turn);
      },
    },
    provider,
    history,
    runnable: turn.runnable,
  };
}

function toolDefinitions(deps: RunHarnessDeps, turn: HeldTurn): ToolDefinition[] {
  const builtins = enabledBuiltins(turn.tools).flatMap((name) => deps.builtinTools.get(name) ?? []);
  const custom = turn.tools.flatMap((tool) =>
    tool.type === "custom" ? [{ name: tool.name, description: tool.description, inputSchema: tool.input_schema }] : [],
  );
  return [...builtins, ...(turn.mcp?.definitions ?? []), ...custom];
}
