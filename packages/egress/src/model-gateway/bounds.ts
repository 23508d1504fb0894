/** Requests under way, by sandbox. */
export interface Slots {
  /** @returns what gives the slot back, or `null`: this sandbox has all it may have */
  take(sandboxId: string): (() => void) | null;
}

export function createSlots(perSandboxMax: number): Slots {
  const taken = new Map<string, number>();
  return {
    take(sandboxId) {
      const count = taken.get(sandboxId) ?? 0;
      if (count >= perSandboxMax) return null;
      taken.set(sandboxId, count + 1);
      return () => {
        const left = (taken.get(sandboxId) ?? 1) - 1;
        if (left === 0) taken.delete(sandboxId);
        else taken.set(sandboxId, left);
      };
    },
  };
}

/** Bytes that all requests together hold in memory. */
export interface ByteBudget {
  open(): ByteHold;
}

/** What one request holds. */
export interface ByteHold {
  /** `false`: there is no room, and nothing was taken. */
  take(bytes: number): boolean;
  /** Gives all of it back; idempotent. */
  release(): void;
}

export function createByteBudget(bytesMax: number): ByteBudget {
  let total = 0;
  return {
    open() {
      let held = 0;
      return {
        take(bytes) {
          if (total + bytes > bytesMax) return false;
          total += bytes;
          held += bytes;
          return true;
        },
        release() {
          total -= held;
          held = 0;
        },
      };
    },
  };
}
