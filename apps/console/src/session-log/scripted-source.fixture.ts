import type { SessionEvent, StreamPreview } from "@sandbox0/protocol";
import type { EventPage, EventQuery, EventSource } from "./session-log.ts";

type Frame = SessionEvent | StreamPreview;

/** A session whose log and streams a test writes. Times are milliseconds since the epoch, several events to each. */
export class ScriptedSource implements EventSource {
  readonly log: SessionEvent[] = [];
  readonly pending: SessionEvent[] = [];
  readonly queries: EventQuery[] = [];
  /** The next requests for a stream fail with these. */
  readonly failures: unknown[] = [];
  private open: LiveStream[] = [];

  list(query: EventQuery): Promise<EventPage> {
    this.queries.push(query);
    const { order, limit, page, types } = query;
    const timed = query["created_at[gte]"] ?? query["created_at[lte]"];
    let events = this.log.filter((event) => types === undefined || types.some((type) => type === event.type));
    events = events.filter((event) => within(event, query));
    const all = timed === undefined ? [...events, ...this.pending] : events;
    const ordered = order === "asc" ? all : all.toReversed();
    const from = Number(page ?? 0);
    const data = ordered.slice(from, from + limit);
    return Promise.resolve({ data, next_page: from + limit < ordered.length ? String(from + limit) : null });
  }

  stream(signal: AbortSignal): Promise<AsyncIterable<Frame>> {
    const failure = this.failures.shift();
    if (failure !== undefined) return Promise.reject(failure);
    const stream = new LiveStream(signal);
    this.open.push(stream);
    return Promise.resolve(stream);
  }

  isFinal(error: unknown): boolean {
    return error instanceof Error && error.message === "gone";
  }

  /** Into the log, and to whoever follows. */
  append(...events: SessionEvent[]): void {
    this.log.push(...events);
    this.send(...events);
  }

  send(...frames: Frame[]): void {
    for (const stream of this.open) for (const frame of frames) stream.push(frame);
  }

  /** How many streams were opened so far and not cut. */
  streams(): number {
    return this.open.length;
  }

  cut(): void {
    for (const stream of this.open) stream.end();
    this.open = [];
  }
}

function within(event: SessionEvent, query: EventQuery): boolean {
  const at = Date.parse(event.processed_at ?? "");
  const { "created_at[gte]": gte, "created_at[lte]": lte } = query;
  return (gte === undefined || at >= Date.parse(gte)) && (lte === undefined || at <= Date.parse(lte));
}

class LiveStream implements AsyncIterable<Frame> {
  private readonly frames: Frame[] = [];
  private ended = false;
  private wake: () => void = () => undefined;

  constructor(signal: AbortSignal) {
    signal.addEventListener("abort", () => this.end(), { once: true });
  }

  push(frame: Frame): void {
    this.frames.push(frame);
    this.wake();
  }

  end(): void {
    this.ended = true;
    this.wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Frame> {
    for (;;) {
      const frame = this.frames.shift();
      if (frame !== undefined) yield frame;
      else if (this.ended) return;
      else await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }
}

/** The `n`th event; three share each millisecond. */
export function message(n: number, id = `m${n}`): SessionEvent {
  return {
    id,
    type: "agent.message",
    processed_at: new Date(Math.floor(n / 3)).toISOString(),
    content: [{ type: "text", text: `${n}` }],
  };
}

export function queued(id: string): SessionEvent {
  return { id, type: "user.message", processed_at: null, content: [{ type: "text", text: id }] };
}
