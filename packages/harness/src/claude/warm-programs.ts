import type { ClaudeProcess } from "./claude-process.ts";

/** The programs of the threads that this server runs: one a thread, kept for a while after the turn. */
export interface WarmPrograms {
  take(threadId: string): ClaudeProcess | null;
  put(threadId: string, program: ClaudeProcess): void;
  /** The turn is over. */
  letIdle(threadId: string): void;
  /** Ends all and waits until they are gone. */
  close(): Promise<void>;
}

export function createWarmPrograms(idleMsMax: number): WarmPrograms {
  const programs = new Map<string, { program: ClaudeProcess; timer: NodeJS.Timeout | null }>();
  const living = new Set<ClaudeProcess>();
  const take = (threadId: string): ClaudeProcess | null => {
    const kept = programs.get(threadId);
    if (kept === undefined) return null;
    if (kept.timer !== null) clearTimeout(kept.timer);
    programs.delete(threadId);
    return kept.program;
  };
  return {
    take,
    put(threadId, program) {
      programs.set(threadId, { program, timer: null });
      if (living.has(program)) return;
      living.add(program);
      void program.ended.then(() => {
        living.delete(program);
        if (programs.get(threadId)?.program === program) take(threadId);
      });
    },
    letIdle(threadId) {
      const kept = programs.get(threadId);
      if (kept === undefined) return;
      if (kept.timer !== null) clearTimeout(kept.timer);
      kept.timer = setTimeout(() => kept.program.stop(), idleMsMax);
      kept.timer.unref();
    },
    async close() {
      const all = [...living];
      for (const program of all) program.stop();
      await Promise.all(all.map(({ ended }) => ended));
    },
  };
}
