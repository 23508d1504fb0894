import {
  type CallDisposition,
  type Effects,
  type HarnessSandbox,
  type Step,
  type StepTiming,
  type ToolResult,
  TurnStopped,
} from "@sandbox0/harness";
import { createId, type ModelUsage, type SessionEvent } from "@sandbox0/protocol";
import type { InboxRow, TurnEnding } from "../domain/head.ts";
import { newEvent, promoted, resultEvent } from "../domain/lifecycle-events.ts";
import type { Judgement } from "../domain/permissions.ts";
import { callsToJudge, planStep, STEPS_PER_TURN_MAX } from "../domain/step.ts";
import type { Bells } from "../log/bells.ts";
import type { EventLog } from "../log/event-log.ts";
import type { MeasuredRequests } from "../policy/measured-requests.ts";
import type { SpanEnd } from "../store/append.ts";
import type { Judge } from "./judge.ts";
import { measuredStep } from "./measured-step.ts";
import type { TurnMeter } from "./meter.ts";
import { type McpDeps, refreshMcp, runMcpTool } from "./mcp-turn.ts";
import { type HeldTurn, modelOf, stopTurn } from "./turn.ts";
import { turnWriter, type TurnWrite } from "./turn-writer.ts";

export interface EffectsDeps extends McpDeps {
  log: EventLog;
  bells: Bells;
  /** Runs one built-in tool, in the session's sandbox or here; what cannot be had is an error result, not a throw. */
  runTool(turn: HeldTurn, call: { id: string; name: string; input: Record<string, unknown> }): Promise<ToolResult>;
  /** The session's sandbox, for a harness that runs in it. @throws SandboxError */
  openSandbox(turn: HeldTurn): Promise<HarnessSandbox>;
  /** Requests that went through the model gateway. */
  measured: Pick<MeasuredRequests, "take">;
  /** Decides calls under permission policy `auto`; without one they are asked for. */
  judge: Judge | null;
  meter: TurnMeter;
  /** What so many tokens cost by the list, in USD; `null`: the model has no price. */
  costOf(model: string, tokens: { input: number; output: number; cacheRead: number; cacheWrite: number }): number | null;
}

const NO_USAGE: ModelUsage = { input_tokens: 0, output_tokens: 0, cache_creation_input_tokens: 0, cache_read_input_tokens: 0 };

export interface TurnEffects extends Effects {
  /** When the provider failed the last request of a program in the sandbox: what it asked for, which programs do not tell. */
  readonly retryAfterMs: number | null;
}

/** The one boundary that a harness acts through: everything here is fenced, and ends the turn when it must end. */
export function createEffects(deps: EffectsDeps, turn: HeldTurn): TurnEffects {
  const offsets = new Map<string, number>();
  let retryAfterMs: number | null = null;
  const write = turnWriter(deps.log, turn);
  return {
    get retryAfterMs() {
      return retryAfterMs;
    },
    signal: turn.controller.signal,
    now: () => new Date(),
    newEventId: () => createId("event"),
    startStep: () => startStep(turn, write),
    finishStep(spanId, step) {
      const { usage, timing } = measuredStep(deps.measured, turn.sessionId, step);
      deps.meter.modelRequest(false, timing);
      return finishStep(deps, turn, write, spanId, { ...step, usage: usage ?? step.usage, timing });
    },
    async failStep(spanId, failure) {
      const told = measuredStep(deps.measured, turn.sessionId, failure);
      const usage = told.usage ?? NO_USAGE;
      retryAfterMs = told.retryAfterMs;
      deps.meter.modelRequest(true, told.timing);
      // What an interrupt cut was paid for all the same, as far as the provider had said so.
      if (turn.stopped !== "interrupted") stopIfStopped(turn);
      await write({
        events: [spanEndEvent(spanId, true, usage)],
        spanEnds: [spanEnd(spanId, true, usage, told.timing)],
        patch: { addUsage: { ...usageDelta(usage), costUsd: costUsd(deps, turn, usage) } },
      });
      stopIfStopped(turn);
    },
    async executeTool(callId) {
      const call = turn.calls.get(callId);
      if (!call) throw new Error(`the harness ran ${callId}, which is not an open call of its turn`);
      stopIfStopped(turn);
      const startedAtMs = performance.now();
      const { result, events } =
        call.kind === "mcp" ? await runMcpTool(deps, turn, call) : { result: await deps.runTool(turn, call), events: [] };
      deps.meter.toolCall(call.kind, result.isError, performance.now() - startedAtMs);
      // What an interrupt did not cut is said: told to try again, the model would do it twice.
      if (turn.stopped !== "interrupted" || result.isError) stopIfStopped(turn);
      await write({ events: [...events, resultEvent(call, result.content, result.isError)], finishedCalls: [callId] });
      turn.calls.delete(callId);
      stopIfStopped(turn);
      return result;
    },
    async openSandbox() {
      stopIfStopped(turn);
      const sandbox = await deps.openSandbox(turn);
      stopIfStopped(turn);
      return sandbox;
    },
    preview(preview) {
      if (preview.type === "start") {
        deps.bells.preview(turn.sessionId, preview);
        return;
      }
      const key = `${preview.eventId} ${preview.index}`;
      const offset = offsets.get(key) ?? 0;
      offsets.set(key, offset + preview.text.length);
      deps.bells.preview(turn.sessionId, { ...preview, offset });
    },
  };
}

export function stopIfStopped(turn: HeldTurn): void {
  if (turn.stopped) throw new TurnStopped(turn.stopped);
}

async function startStep(turn: HeldTurn, write: TurnWrite): ReturnType<Effects["startStep"]> {
  stopIfStopped(turn);
  if (turn.openSpan) {
    const spanId = turn.openSpan;
    turn.openSpan = null;
    return { spanId, promoted: [] };
  }
  if (turn.steps >= STEPS_PER_TURN_MAX) {
    stopTurn(turn, "step_limit");
    throw new TurnStopped("step_limit");
  }
  await refreshMcp(turn);
  stopIfStopped(turn);
  const start = newEvent("span.model_request_start", {});
  const instructions = turn.instructions.splice(0);
  const { at } = await write({
    events: [...instructions.map(promoted), start],
    patch: { steps: turn.steps + 1, ending: null },
    takenInputs: instructions.map(({ position }) => position),
    spanStart: { id: start.id, model: modelOf(turn) },
  });
  turn.steps += 1;
  stopIfStopped(turn);
  return { spanId: start.id, promoted: instructions.map((row) => ({ event: loggedEvent(row, at) })) };
}

function loggedEvent({ id, type, fields }: InboxRow, at: Date): SessionEvent {
  // It was admitted as a typed event.
  return { ...fields, id, type, processed_at: at.toISOString() } as SessionEvent;
}

async function finishStep(
  deps: Pick<EffectsDeps, "judge" | "costOf">,
  turn: HeldTurn,
  write: TurnWrite,
  spanId: string,
  step: Step,
): Promise<CallDisposition[]> {
  stopIfStopped(turn);
  const plan = planStep(turn.tools, spanId, step, await judgements(deps.judge, turn, step));
  stopIfStopped(turn);
  await write({
    events: plan.events,
    calls: plan.calls,
    spanEnds: [spanEnd(spanId, false, step.usage, step.timing)],
    patch: { attempts: 0, addUsage: { ...usageDelta(step.usage), costUsd: costUsd(deps, turn, step.usage) }, ...endingOf(step) },
    ...(step.native === undefined ? {} : { native: { index: plan.spanEndIndex, value: step.native } }),
  });
  for (const call of plan.calls) {
    if (!call.finished) turn.calls.set(call.id, { ...call, confirmed: null, answer: null, answerId: null, denyMessage: null });
  }
  stopIfStopped(turn);
  return plan.fates.map((fate) =>
    fate.action === "answered"
      ? { id: fate.id, action: "answered", result: { content: [{ type: "text", text: fate.text }], isError: true } }
      : fate,
  );
}

/** Before anything of the response is written: its events show how each call was judged. */
async function judgements(judge: Judge | null, turn: HeldTurn, step: Step): Promise<Map<string, Judgement>> {
  const calls = judge === null ? [] : callsToJudge(turn.tools, step);
  if (judge === null || calls.length === 0) return new Map();
  const said = (step.message?.content ?? []).map((block) => (block.type === "text" ? block.text : "")).join("\n");
  const { sessionId } = turn;
  const system = (turn.session.agent.system ?? null) as string | null;
  const judged = await judge.judge({ sessionId, system, said }, calls, turn.controller.signal);
  return new Map(calls.map((call, index) => [call.id, judged[index] as Judgement]));
}

/** A response without calls is the turn's last. Stored with it, so that a crash before the turn is settled asks nobody again. */
function endingOf(step: Step): { ending?: TurnEnding } {
  if (step.calls.length > 0) return {};
  return { ending: step.refusal ? { type: "refusal", details: step.refusal } : { type: "end_turn" } };
}

function spanEndEvent(spanId: string, isError: boolean, usage: ModelUsage) {
  return newEvent("span.model_request_end", { model_request_start_id: spanId, is_error: isError, model_usage: usage });
}

function costUsd({ costOf }: Pick<EffectsDeps, "costOf">, turn: HeldTurn, usage: ModelUsage): number | null {
  return costOf(modelOf(turn), {
    input: usage.input_tokens,
    output: usage.output_tokens,
    cacheRead: usage.cache_read_input_tokens,
    cacheWrite: usage.cache_creation_input_tokens,
  });
}

function usageDelta(usage: ModelUsage) {
  return {
    inputTokens: usage.input_tokens,
    outputTokens: usage.output_tokens,
    cacheReadTokens: usage.cache_read_input_tokens,
    cacheWriteTokens: usage.cache_creation_input_tokens,
  };
}

function spanEnd(id: string, failed: boolean, usage: ModelUsage, timing: StepTiming): SpanEnd {
  return { id, failed, firstTokenMs: timing.firstTokenMs, totalMs: timing.totalMs, ...usageDelta(usage) };
}
