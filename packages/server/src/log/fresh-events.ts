import type { NewEvent } from "../domain/head.ts";
import type { StoredEvent } from "../store/events.ts";

/** Of one session: a stream takes them at once, or reads the log as ever. */
const KEPT = { events: 64, bytes: 256 * 1024 };

/**
 * What this process has just written to sessions that it also streams: its streams need not read it again from the
 * database. Lost without harm: what is not here is read.
 */
export class FreshEvents {
  readonly #sessions = new Map<string, StoredEvent[]>();

  /** From now on the session's events are kept. */
  keep(sessionId: string): void {
    this.#sessions.set(sessionId, []);
  }

  forget(sessionId: string): void {
    this.#sessions.delete(sessionId);
  }

  /** After the commit, and before anyone is told. `seq`: of the last one. */
  add(sessionId: string, events: readonly NewEvent[], { seq, at }: { seq: number; at: Date }): void {
    const kept = this.#sessions.get(sessionId);
    if (kept === undefined) return;
    const first = seq - events.length + 1;
    for (const [index, { id, type, fields }] of events.entries())
      kept.push({ seq: first + index, id, type, processedAt: at, body: JSON.stringify({ type, ...fields }) });
    let bytes = kept.reduce((sum, { body }) => sum + body.length, 0);
    while (kept.length > KEPT.events || bytes > KEPT.bytes) bytes -= kept.shift()?.body.length ?? bytes;
  }

  /** Those right behind `seq`, without a gap; none when others have written there. They are kept no longer. */
  takeAfter(sessionId: string, seq: number): StoredEvent[] {
    const kept = this.#sessions.get(sessionId);
    if (kept === undefined || kept.length === 0) return [];
    this.#sessions.set(sessionId, []);
    const taken: StoredEvent[] = [];
    // Two writes of this process may be heard of in the other order.
    for (const event of kept.toSorted((a, b) => a.seq - b.seq)) if (event.seq === seq + taken.length + 1) taken.push(event);
    return taken;
  }
}
