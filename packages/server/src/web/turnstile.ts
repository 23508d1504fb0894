import { WebToolError } from "./web-result.ts";

/** Lets a number of works run at the same time; the others wait in line, until their signal ends them. */
export interface Turnstile {
  /** @throws WebToolError when the line is too long, or the signal ended the wait */
  pass<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T>;
}

export function createTurnstile(atOnceMax: number, waitingMax: number): Turnstile {
  let running = 0;
  const waiting: (() => void)[] = [];
  const enter = (signal: AbortSignal): Promise<void> => {
    if (running < atOnceMax) {
      running++;
      return Promise.resolve();
    }
    if (waiting.length >= waitingMax) throw new WebToolError("unavailable", "too many requests at once; try again later");
    return new Promise((resolve, reject) => {
      const go = (): void => {
        signal.removeEventListener("abort", stop);
        resolve();
      };
      const stop = (): void => {
        waiting.splice(waiting.indexOf(go), 1);
        reject(new WebToolError("unavailable", "stopped"));
      };
      waiting.push(go);
      signal.addEventListener("abort", stop, { once: true });
    });
  };
  return {
    async pass(signal, work) {
      await enter(signal);
      try {
        return await work();
      } finally {
        // A place is handed on, or becomes free.
        const next = waiting.shift();
        if (next) next();
        else running--;
      }
    },
  };
}
