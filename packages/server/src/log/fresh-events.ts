import type { NewEvent } from "../domain/head.ts";
import type { ReadBound, StoredEvent } from "../store/events.ts";

/**
 * What this process has just written to sessions that it also streams: its streams, which hear of it at once, need not read
 * it again from the database. Nothing is kept beyond the current round of the event loop; what is not here is read.
 */
export class FreshEvents {
  readonly #followed = new Set<string>();
  readonly #fresh = new Map<string, StoredEvent[]>();

  follow(sessionId: string): void {
    this.#followed.add(sessionId);
  }

  unfollow(sessionId: string): void {
    this.#followed.delete(sessionId);
  }

  /** After the commit, and before anyone is told. `seq`: of the last one. */
  add(sessionId: string, events: readonly NewEvent[], { seq, at }: { seq: number; at: Date }): void {
    if (!this.#followed.has(sessionId)) return;
    if (this.#fresh.size === 0) setImmediate(() => this.#fresh.clear());
    const first = seq - events.length + 1;
    const stored = events.map(({ id, type, fields }, index) => {
      return { seq: first + index, id, type, processedAt: at, body: JSON.stringify({ type, ...fields }) };
    });
    this.#fresh.set(sessionId, [...(this.#fresh.get(sessionId) ?? []), ...stored]);
  }

  /** Those right behind `seq`, without a gap; none when others have written there. They are not given twice. */
  takeAfter(sessionId: string, seq: number, most: ReadBound): StoredEvent[] {
    const fresh = this.#fresh.get(sessionId) ?? [];
    this.#fresh.delete(sessionId);
    const taken: StoredEvent[] = [];
    let bytes = 0;
    // Two writes of this process may be heard of in the other order.
    for (const event of fresh.toSorted((a, b) => a.seq - b.seq)) {
      if (taken.length >= most.rows || bytes >= most.bytes) break;
      if (event.seq !== seq + taken.length + 1) continue;
      taken.push(event);
      bytes += event.body.length;
    }
    return taken;
  }
}
