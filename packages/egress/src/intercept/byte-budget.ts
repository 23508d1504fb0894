/** How many bytes may be held at once, by each holder and by all together. */
export interface ByteBudget {
  /** What to call when they are held no more; `null`: not now. */
  take(holder: string, bytes: number): (() => void) | null;
}

export function createByteBudget(bytesMax: number, bytesPerHolderMax: number): ByteBudget {
  let taken = 0;
  const byHolder = new Map<string, number>();
  const add = (holder: string, bytes: number): void => {
    taken += bytes;
    const theirs = (byHolder.get(holder) ?? 0) + bytes;
    if (theirs === 0) byHolder.delete(holder);
    else byHolder.set(holder, theirs);
  };
  return {
    take(holder, bytes) {
      const theirs = byHolder.get(holder) ?? 0;
      if (taken + bytes > bytesMax || theirs + bytes > bytesPerHolderMax) return null;
      add(holder, bytes);
      return () => add(holder, -bytes);
    },
  };
}
