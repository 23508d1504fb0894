import { runTurn } from "../loop/run-turn.ts";
import { type Harness, type HarnessProgram, TurnStopped } from "../port.ts";
import { createAsker } from "./ask-codex.ts";
import { type PoolTimes, ProgramPool } from "./program-pool.ts";

export interface CodexOptions {
  /** From `findCodexProgram`; sandboxes must show it. */
  program: HarnessProgram;
  times?: Partial<CodexTimes>;
}

export interface CodexTimes extends PoolTimes {
  /** How long the model may be silent in the middle of a response. */
  modelIdleMs: number;
}

export interface Codex extends Harness {
  readonly name: "codex";
  /** Ends every program. For shutdown, after the last turn. */
  close(): Promise<void>;
}

const CODEX_TIMES: CodexTimes = {
  idleMs: 20_000,
  answerMs: 30_000,
  modelIdleMs: 300_000,
  // Longer than the program itself waits for the model.
  silenceMs: 330_000,
};

/**
 * Codex in the session's sandbox (design §5). Codex asks the model; its own tools are off, because it would run some of
 * them before they are on the log, and ours are offered to it instead. The log is all there is of state.
 */
export function createCodex(options: CodexOptions): Codex {
  const times = { ...CODEX_TIMES, ...options.times };
  const pool = new ProgramPool(times);
  return {
    name: "codex",
    capabilities: { placement: "agent-in-sandbox", apis: ["openai-responses"] },
    async runTurn(turn, effects) {
      const asker = createAsker(pool, options.program, times.modelIdleMs);
      // A turn that has calls to run may end behind them, without a question to the model.
      if (turn.runnable.length === 0) asker.prepare(turn, effects);
      try {
        return await runTurn(turn, effects, asker.ask);
      } catch (error) {
        if (error instanceof TurnStopped) return { type: "stopped" };
        throw error;
      } finally {
        pool.release(turn.threadId);
      }
    },
    close: () => pool.close(),
  };
}
