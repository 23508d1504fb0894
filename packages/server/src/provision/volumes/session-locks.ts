/** One piece of work a session at a time, in this process. */
export class SessionLocks {
  readonly #last = new Map<string, Promise<void>>();

  async run<T>(sessionId: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(sessionId) ?? Promise.resolve();
    const done = Promise.withResolvers<void>();
    this.#last.set(sessionId, done.promise);
    try {
      await before;
      return await work();
    } finally {
      done.resolve();
      if (this.#last.get(sessionId) === done.promise) this.#last.delete(sessionId);
    }
  }
}
