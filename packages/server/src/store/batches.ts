/** Batches under way; what comes meanwhile makes the next one. Two: Postgres works on one while Node makes the other. */
const BATCHES_AT_ONCE = 2;
const BATCH_MAX = 64;
/** Items that wait for a batch; one more is overload. */
const WAITING_MAX = 10_000;

/** Makes batches of what comes in one round of the event loop, or while others are under way. */
export class Batches<T> {
  private readonly serve: (batch: T[]) => Promise<void>;
  private readonly halvedFrom: number;
  private waiting: T[] = [];
  private underWay = 0;
  private scheduled = false;

  /**
   * @param serve one batch; never rejects
   * @param halvedFrom so many that come at once, with nothing under way, make two batches: as one they would stay together
   * for ever, and the other place empty
   */
  constructor(serve: (batch: T[]) => Promise<void>, { halvedFrom = Number.POSITIVE_INFINITY } = {}) {
    this.serve = serve;
    this.halvedFrom = halvedFrom;
  }

  /** @returns false when too many wait: it was not taken */
  add(item: T): boolean {
    if (this.waiting.length >= WAITING_MAX) return false;
    this.waiting.push(item);
    this.schedule();
    return true;
  }

  private schedule(): void {
    if (this.scheduled || this.underWay >= BATCHES_AT_ONCE || this.waiting.length === 0) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      const halves = this.underWay === 0 && this.waiting.length >= this.halvedFrom;
      const batch = this.waiting.splice(0, halves ? Math.min(Math.ceil(this.waiting.length / 2), BATCH_MAX) : BATCH_MAX);
      this.underWay += 1;
      void this.serve(batch).finally(() => {
        this.underWay -= 1;
        this.schedule();
      });
      this.schedule();
    });
  }
}
