/**
 * Who may build now. A workspace has one turn at a time, and each that waits gets one before any gets its next: whoever asks
 * for many builds, or for long ones, holds up its own.
 */
export class BuildTurns {
  readonly #turnsMax: number;
  /** Workspaces that have a turn. */
  readonly #taken = new Set<string>();
  /** By workspace; the first in it is the next, and one whose turn is over goes to the end. */
  readonly #waiting = new Map<string, (() => void)[]>();

  /** @param turnsMax at the same time, of all workspaces */
  constructor(turnsMax: number) {
    this.#turnsMax = turnsMax;
  }

  /** @param signal who waits no more when it is aborted @throws its reason */
  async take(workspaceId: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const turn = Promise.withResolvers<void>();
    const queue = this.#waiting.get(workspaceId) ?? [];
    this.#waiting.set(workspaceId, queue);
    queue.push(turn.resolve);
    const leave = (): void => {
      const index = queue.indexOf(turn.resolve);
      // It has its turn already.
      if (index === -1) return;
      queue.splice(index, 1);
      if (queue.length === 0) this.#waiting.delete(workspaceId);
      turn.reject(signal.reason);
    };
    signal.addEventListener("abort", leave, { once: true });
    this.#giveOut();
    try {
      await turn.promise;
    } finally {
      signal.removeEventListener("abort", leave);
    }
  }

  give(workspaceId: string): void {
    this.#taken.delete(workspaceId);
    const queue = this.#waiting.get(workspaceId);
    if (queue !== undefined) {
      this.#waiting.delete(workspaceId);
      this.#waiting.set(workspaceId, queue);
    }
    this.#giveOut();
  }

  #giveOut(): void {
    for (const [workspaceId, queue] of [...this.#waiting]) {
      if (this.#taken.size >= this.#turnsMax) return;
      if (this.#taken.has(workspaceId)) continue;
      this.#taken.add(workspaceId);
      queue.shift()?.();
      if (queue.length === 0) this.#waiting.delete(workspaceId);
    }
  }
}
