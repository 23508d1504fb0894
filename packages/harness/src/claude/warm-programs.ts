import type { ClaudeProcess } from "./claude-process.ts";

/** Programs without a turn that one server keeps, of some 200 MB each. */
const IDLE_PROGRAMS_MAX = 16;

type Program = Pick<ClaudeProcess, "stop" | "ended">;

/** The programs of the threads that this server runs: one a thread, kept for a while after the turn. */
export interface WarmPrograms<P extends Program = ClaudeProcess> {
  take(threadId: string): P | null;
  put(threadId: string, program: P): void;
  /** The turn is over. Of too many that have none, the one that waits longest is stopped. */
  letIdle(threadId: string): void;
  /** Ends all and waits until they are gone. */
  close(): Promise<void>;
}

export function createWarmPrograms<P extends Program = ClaudeProcess>(
  idleMsMax: number,
  idleProgramsMax: number = IDLE_PROGRAMS_MAX,
): WarmPrograms<P> {
  /** In the order in which their turns have ended. */
  const programs = new Map<string, { program: P; timer: NodeJS.Timeout | null }>();
  const living = new Set<P>();
  const take = (threadId: string): P | null => {
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
      programs.delete(threadId);
      programs.set(threadId, kept);
      const idle = [...programs.values()].filter(({ timer }) => timer !== null);
      for (const { program } of idle.slice(0, Math.max(0, idle.length - idleProgramsMax))) program.stop();
    },
    async close() {
      const all = [...living];
      for (const program of all) program.stop();
      await Promise.all(all.map(({ ended }) => ended));
    },
  };
}
