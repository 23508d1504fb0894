import type { Sandbox, Volume } from "./port.ts";
import type { ToolClient } from "./tool-server/tool-client.ts";

export interface IdleTimes {
  pauseAfterMs: number;
  destroyAfterMs: number;
}

/**
 * One living sandbox of a pool with what happens to it while nobody uses it: paused after a while, destroyed later.
 * Its changes run one after the other, so a claim that meets a pause gets it resumed.
 */
export class PooledSandbox {
  readonly volume: Volume;
  readonly sandbox: Sandbox;
  readonly tools: ToolClient;
  readonly #times: IdleTimes;
  readonly #onProblem: (problem: Error) => void;
  #state: "active" | "idle" | "paused" | "destroyed" = "active";
  #idleSinceMs = 0;
  /** Idle, and stopped for a moment. */
  #isFrozen = false;
  /** Told when it was paused because nobody used it. */
  onPause: () => void = () => undefined;
  #timer: NodeJS.Timeout | null = null;
  #lastChange: Promise<void> = Promise.resolve();

  constructor(volume: Volume, sandbox: Sandbox, tools: ToolClient, times: IdleTimes, onProblem: (problem: Error) => void) {
    this.volume = volume;
    this.sandbox = sandbox;
    this.tools = tools;
    this.#times = times;
    this.#onProblem = onProblem;
    void sandbox.gone.then(() => this.#become("destroyed"));
  }

  get state(): "active" | "idle" | "paused" | "destroyed" {
    return this.#state;
  }

  get idleSinceMs(): number {
    return this.#idleSinceMs;
  }

  /** @returns false when it is gone and another one is needed */
  async use(): Promise<boolean> {
    const wasPaused = this.#state === "paused" || this.#isFrozen;
    this.#isFrozen = false;
    if (this.#state !== "destroyed") this.#become("active");
    if (wasPaused) await this.#change(() => this.sandbox.resume()).catch((error: unknown) => this.#giveUp(error));
    return this.state !== "destroyed";
  }

  /** What can neither be paused nor resumed is of no use to anybody. */
  async #giveUp(error: unknown): Promise<void> {
    this.#onProblem(error instanceof Error ? error : new Error(String(error)));
    await this.destroy();
  }

  letIdle(): void {
    if (this.#state !== "active") return;
    this.#become("idle");
    this.#idleSinceMs = Date.now();
    this.#after(this.#times.pauseAfterMs, () => this.#pause());
  }

  /** While it is idle: nothing in it runs until `unfreeze`, or until it is used. */
  async freeze(): Promise<void> {
    if (this.#state !== "idle" || this.#isFrozen) return;
    this.#isFrozen = true;
    await this.#change(() => this.sandbox.pause()).catch((error: unknown) => this.#giveUp(error));
  }

  async unfreeze(): Promise<void> {
    const isIdle = this.#isFrozen && this.#state === "idle";
    this.#isFrozen = false;
    if (isIdle) await this.#change(() => this.sandbox.resume()).catch((error: unknown) => this.#giveUp(error));
  }

  destroy(): Promise<void> {
    this.#become("destroyed");
    return this.#change(() => this.sandbox.destroy());
  }

  async #pause(): Promise<void> {
    if (this.tools.callsRunning > 0) {
      this.#after(this.#times.pauseAfterMs, () => this.#pause());
      return;
    }
    this.#become("paused");
    this.#after(this.#times.destroyAfterMs, () => this.destroy());
    await this.#change(() => this.sandbox.pause()).catch((error: unknown) => this.#giveUp(error));
    if (this.state === "paused") this.onPause();
  }

  #become(state: "active" | "idle" | "paused" | "destroyed"): void {
    this.#state = state;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #after(ms: number, work: () => Promise<void>): void {
    this.#timer = setTimeout(() => {
      work().catch((error: unknown) => this.#onProblem(error instanceof Error ? error : new Error(String(error))));
    }, ms);
    this.#timer.unref();
  }

  #change(work: () => Promise<void>): Promise<void> {
    const change = this.#lastChange.then(work);
    this.#lastChange = change.catch(() => undefined);
    return change;
  }
}
