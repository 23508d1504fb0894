/** Why a call was cut short, in the words of its result. */
export class CallCut extends Error {}

/** The caller's abort and the call's time limit as one thing to wait against. */
export class CallLimit {
  readonly #abort = new AbortController();
  readonly #outer: AbortSignal | undefined;
  readonly #onOuterAbort = (): void => this.#abort.abort(new CallCut("This operation was aborted"));
  #timer: NodeJS.Timeout;

  constructor(timeoutMs: number, outer: AbortSignal | undefined) {
    this.#outer = outer;
    this.#timer = this.#startTimer(timeoutMs, `timed out after ${timeoutMs}ms`);
    outer?.addEventListener("abort", this.#onOuterAbort, { once: true });
    if (outer?.aborted === true) this.#onOuterAbort();
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** A tool's own, from now on; the call's still holds when it is nearer. */
  shorten(timeoutMs: number): void {
    const timer = this.#startTimer(timeoutMs, `bash command timed out after ${timeoutMs}ms`);
    this.signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  }

  /** @throws CallCut as soon as the call is over, whatever becomes of `work` */
  race<T>(work: Promise<T>): Promise<T> {
    const { signal } = this;
    return new Promise((resolve, reject) => {
      const cut = (): void => reject(signal.reason as CallCut);
      if (signal.aborted) cut();
      signal.addEventListener("abort", cut, { once: true });
      work.then(resolve, reject).finally(() => signal.removeEventListener("abort", cut));
    });
  }

  release(): void {
    clearTimeout(this.#timer);
    this.#outer?.removeEventListener("abort", this.#onOuterAbort);
    // Lets go of the second timer; nobody waits any more.
    this.#abort.abort(new CallCut("over"));
  }

  #startTimer(timeoutMs: number, message: string): NodeJS.Timeout {
    return setTimeout(() => this.#abort.abort(new CallCut(message)), timeoutMs);
  }
}
