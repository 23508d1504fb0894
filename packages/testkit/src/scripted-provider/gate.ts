/** A door in a script: the response stops at it until the test opens it. */
export interface Gate {
  /** Lets through whoever waits and whoever comes later. */
  open(): void;
  readonly isOpen: boolean;
  /** Resolves when a response has arrived at the gate for the first time. */
  readonly reached: Promise<void>;
  /** For the one that plays the script: resolves when the gate is open. */
  pass(): Promise<void>;
}

export function createGate(): Gate {
  const opened = Promise.withResolvers<void>();
  const reached = Promise.withResolvers<void>();
  let isOpen = false;
  return {
    open() {
      isOpen = true;
      opened.resolve();
    },
    get isOpen() {
      return isOpen;
    },
    reached: reached.promise,
    pass() {
      reached.resolve();
      return opened.promise;
    },
  };
}
