import { SandboxError } from "./port.ts";

/** A counted resource with a bounded queue, first come first served. */
export class Slots {
  readonly #capacity: number;
  readonly #queueMax: number;
  readonly #waiting: (() => void)[] = [];
  #taken = 0;

  constructor(capacity: number, queueMax: number) {
    this.#capacity = capacity;
    this.#queueMax = queueMax;
  }

  get taken(): number {
    return this.#taken;
  }

  get queued(): number {
    return this.#waiting.length;
  }

  get isFull(): boolean {
    return this.#taken >= this.#capacity;
  }

  /** @returns whether there was one free */
  tryTake(): boolean {
    if (this.isFull) return false;
    this.#taken++;
    return true;
  }

  /** @throws SandboxError `limit` when the queue is full */
  async take(): Promise<void> {
    if (this.tryTake()) return;
    if (this.#waiting.length >= this.#queueMax)
      throw new SandboxError("limit", `${this.#queueMax} callers wait for a sandbox already`);
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Gives it to the first in the queue, else back. */
  give(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#taken--;
    else next();
  }
}
