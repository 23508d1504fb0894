import type { ModelAnswer } from "../loop/model-answer.ts";
import type { AskModel } from "../loop/run-turn.ts";
import type { Effects, Turn } from "../port.ts";
import { ClaudeProcess, type Ending, type ProcessDeps, ProgramLost } from "./claude-process.ts";
import type { NativeStep } from "./native.ts";
import { createResponseReader, type ResponseReader } from "./read-response.ts";
import { type Message, toConversation } from "./translate.ts";
import { programFailed, toTurnError } from "./turn-error.ts";
import type { WarmPrograms } from "./warm-programs.ts";

/** A program that is lost is started again from the log, once. */
const STARTS_MAX = 2;

export interface AskDeps extends ProcessDeps {
  warm: WarmPrograms;
}

/** Has Claude Code in the session's sandbox ask the model once, with the conversation as the log has it. */
export function createAskClaude({ warm, ...deps }: AskDeps, effects: Effects): AskModel {
  const open = async (turn: Turn, conversation: readonly Message[]): Promise<{ program: ClaudeProcess; token: string }> => {
    const sandbox = await effects.openSandbox();
    const token = sandbox.modelGateway.apiKey;
    const kept = warm.take(turn.threadId);
    if (kept?.canProceed(turn, sandbox.id, conversation) === true) {
      warm.put(turn.threadId, kept);
      await kept.proceed(conversation);
      return { program: kept, token };
    }
    kept?.stop();
    await kept?.ended;
    const program = new ClaudeProcess(deps, turn, sandbox, conversation);
    warm.put(turn.threadId, program);
    return { program, token };
  };

  const ask = async (turn: Turn, conversation: readonly Message[], reader: ResponseReader): Promise<ModelAnswer> => {
    const { program, token } = await open(turn, conversation);
    const stop = (): void => program.stop();
    effects.signal.addEventListener("abort", stop, { once: true });
    if (effects.signal.aborted) stop();
    let ending: Ending;
    try {
      ending = await program.respond(reader);
    } finally {
      effects.signal.removeEventListener("abort", stop);
    }
    const timing = reader.timing();
    if (ending.type === "failed")
      return { type: "failed", error: toTurnError(ending.error, token), usage: reader.usage(), timing };
    const { step, refusal } = reader.step(turn.agent.model.id);
    if (refusal === null) program.keep((step.native as NativeStep).content);
    return { type: "finished", step, refusal };
  };

  return async (turn, transcript) => {
    const conversation = toConversation(transcript.items, turn.agent.model.id);
    for (let start = 1; ; start++) {
      const reader = createResponseReader(effects);
      try {
        return await ask(turn, conversation, reader);
      } catch (error) {
        if (!(error instanceof ProgramLost)) throw error;
        const failure = { usage: reader.usage(), timing: reader.timing() };
        if (effects.signal.aborted) return { type: "aborted", ...failure };
        if (start === STARTS_MAX)
          return { type: "failed", error: programFailed(`Claude Code stopped: ${error.message}`), ...failure };
      }
    }
  };
}
