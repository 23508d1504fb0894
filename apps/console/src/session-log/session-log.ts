import type { EventFilterType, PreviewType, SessionEvent, StreamPreview } from "@sandbox0/protocol";

/** Events of one request: what one screen and a bit of scrolling needs. */
export const PAGE_EVENTS = 400;
/** Events in memory: beyond this the far end is let go, and read again when it is scrolled to. */
export const EVENTS_MAX = 12_000;
/** Pages looked through for the last event that is known, before the log is read anew. */
const CATCH_UP_PAGES_MAX = 5;
const RETRY_MS_MIN = 500;
const RETRY_MS_MAX = 10_000;

export interface EventQuery {
  order: "asc" | "desc";
  limit: number;
  page?: string;
  "created_at[gte]"?: string;
  "created_at[lte]"?: string;
  types?: readonly EventFilterType[];
}
export interface EventPage {
  data: SessionEvent[];
  next_page: string | null;
}

/** What a log is read from: the two operations of the API. */
export interface EventSource {
  list(query: EventQuery, signal: AbortSignal): Promise<EventPage>;
  /** Resolves once the subscription stands. */
  stream(signal: AbortSignal): Promise<AsyncIterable<SessionEvent | StreamPreview>>;
  /** Whether an error is final: the session is gone, the key is revoked. */
  isFinal(error: unknown): boolean;
}

export interface Preview {
  id: string;
  type: PreviewType;
  text: string;
}

export type Connection = "connecting" | "live" | "reconnecting" | "ended" | "paused";

/** What is known of a session's log; a new object with every change. */
export interface LogState {
  /** In the order of the log. */
  events: readonly SessionEvent[];
  /** Admitted and not yet taken up. */
  pending: readonly SessionEvent[];
  /** Messages as they are written. */
  previews: readonly Preview[];
  hasOlder: boolean;
  /** The newest events were let go: what is shown does not reach the present. */
  hasNewer: boolean;
  loading: "first" | "older" | "newer" | null;
  connection: Connection;
  error: unknown;
}

export interface SessionLog {
  get(): LogState;
  subscribe(listener: () => void): () => void;
  /** Opens the stream and reads the newest page; again after `stop`. */
  start(): void;
  stop(): void;
  loadOlder(): void;
  loadNewer(): void;
  /** What the server has just taken in for this session, and says nothing of on the stream until it is taken up. */
  admit(events: readonly SessionEvent[]): void;
  /** Forgets everything and reads the newest page: after a restore, or to return to the present. */
  reload(): void;
}

export interface LogOptions {
  types?: readonly EventFilterType[];
  pageEvents?: number;
  eventsMax?: number;
  /** Tests wait for less. */
  wait?: (ms: number, signal: AbortSignal) => Promise<void>;
}

const EMPTY: LogState = {
  events: [],
  pending: [],
  previews: [],
  hasOlder: false,
  hasNewer: false,
  loading: "first",
  connection: "connecting",
  error: null,
};

/** A session's log as a page sees it: newest first, older on demand, live, in bounded memory. */
export function createSessionLog(source: EventSource, options: LogOptions = {}): SessionLog {
  return new Log(source, options);
}

class Log implements SessionLog {
  private state = EMPTY;
  private readonly source: EventSource;
  private readonly types: readonly EventFilterType[] | undefined;
  private readonly pageEvents: number;
  private readonly eventsMax: number;
  private readonly wait: (ms: number, signal: AbortSignal) => Promise<void>;
  private readonly listeners = new Set<() => void>();
  /** Ids of `state.events`. */
  private known = new Set<string>();
  private running: AbortController | null = null;
  /** Raised by `reload`: what was asked for before it is not put in. */
  private epoch = 0;

  constructor(source: EventSource, { types, pageEvents = PAGE_EVENTS, eventsMax = EVENTS_MAX, wait = waitMs }: LogOptions) {
    this.source = source;
    this.types = types;
    this.pageEvents = pageEvents;
    this.eventsMax = eventsMax;
    this.wait = wait;
  }

  readonly get = (): LogState => this.state;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  start(): void {
    if (this.running !== null) return;
    this.running = new AbortController();
    this.set({ connection: "connecting", error: null });
    void this.follow(this.running.signal);
  }

  stop(): void {
    this.running?.abort();
    this.running = null;
    this.set({ connection: "paused", previews: [] });
  }

  loadOlder(): void {
    const { hasOlder, loading, events } = this.state;
    const first = events[0];
    if (hasOlder && loading === null && first !== undefined) void this.loadBeyond(first, "older");
  }

  loadNewer(): void {
    const { hasNewer, loading, events } = this.state;
    const last = events.at(-1);
    if (hasNewer && loading === null && last !== undefined) void this.loadBeyond(last, "newer");
  }

  admit(events: readonly SessionEvent[]): void {
    const queued = events.filter((event) => !isProcessed(event));
    if (queued.length > 0 && this.state.loading !== "first") this.append(queued);
  }

  reload(): void {
    const wasRunning = this.running !== null;
    this.running?.abort();
    this.running = null;
    this.epoch += 1;
    this.known = new Set();
    this.set(EMPTY);
    if (wasRunning) this.start();
  }

  private set(change: Partial<LogState>): void {
    this.state = { ...this.state, ...change };
    for (const listener of this.listeners) listener();
  }

  private query(query: EventQuery): EventQuery {
    return this.types === undefined ? query : { ...query, types: this.types };
  }

  /** Until it is stopped or the session ends: subscribe, catch up, follow; and again. */
  private async follow(signal: AbortSignal): Promise<void> {
    let retryMs = RETRY_MS_MIN;
    // The first page need not wait for the subscription: what comes between the two is caught up with.
    // When it fails, that one asks again and tells: one bad answer at the start must not end every later try.
    const first = this.catchUp(signal).catch(() => undefined);
    while (!signal.aborted) {
      try {
        const stream = await this.source.stream(signal);
        await first;
        await this.catchUp(signal);
        if (signal.aborted) return;
        this.set({ connection: "live", error: null });
        retryMs = RETRY_MS_MIN;
        await this.read(stream, signal);
        if (this.state.connection === "ended") return;
      } catch (error) {
        if (signal.aborted) return;
        if (this.source.isFinal(error)) return this.set({ connection: "ended", loading: null, error });
        this.set({ error });
      }
      if (signal.aborted) return;
      this.set({ connection: "reconnecting", previews: [] });
      await this.wait(retryMs, signal);
      retryMs = Math.min(retryMs * 2, RETRY_MS_MAX);
    }
  }

  private async read(stream: AsyncIterable<SessionEvent | StreamPreview>, signal: AbortSignal): Promise<void> {
    for await (const event of stream) {
      if (signal.aborted) return;
      if (event.type === "event_start" || event.type === "event_delta") this.preview(event);
      else if (event.type === "session.deleted") return this.set({ connection: "ended", previews: [] });
      else if (looksRestored(this.state.events, event)) return this.reload();
      else this.append([event]);
    }
  }

  /** Newest first back to what is known; without a known event, the newest page alone. */
  private async catchUp(signal: AbortSignal): Promise<void> {
    const { epoch } = this;
    const missed: SessionEvent[] = [];
    let page: string | undefined;
    for (let pages = 0; pages < CATCH_UP_PAGES_MAX; pages += 1) {
      const query: EventQuery = { order: "desc", limit: this.pageEvents, ...(page !== undefined && { page }) };
      const { data, next_page } = await this.source.list(this.query(query), signal);
      if (signal.aborted || epoch !== this.epoch) return;
      const stop = data.findIndex((event) => this.known.has(event.id));
      missed.push(...(stop === -1 ? data : data.slice(0, stop)));
      if (stop !== -1) return this.merge(missed.reverse());
      if (next_page === null || this.known.size === 0) return this.replace(missed.reverse(), next_page !== null);
      page = next_page;
    }
    // Too much was missed to close the gap: the present is worth more than what was shown.
    this.replace(missed.reverse(), true);
  }

  private replace(events: readonly SessionEvent[], hasOlder: boolean): void {
    const logged = events.filter(isProcessed);
    this.known = new Set(logged.map((event) => event.id));
    this.set({
      events: logged,
      pending: events.filter((event) => !isProcessed(event)),
      hasOlder,
      hasNewer: false,
      loading: null,
    });
  }

  private merge(missed: readonly SessionEvent[]): void {
    // Of what was pending only what the newest page has still is.
    this.set({ pending: missed.filter((event) => !isProcessed(event)), loading: null });
    this.append(missed.filter(isProcessed));
  }

  private append(events: readonly SessionEvent[]): void {
    if (this.types !== undefined && !events.every((event) => this.types?.some((type) => type === event.type))) {
      const wanted = events.filter((event) => this.types?.some((type) => type === event.type));
      if (wanted.length > 0) this.append(wanted);
      return;
    }
    const before = this.state;
    let pending = before.pending;
    let previews = before.previews;
    const added: SessionEvent[] = [];
    for (const event of events) {
      if (this.known.has(event.id)) continue;
      pending = pending.filter((other) => other.id !== event.id);
      if (!isProcessed(event)) {
        pending = [...pending, event];
        continue;
      }
      previews = endsPreviews(event) ? [] : previews.filter((preview) => preview.id !== event.id);
      added.push(event);
    }
    if (before.hasNewer) {
      this.set({ pending, previews });
      return;
    }
    for (const event of added) this.known.add(event.id);
    const all = added.length > 0 ? [...before.events, ...added] : before.events;
    this.set({ pending, previews, ...this.trim(all, "older") });
  }

  /** At most `eventsMax`, by letting go of the given end. */
  private trim(events: readonly SessionEvent[], end: "older" | "newer"): Partial<LogState> {
    const over = events.length - this.eventsMax;
    if (over <= 0) return { events };
    const gone = end === "older" ? events.slice(0, over) : events.slice(-over);
    for (const event of gone) this.known.delete(event.id);
    return end === "older"
      ? { events: events.slice(over), hasOlder: true }
      : { events: events.slice(0, -over), hasNewer: true, previews: [] };
  }

  private preview(preview: StreamPreview): void {
    if (this.state.hasNewer) return;
    if (preview.type === "event_start") {
      const { id, type } = preview.event;
      this.set({ previews: [...this.state.previews.filter((other) => other.id !== id), { id, type, text: "" }] });
      return;
    }
    const { event_id: id, delta } = preview;
    this.set({
      previews: this.state.previews.map((other) =>
        other.id === id ? { ...other, text: other.text + delta.content.text } : other,
      ),
    });
  }

  /** A page beyond the first or last event, found by its time and passed by its id: several share a time. */
  private async loadBeyond(edge: SessionEvent, end: "older" | "newer"): Promise<void> {
    const { epoch } = this;
    const signal = this.running?.signal ?? new AbortController().signal;
    this.set({ loading: end });
    try {
      const found = await this.readBeyond(edge, end, signal);
      if (epoch !== this.epoch) return;
      const fresh = found.events.filter((event) => !this.known.has(event.id));
      for (const event of fresh) this.known.add(event.id);
      const { events } = this.state;
      if (end === "older") {
        this.set({ loading: null, hasOlder: found.more, ...this.trim([...fresh.reverse(), ...events], "newer") });
      } else {
        this.set({ loading: null, hasNewer: found.more, ...this.trim([...events, ...fresh], "older") });
      }
    } catch (error) {
      if (epoch === this.epoch && !signal.aborted) this.set({ loading: null, error });
      else this.set({ loading: null });
    }
  }

  private async readBeyond(
    edge: SessionEvent,
    end: "older" | "newer",
    signal: AbortSignal,
  ): Promise<{ events: SessionEvent[]; more: boolean }> {
    const bound =
      end === "older" ? ({ "created_at[lte]": timeOf(edge, 1) } as const) : ({ "created_at[gte]": timeOf(edge, 0) } as const);
    const order = end === "older" ? "desc" : "asc";
    let page: string | undefined;
    let passed = false;
    for (;;) {
      const query: EventQuery = { order, limit: this.pageEvents, ...bound, ...(page !== undefined && { page }) };
      const { data, next_page } = await this.source.list(this.query(query), signal);
      const found: number = passed ? -1 : data.findIndex((event) => event.id === edge.id);
      passed ||= found !== -1;
      const events = passed ? data.slice(found + 1).filter(isProcessed) : [];
      if (events.length > 0 || next_page === null) return { events, more: next_page !== null };
      page = next_page;
    }
  }
}

/** A millisecond later covers what the log times more finely than it shows. */
function timeOf(event: SessionEvent, laterMs: number): string {
  const at = "processed_at" in event ? event.processed_at : null;
  return new Date(Date.parse(at ?? "") + laterMs).toISOString();
}

export function isProcessed(event: SessionEvent): boolean {
  return typeof event.processed_at === "string";
}

/** No message is being written any more (contract §7.9). */
function endsPreviews(event: SessionEvent): boolean {
  return (
    event.type === "span.model_request_end" || event.type === "session.status_idle" || event.type === "session.status_terminated"
  );
}

/**
 * A restore takes events back, which no event says: it ends in an idle that follows an idle without anything of a client
 * between the two.
 */
function looksRestored(events: readonly SessionEvent[], event: SessionEvent): boolean {
  if (event.type !== "session.status_idle") return false;
  const last = events.findLast((other) => other.type.startsWith("session.status_") || other.type.startsWith("user."));
  return last?.type === "session.status_idle" && last.id !== event.id;
}

function waitMs(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}
