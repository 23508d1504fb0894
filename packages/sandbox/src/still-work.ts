import type { PooledSandbox } from "./pooled-sandbox.ts";
import { SandboxError } from "./port.ts";

/** What is done while nothing of a session runs, each until the session goes on. */
export class StillWork {
  readonly #running = new Map<string, Set<AbortController>>();

  /** From now on files may change. */
  abort(sessionId: string): void {
    for (const work of this.#running.get(sessionId) ?? []) work.abort(new SandboxError("unavailable", "the session goes on"));
  }

  /** @param pooled idle, and frozen meanwhile; `null`: the session has none */
  async run<T>(sessionId: string, pooled: PooledSandbox | null, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const controller = new AbortController();
    const all = this.#running.get(sessionId) ?? new Set();
    this.#running.set(sessionId, all.add(controller));
    try {
      await pooled?.freeze();
      controller.signal.throwIfAborted();
      return await work(controller.signal);
    } finally {
      all.delete(controller);
      if (all.size === 0) {
        this.#running.delete(sessionId);
        await pooled?.unfreeze();
      }
    }
  }
}
