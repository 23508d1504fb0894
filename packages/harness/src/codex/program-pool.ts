import type { HarnessSandbox } from "../port.ts";
import { AppServer, ProgramFailed } from "./app-server.ts";
import { Conversation, type ConversationTimes } from "./conversation.ts";
import type { Launch } from "./launch.ts";

/** Programs without a turn that one server keeps, of up to 150 MB each. */
const IDLE_PROGRAMS_MAX = 16;

export interface PoolTimes extends ConversationTimes {
  /** A program is kept for so long after its turn. */
  idleMs: number;
  /** How long the program may take for an answer of its own, also its first one. */
  answerMs: number;
}

interface Kept {
  /** The same sandbox and the same launch. */
  key: string;
  opening: Promise<Conversation>;
  /** Ends it, whether it has come up or not. */
  end: AbortController;
  /** `null` while a turn has it. */
  idle: NodeJS.Timeout | null;
}

/** One program for each thread that runs a turn or did so a moment ago. */
export class ProgramPool {
  readonly #times: PoolTimes;
  readonly #idleMax: number;
  /** In the order in which their turns have ended. */
  readonly #kept = new Map<string, Kept>();
  #isClosed = false;

  constructor(times: PoolTimes, idleMax: number = IDLE_PROGRAMS_MAX) {
    this.#times = times;
    this.#idleMax = idleMax;
  }

  /** The thread's program, for a turn that gives it back with `release`. @throws ProgramFailed, SandboxError */
  async take(threadId: string, sandbox: HarnessSandbox, launch: Launch): Promise<Conversation> {
    const key = JSON.stringify([sandbox.id, launch]);
    const kept = this.#kept.get(threadId);
    if (kept !== undefined) {
      if (kept.idle !== null) clearTimeout(kept.idle);
      kept.idle = null;
      if (kept.key === key) {
        const conversation = await kept.opening;
        if (conversation.isUsable) return conversation;
      }
      this.discard(threadId);
    }
    if (this.#isClosed) throw new ProgramFailed("The server is stopping.");
    const end = new AbortController();
    const opening = this.#open(sandbox, launch, end.signal);
    this.#kept.set(threadId, { key, opening, end, idle: null });
    // Whoever waits for it is told.
    opening.catch(() => this.#forget(threadId, opening));
    return opening;
  }

  /** The turn is over; the program waits for the next one for a while, unless too many do. */
  release(threadId: string): void {
    const kept = this.#kept.get(threadId);
    if (kept === undefined || kept.idle !== null) return;
    kept.idle = setTimeout(() => this.discard(threadId), this.#times.idleMs);
    kept.idle.unref();
    this.#kept.delete(threadId);
    this.#kept.set(threadId, kept);
    const idle = [...this.#kept].filter(([, { idle }]) => idle !== null);
    for (const [longest] of idle.slice(0, Math.max(0, idle.length - this.#idleMax))) this.discard(longest);
  }

  /** Ends the thread's program, if it has one. */
  discard(threadId: string): void {
    const kept = this.#kept.get(threadId);
    if (kept === undefined) return;
    this.#kept.delete(threadId);
    if (kept.idle !== null) clearTimeout(kept.idle);
    kept.end.abort();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const opening = [...this.#kept.values()].map((kept) => kept.opening);
    for (const threadId of [...this.#kept.keys()]) this.discard(threadId);
    await Promise.allSettled(opening);
  }

  async #open(sandbox: HarnessSandbox, launch: Launch, signal: AbortSignal): Promise<Conversation> {
    return new Conversation(await AppServer.start(sandbox, launch, this.#times.answerMs, signal), this.#times);
  }

  #forget(threadId: string, opening: Promise<Conversation>): void {
    if (this.#kept.get(threadId)?.opening === opening) this.#kept.delete(threadId);
  }
}
