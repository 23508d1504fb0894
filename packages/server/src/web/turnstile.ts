import { WebToolError } from "./web-result.ts";

export interface TurnstileLimits {
  atOnceMax: number;
  /** Of one session: slow pages of one must not keep the others waiting. */
  perSessionMax: number;
  waitingMax: number;
}

/** Lets a number of works run at the same time; the others wait in line, until their signal ends them. */
export interface Turnstile {
  /** @throws WebToolError when the line is too long, or the signal ended the wait */
  pass<T>(sessionId: string, signal: AbortSignal, work: () => Promise<T>): Promise<T>;
}

export function createTurnstile(limits: TurnstileLimits): Turnstile {
  const running = new Map<string, number>();
  const waiting: { sessionId: string; go: () => void }[] = [];
  let total = 0;
  const hasRoom = (sessionId: string): boolean =>
    total < limits.atOnceMax && (running.get(sessionId) ?? 0) < limits.perSessionMax;
  const enter = (sessionId: string): void => {
    total++;
    running.set(sessionId, (running.get(sessionId) ?? 0) + 1);
  };
  const leave = (sessionId: string): void => {
    total--;
    const left = (running.get(sessionId) ?? 1) - 1;
    if (left > 0) running.set(sessionId, left);
    else running.delete(sessionId);
    const index = waiting.findIndex((entry) => hasRoom(entry.sessionId));
    if (index < 0) return;
    const [next] = waiting.splice(index, 1);
    if (next === undefined) return;
    enter(next.sessionId);
    next.go();
  };
  const wait = (sessionId: string, signal: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      const entry = {
        sessionId,
        go() {
          signal.removeEventListener("abort", stop);
          resolve();
        },
      };
      const stop = (): void => {
        waiting.splice(waiting.indexOf(entry), 1);
        reject(stopped());
      };
      waiting.push(entry);
      signal.addEventListener("abort", stop, { once: true });
    });
  return {
    async pass(sessionId, signal, work) {
      if (signal.aborted) throw stopped();
      if (hasRoom(sessionId)) enter(sessionId);
      else if (waiting.length < limits.waitingMax) await wait(sessionId, signal);
      else throw new WebToolError("unavailable", "too many requests at once; try again later");
      try {
        return await work();
      } finally {
        leave(sessionId);
      }
    },
  };
}

/** The turn's end takes no notice of what this says. */
function stopped(): WebToolError {
  return new WebToolError("unavailable", "stopped");
}
