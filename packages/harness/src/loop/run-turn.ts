import type { CallDisposition, Effects, Step, Turn, TurnOutcome } from "../port.ts";
import type { ModelAnswer } from "./model-answer.ts";
import { createTranscript, type Transcript } from "./transcript.ts";

/** More calls than this of one response wait for each other. */
const CALLS_AT_ONCE_MAX = 16;

export type AskModel = (turn: Turn, transcript: Transcript, effects: Effects) => Promise<ModelAnswer>;

/**
 * One turn: run what may run, ask the model, run what it asks for, and so on. Every line that matters is an effect, and
 * the transcript is all there is of state, so the turn can end at any effect and go on from the log.
 * @throws TurnStopped from the effects
 */
export async function runTurn(turn: Turn, effects: Effects, askModel: AskModel): Promise<TurnOutcome> {
  const transcript = createTranscript(turn.history);
  await runCalls(turn.runnable, transcript, effects);
  for (;;) {
    if (transcript.waiting().length > 0) return { type: "idle", stopReason: "requires_action" };
    const { spanId, promoted } = await effects.startStep();
    transcript.append(promoted);
    const answer = await askModel(turn, transcript, effects);
    if (answer.type !== "finished") {
      await effects.failStep(spanId, { usage: answer.usage, timing: answer.timing });
      return answer.type === "aborted" ? { type: "stopped" } : { type: "failed", error: answer.error };
    }
    const dispositions = await effects.finishStep(spanId, answer.step);
    if (answer.refusal !== null) return { type: "idle", stopReason: "refusal", details: answer.refusal };
    if (answer.step.calls.length === 0) return { type: "idle", stopReason: "end_turn" };
    await takeUp(answer.step, dispositions, transcript, effects);
  }
}

async function takeUp(
  step: Step,
  dispositions: readonly CallDisposition[],
  transcript: Transcript,
  effects: Effects,
): Promise<void> {
  transcript.appendStep(step);
  for (const disposition of dispositions) {
    if (disposition.action === "answered") transcript.answer(disposition.id, disposition.result);
  }
  const run = dispositions.filter((disposition) => disposition.action === "run");
  await runCalls(
    run.map((disposition) => disposition.id),
    transcript,
    effects,
  );
}

/** Runs the calls side by side. When one throws, the others are waited for, so that nothing runs on unseen. */
async function runCalls(callIds: readonly string[], transcript: Transcript, effects: Effects): Promise<void> {
  const rest = [...callIds];
  const lane = async (): Promise<void> => {
    for (let callId = rest.shift(); callId !== undefined; callId = rest.shift()) {
      transcript.answer(callId, await effects.executeTool(callId));
    }
  };
  const lanes = Array.from({ length: Math.min(CALLS_AT_ONCE_MAX, callIds.length) }, lane);
  for (const outcome of await Promise.allSettled(lanes)) {
    if (outcome.status === "rejected") throw outcome.reason;
  }
}
