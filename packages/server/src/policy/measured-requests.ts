import type { ModelSpan } from "@sandbox0/egress";

/** Sessions that something is kept of. A turn takes what there is of its own; what is left is of turns that died. */
const SESSIONS_MAX = 10_000;

/** What the model gateway measured of the latest request of each session, until its turn takes it. */
export interface MeasuredRequests {
  add(span: ModelSpan): void;
  /** @returns the last request that the provider answered since this was last asked; `null`: none */
  take(sessionId: string): ModelSpan | null;
  /** The same, and leaves it. */
  last(sessionId: string): ModelSpan | null;
}

export function createMeasuredRequests(): MeasuredRequests {
  const latest = new Map<string, ModelSpan>();
  return {
    add(span) {
      if (span.status === null) return;
      latest.delete(span.sessionId);
      latest.set(span.sessionId, span);
      for (const oldest of latest.keys()) {
        if (latest.size <= SESSIONS_MAX) break;
        latest.delete(oldest);
      }
    },
    last: (sessionId) => latest.get(sessionId) ?? null,
    take(sessionId) {
      const span = latest.get(sessionId) ?? null;
      latest.delete(sessionId);
      return span;
    },
  };
}
