/** How much of something (bytes, sockets) may be held at once, by each holder and by all together. */
export interface Budget {
  /** What to call when it is held no more, more than once if need be; `null`: not now. */
  take(holder: string, amount: number): (() => void) | null;
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
  return {
    take(holder, amount) {
      const theirs = byHolder.get(holder) ?? 0;
      if (taken + amount > totalMax || theirs + amount > perHolderMax) return null;
      add(holder, amount);
      let held = true;
      return () => {
        if (held) add(holder, -amount);
        held = false;
      };
    },
  };
}
