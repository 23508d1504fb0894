import { runTurn } from "../loop/run-turn.ts";
import { type Harness, type HarnessProgram, TurnStopped } from "../port.ts";
import { createAskClaude } from "./ask-claude.ts";
import { CLAUDE_TIMES, type ClaudeTimes } from "./claude-process.ts";
import { type ClaudeSdk, loadClaudeSdk } from "./load-sdk.ts";
import { createWarmPrograms } from "./warm-programs.ts";

export interface ClaudeOptions {
  /** From `findClaudeProgram`; the sandboxes see its directory. */
  program: HarnessProgram;
  times?: Partial<ClaudeTimes>;
}

export interface Claude extends Harness {
  readonly name: "claude";
  /** Ends every program. For shutdown, after the last turn. */
  close(): Promise<void>;
}

/** Claude Code in the session's sandbox (design §5): it keeps the conversation and asks the model, the session does the rest. */
export function createClaude({ program, times: given = {} }: ClaudeOptions): Claude {
  const times = { ...CLAUDE_TIMES, ...given };
  const warm = createWarmPrograms(times.idleMsMax);
  let loading: Promise<ClaudeSdk> | null = null;
  const load = (): Promise<ClaudeSdk> => (loading ??= loadClaudeSdk());
  return {
    name: "claude",
    capabilities: { placement: "agent-in-sandbox", apis: ["anthropic-messages"] },
    async runTurn(turn, effects) {
      const deps = { sdk: await load(), version: program.version, times, warm };
      try {
        return await runTurn(turn, effects, createAskClaude(deps, effects));
      } catch (error) {
        if (error instanceof TurnStopped) return { type: "stopped" };
        throw error;
      } finally {
        warm.letIdle(turn.threadId);
      }
    },
    close: warm.close,
  };
}
