/** How many bytes may be held at once by all who share it. */
export interface ByteBudget {
  /** `false`: not now. */
  take(bytes: number): boolean;
  giveBack(bytes: number): void;
}

export function createByteBudget(bytesMax: number): ByteBudget {
  let taken = 0;
  return {
    take(bytes) {
      if (taken + bytes > bytesMax) return false;
      taken += bytes;
      return true;
    },
    giveBack(bytes) {
      taken -= bytes;
    },
  };
}
