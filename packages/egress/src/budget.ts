/** How much of something (bytes, sockets) may be held at once, by each holder and by all together. */
export interface Budget {
  /** What to call when it is held no more, more than once if need be; `null`: not now. */
  take(holder: string, amount: number): (() => void) | null;
  /** For what grows while it is held. */
  open(holder: string): Hold;
}

export interface Hold {
  /** `false`: there is no room, and nothing was taken. */
  take(amount: number): boolean;
  /** Gives all of it back; it may be taken again. */
  release(): void;
}

export function createBudget(totalMax: number, perHolderMax: number): Budget {
  let taken = 0;
  const byHolder = new Map<string, number>();
  const add = (holder: string, amount: number): void => {
    taken += amount;
    const theirs = (byHolder.get(holder) ?? 0) + amount;
    if (theirs === 0) byHolder.delete(holder);
    else byHolder.set(holder, theirs);
  };
  const open = (holder: string): Hold => {
    let held = 0;
    return {
      take(amount) {
        if (taken + amount > totalMax || (byHolder.get(holder) ?? 0) + amount > perHolderMax) return false;
        add(holder, amount);
        held += amount;
        return true;
      },
      release() {
        add(holder, -held);
        held = 0;
      },
    };
  };
  return {
    take(holder, amount) {
      const hold = open(holder);
      return hold.take(amount) ? hold.release : null;
    },
    open,
  };
}
