import type { PooledSandbox } from "./pooled-sandbox.ts";
import type { Equipment, Sandbox } from "./port.ts";

/** A sandbox of the server's own, on an empty volume. */
export interface BorrowedSandbox {
  sandbox: Sandbox;
  /** Destroys it with its volume; idempotent. */
  end(): Promise<void>;
}

export interface BorrowedSandboxesDeps {
  /** On a new volume. */
  start(equipment: Equipment | null): Promise<PooledSandbox>;
  /** With its volume. */
  remove(pooled: PooledSandbox): Promise<void>;
}

/** Sandboxes in which the server works for sessions, and nothing of any session is. */
export class BorrowedSandboxes {
  readonly #deps: BorrowedSandboxesDeps;
  /** By sandbox. */
  readonly #lent = new Map<string, { sessionId: string; pooled: PooledSandbox }>();

  constructor(deps: BorrowedSandboxesDeps) {
    this.#deps = deps;
  }

  async borrow(sessionId: string, equipment: Equipment | null): Promise<BorrowedSandbox> {
    const pooled = await this.#deps.start(equipment);
    const { sandbox } = pooled;
    this.#lent.set(sandbox.id, { sessionId, pooled });
    return { sandbox, end: () => this.#end(sandbox.id) };
  }

  /** For whom it is borrowed; `null`: it is not. */
  sessionOf(sandboxId: string): string | null {
    return this.#lent.get(sandboxId)?.sessionId ?? null;
  }

  /** Ends all of them. */
  endAll(): Promise<void>[] {
    return [...this.#lent.keys()].map((sandboxId) => this.#end(sandboxId));
  }

  async #end(sandboxId: string): Promise<void> {
    const lent = this.#lent.get(sandboxId);
    if (lent === undefined) return;
    this.#lent.delete(sandboxId);
    await this.#deps.remove(lent.pooled);
  }
}
