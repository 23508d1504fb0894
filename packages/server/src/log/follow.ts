import { encodeFrame, ID_PREFIXES } from "@sandbox0/protocol";
import { eventJson, readEventsAfter, readSeq, readSeqs, type StoredEvent } from "../store/events.ts";
import type { Queryable } from "../store/query.ts";
import type { Bells, LivePreview } from "./bells.ts";
import { FreshEvents } from "./fresh-events.ts";

/** Read at once: it is the most that a stream which does not take it has in its socket. */
const READ_MOST = { rows: 500, bytes: 1024 * 1024 };
/** Previews that wait for the log to be read; more are lost, which closes the preview they belong to. */
const HELD_PREVIEWS_MAX = 256;
/** How often all followed sessions are compared with their rows: the price of a lost hint, never of correctness. */
export const FOLLOW_SWEEP_MS = 2_000;

/** One durable event, encoded once for all its readers. */
export interface LogFrame {
  seq: number;
  id: string;
  type: string;
  json: string;
  /** The SSE frame. */
  frame: Buffer;
}

export interface FollowSink {
  /** Frames in `seq` order. Answer `false` when the socket is full: nothing comes until `resume()`. */
  events(frames: readonly LogFrame[]): boolean;
  /** May be dropped by either side. Never called between `events() === false` and `resume()`. */
  preview(preview: LivePreview): void;
  /** No more will come: the session was deleted (its `session.deleted` frame came first), or the server stops. */
  end(reason: "deleted" | "shutdown"): void;
}

export interface Subscription {
  /** The socket has drained: goes on after the last frame handed over, from the log. */
  resume(): void;
  close(): void;
}

export interface Follower {
  /** Live from now on; `null` when there is no such session. */
  follow(sessionId: string, sink: FollowSink): Promise<Subscription | null>;
  /** How many streams follow. */
  size(): number;
  close(): void;
}

/** @param fresh what the event log of this process adds to, if it writes any */
export function createFollower(
  db: Queryable,
  bells: Bells,
  onError: (error: unknown) => void,
  fresh: FreshEvents = new FreshEvents(),
): Follower {
  const feeds = new Map<string, Feed>();
  const drop = (feed: Feed) => {
    if (feeds.get(feed.sessionId) !== feed) return;
    feeds.delete(feed.sessionId);
    fresh.unfollow(feed.sessionId);
  };
  const sweep = async (): Promise<void> => {
    if (feeds.size === 0) return;
    // Those that are asked about: one that opens meanwhile has no row in the answer, and is not deleted for that.
    const asked = [...feeds.values()];
    const seqs = await readSeqs(
      db,
      asked.map((feed) => feed.sessionId),
    );
    for (const feed of asked) feed.ring(seqs.get(feed.sessionId) ?? "deleted");
  };
  const sweepNow = () => void sweep().catch(onError);
  const timer = setInterval(sweepNow, FOLLOW_SWEEP_MS);
  timer.unref();
  const unsubscribe = [
    bells.onLogged((sessionId, seq) => feeds.get(sessionId)?.ring(seq)),
    bells.onPreview((sessionId, preview) => feeds.get(sessionId)?.preview(preview)),
    bells.onReconnect(sweepNow),
  ];
  return {
    async follow(sessionId, sink) {
      let feed = feeds.get(sessionId);
      if (!feed) {
        feed = new Feed(sessionId, { db, fresh }, drop, onError);
        feeds.set(sessionId, feed);
        fresh.follow(sessionId);
      }
      return feed.open(sink);
    },
    size: () => [...feeds.values()].reduce((sum, feed) => sum + feed.size, 0),
    close() {
      clearInterval(timer);
      for (const off of unsubscribe) off();
      for (const feed of [...feeds.values()]) feed.shutDown();
    },
  };
}

interface Reader {
  sink: FollowSink;
  /** The last seq handed over. */
  cursor: number;
  /** `opening` has no cursor yet, `live` gets what the feed reads, `stalled` waits for its socket, `behind` reads for itself. */
  state: "opening" | "live" | "stalled" | "behind" | "closed";
}

/** All streams of one session in this process: the log is read once for all of them. */
class Feed {
  readonly sessionId: string;
  private readonly db: Queryable;
  private readonly fresh: FreshEvents;
  private readonly drop: (feed: Feed) => void;
  private readonly onError: (error: unknown) => void;
  private readonly readers = new Set<Reader>();
  /** Up to here the live readers have everything. */
  private cursor = 0;
  /** Up to here the log is known to reach. */
  private known = 0;
  private pumping = false;
  /** Previews that came before the live readers had the log up to `after`: behind the events they follow, never before. */
  private held: { after: number; preview: LivePreview }[] = [];

  constructor(
    sessionId: string,
    { db, fresh }: { db: Queryable; fresh: FreshEvents },
    drop: (feed: Feed) => void,
    onError: (error: unknown) => void,
  ) {
    this.sessionId = sessionId;
    this.db = db;
    this.fresh = fresh;
    this.drop = drop;
    this.onError = onError;
  }

  get size(): number {
    return this.readers.size;
  }

  /** Subscribe first, then read where the log ends: whatever commits later is heard. */
  async open(sink: FollowSink): Promise<Subscription | null> {
    const reader: Reader = { sink, cursor: 0, state: "opening" };
    this.readers.add(reader);
    let seq: number | null;
    try {
      seq = await readSeq(this.db, this.sessionId);
    } catch (error) {
      this.remove(reader);
      throw error;
    }
    if (seq === null) {
      this.remove(reader);
      return null;
    }
    if (this.hasLive()) reader.cursor = Math.max(seq, this.cursor);
    else reader.cursor = this.cursor = seq;
    reader.state = "live";
    this.ring(Math.max(seq, this.known));
    return {
      resume: () => this.resume(reader),
      close: () => this.remove(reader),
    };
  }

  ring(seq: number | "deleted"): void {
    if (seq === "deleted") {
      this.finishDeleted();
      return;
    }
    if (seq > this.known) this.known = seq;
    if (this.known > this.cursor && this.hasLive()) this.pump();
  }

  preview(preview: LivePreview): void {
    if (!this.hasLive()) return;
    if (this.known <= this.cursor) this.show(preview);
    else if (this.held.length < HELD_PREVIEWS_MAX) this.held.push({ after: this.known, preview });
  }

  private show(preview: LivePreview): void {
    for (const reader of this.readers) {
      if (reader.state === "live") reader.sink.preview(preview);
    }
  }

  shutDown(): void {
    for (const reader of [...this.readers]) {
      this.remove(reader);
      reader.sink.end("shutdown");
    }
  }

  private hasLive(): boolean {
    for (const reader of this.readers) if (reader.state === "live") return true;
    return false;
  }

  private pump(): void {
    if (this.pumping) return;
    this.pumping = true;
    void this.readOn();
  }

  /** Between the last look at `known` and the end there is no await: a bell is never lost. */
  private async readOn(): Promise<void> {
    try {
      while (this.known > this.cursor && this.hasLive()) {
        const fresh = this.fresh.takeAfter(this.sessionId, this.cursor, READ_MOST);
        const frames = fresh.length > 0 ? fresh.map(toFrame) : await this.read(this.cursor);
        const last = frames.at(-1);
        // Behind a hint the rows are there, unless the session is being deleted: the sweep will tell.
        if (!last) break;
        this.cursor = last.seq;
        this.known = Math.max(this.known, last.seq);
        this.deliver(frames, last.seq);
      }
    } catch (error) {
      // The next bell or the sweep tries again.
      this.onError(error);
    } finally {
      this.pumping = false;
      if (!this.hasLive()) this.held = [];
    }
  }

  /** Each held preview behind the last event that was known when it came. */
  private deliver(frames: readonly LogFrame[], upTo: number): void {
    let rest = frames;
    while (this.held[0] && this.held[0].after <= upTo) {
      const { after, preview } = this.held[0];
      this.held.shift();
      const behind = rest.findIndex((frame) => frame.seq > after);
      const before = behind < 0 ? rest.length : behind;
      this.handLive(rest.slice(0, before));
      rest = rest.slice(before);
      this.show(preview);
    }
    this.handLive(rest);
  }

  private handLive(frames: readonly LogFrame[]): void {
    if (frames.length === 0) return;
    for (const reader of this.readers) if (reader.state === "live") this.hand(reader, frames);
  }

  private async read(after: number): Promise<LogFrame[]> {
    return (await readEventsAfter(this.db, this.sessionId, after, READ_MOST)).map(toFrame);
  }

  private hand(reader: Reader, frames: readonly LogFrame[]): void {
    const fresh = frames[0] && frames[0].seq > reader.cursor ? frames : frames.filter((frame) => frame.seq > reader.cursor);
    const last = fresh.at(-1);
    if (!last) return;
    reader.cursor = last.seq;
    if (!reader.sink.events(fresh)) reader.state = "stalled";
  }

  private resume(reader: Reader): void {
    if (reader.state !== "stalled") return;
    reader.state = "behind";
    this.catchUp(reader).catch((error: unknown) => {
      // The client reconnects and lists.
      this.onError(error);
      this.remove(reader);
      reader.sink.end("shutdown");
    });
  }

  private async catchUp(reader: Reader): Promise<void> {
    while (reader.state === "behind") {
      const frames = await this.read(reader.cursor);
      if (reader.state !== "behind") return;
      if (frames.length > 0) this.hand(reader, frames);
      if (reader.state !== "behind") return;
      // It may join the others when it has all that they were handed, also while this read was under way.
      if (this.hasLive() ? reader.cursor < this.cursor : frames.length > 0) continue;
      if (!this.hasLive()) this.cursor = reader.cursor;
      reader.state = "live";
      this.ring(this.known);
    }
  }

  private finishDeleted(): void {
    const id = ID_PREFIXES.event + this.sessionId.slice(ID_PREFIXES.session.length);
    const json = JSON.stringify({ id, type: "session.deleted", processed_at: new Date().toISOString() });
    const frame: LogFrame = {
      seq: Number.MAX_SAFE_INTEGER,
      id,
      type: "session.deleted",
      json,
      frame: Buffer.from(encodeFrame("session.deleted", json)),
    };
    for (const reader of [...this.readers]) {
      // It finds out by itself that there is no session, before anything is sent.
      if (reader.state === "opening") continue;
      reader.sink.events([frame]);
      this.remove(reader);
      reader.sink.end("deleted");
    }
  }

  private remove(reader: Reader): void {
    reader.state = "closed";
    this.readers.delete(reader);
    if (this.readers.size === 0) this.drop(this);
  }
}

function toFrame(event: StoredEvent): LogFrame {
  const json = eventJson(event);
  return { seq: event.seq, id: event.id, type: event.type, json, frame: Buffer.from(encodeFrame(event.type, json)) };
}
