export interface ExpiringCache<T> {
  /** What `load` gave for this key, not longer ago than the cache's life; those who ask meanwhile share one load. */
  get(key: string): Promise<T>;
}

interface Entry<T> {
  value: Promise<T>;
  endsAtMs: number;
}

/**
 * Answers that may be a little old. Their age counts from the question: what changes while it is asked is seen after one
 * life. A failure is not kept.
 */
export function createExpiringCache<T>(options: {
  lifeMs: number;
  entriesMax: number;
  load(key: string): Promise<T>;
}): ExpiringCache<T> {
  const entries = new Map<string, Entry<T>>();
  const drop = (key: string, entry: Entry<T>): void => {
    if (entries.get(key) === entry) entries.delete(key);
  };
  return {
    get(key) {
      const now = performance.now();
      const known = entries.get(key);
      if (known && known.endsAtMs > now) return known.value;
      const entry: Entry<T> = { value: options.load(key), endsAtMs: now + options.lifeMs };
      // Last in the map is what ends last, for all lives are the same.
      entries.delete(key);
      entries.set(key, entry);
      entry.value.catch(() => drop(key, entry));
      for (const [oldKey, old] of entries) {
        if (old.endsAtMs > now && entries.size <= options.entriesMax) break;
        drop(oldKey, old);
      }
      return entry.value;
    },
  };
}
