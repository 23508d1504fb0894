import { setTimeout as delay } from "node:timers/promises";
import type pg from "pg";

const POLL_MS = 15;
/** A loaded machine must still pass. */
const TIMEOUT_MS = 90_000;

interface Waiting {
  resolve(): void;
  reject(error: Error): void;
  until: number;
}

/** Waits for sessions to come to rest, with one look for all that are waited for. */
export class RestWatch {
  private readonly db: pg.Pool;
  private readonly waiting = new Map<string, Waiting[]>();
  private isLooking = false;

  constructor(db: pg.Pool) {
    this.db = db;
  }

  /** Resolves when nothing runs, nothing is due and nobody holds it. Rejects after a minute and a half. */
  untilRest(sessionId: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const others = this.waiting.get(sessionId) ?? [];
      this.waiting.set(sessionId, [...others, { resolve, reject, until: performance.now() + TIMEOUT_MS }]);
      if (!this.isLooking) void this.look();
    });
  }

  private async look(): Promise<void> {
    this.isLooking = true;
    while (this.waiting.size > 0) {
      for (const id of await this.atRest()) this.take(id, (waiting) => waiting.resolve());
      for (const [id, [first]] of this.waiting) {
        if (first && first.until < performance.now())
          this.take(id, (waiting) => waiting.reject(new Error(`${id} does not come to rest`)));
      }
      await delay(POLL_MS);
    }
    this.isLooking = false;
  }

  private take(id: string, tell: (waiting: Waiting) => void): void {
    const all = this.waiting.get(id) ?? [];
    this.waiting.delete(id);
    for (const waiting of all) tell(waiting);
  }

  private async atRest(): Promise<string[]> {
    try {
      const { rows } = await this.db.query<{ id: string }>(
        `select session_id as id from session_heads
         where session_id = any($1) and session_heads.shown_status in ('idle', 'terminated') and lease_owner is null and wake_at is null`,
        [[...this.waiting.keys()]],
      );
      return rows.map((row) => row.id);
    } catch (error) {
      // Postgres may be away, or the test be over: then nobody rests.
      if (error instanceof Error) return [];
      throw error;
    }
  }
}
