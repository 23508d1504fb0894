import { randomBytes } from "node:crypto";
import type pg from "pg";
import { ADVISORY_LOCKS } from "./advisory-locks.ts";
import { keepConnection } from "./kept-connection.ts";

/** Postgres takes less than 8000 bytes; some of them carry who sent it. */
export const PAYLOAD_BYTES_MAX = 7_900;
/** Hints that come sooner than this after the last statement go out together in the next. */
const BATCH_MS = 1;
const BATCH_MAX = 1_000;
/** Hints that wait to go out; more are dropped. */
const PENDING_MAX = 20_000;
/** How long `close` waits for the last batch. */
const LAST_BATCH_MS = 1_000;
/** On this channel a process says that it listens now. */
const HELLO_CHANNEL = "sandbox0_hello";

/** A hint that cannot be sent: a mistake of the caller, reported and not thrown. */
export class PayloadRejected extends Error {
  readonly code = "payload_rejected";
  constructor(channel: string, rule: string) {
    super(`a hint on ${channel} was not sent to other processes: its payload ${rule}`);
    this.name = "PayloadRejected";
  }
}

/**
 * Hints to all processes on this database, this one included. Any of them may be lost, and losing all of them must cost
 * only latency. Channels are names of ours, not user input.
 */
export interface Notifier {
  /**
   * Tells local subscribers in the next microtask, and other processes within a few milliseconds, off the caller's path:
   * never throws, never waits. Publish after the commit. At most {@link PAYLOAD_BYTES_MAX} bytes of UTF-8, without NUL.
   */
  publish(channel: string, payload: string): void;
  /** @returns ends the subscription */
  subscribe(channel: string, fn: (payload: string) => void): () => void;
  /** `fn` is called when hints may have been missed: on each new connection, the first included. */
  onReconnect(fn: () => void): () => void;
  /** Resolves when hints of other processes arrive. */
  readonly ready: Promise<void>;
  close(): Promise<void>;
}

export interface NotifierOptions {
  connectionString: string;
  /** A lost connection, a rejected payload, a subscriber that threw. For the log. */
  onError: (error: unknown) => void;
}

/** One LISTEN connection a process, which also sends. While no other process listens, nothing is sent at all. */
export function createNotifier(options: NotifierOptions): Notifier {
  return new PostgresNotifier(options);
}

interface Hint {
  channel: string;
  payload: string;
}

class PostgresNotifier implements Notifier {
  readonly ready: Promise<void>;
  /** Tells this process's own notifications, which come back, from others. */
  private readonly id = randomBytes(6).toString("base64url");
  private readonly options: NotifierOptions;
  private readonly connection;
  private readonly subscribers = new Map<string, Set<(payload: string) => void>>();
  private readonly reconnectFns = new Set<() => void>();
  private local: Hint[] = [];
  private pending: Hint[] = [];
  private flushing: Promise<void> | undefined;
  /** Takes back the flush that is due. */
  private cancel: (() => void) | undefined;
  /** By `performance.now()`. */
  private sentAtMs = 0;
  /** Other processes listen. */
  private peers = true;

  constructor(options: NotifierOptions) {
    this.options = options;
    this.connection = keepConnection({
      connectionString: options.connectionString,
      applicationName: "sandbox0 notifier",
      setUp: (client) => this.setUp(client),
      heartbeat: (client) => this.countPeers(client),
      onError: options.onError,
    });
    this.ready = this.connection.ready;
  }

  publish(channel: string, payload: string): void {
    if (this.local.push({ channel, payload }) === 1) queueMicrotask(() => this.deliverLocal());
    const refusal = refusalOf(payload);
    if (refusal !== undefined) this.options.onError(new PayloadRejected(channel, refusal));
    else if (this.peers && this.pending.length < PENDING_MAX && this.connection.client() !== undefined) {
      this.pending.push({ channel, payload });
      this.schedule();
    }
  }

  subscribe(channel: string, fn: (payload: string) => void): () => void {
    let fns = this.subscribers.get(channel);
    if (!fns) {
      fns = new Set();
      this.subscribers.set(channel, fns);
      this.listenNow(channel);
    }
    fns.add(fn);
    return () => fns.delete(fn);
  }

  onReconnect(fn: () => void): () => void {
    this.reconnectFns.add(fn);
    return () => this.reconnectFns.delete(fn);
  }

  async close(): Promise<void> {
    let late: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      late = setTimeout(resolve, LAST_BATCH_MS);
    });
    await Promise.race([this.flush(), patience]);
    clearTimeout(late);
    await this.connection.close();
  }

  private async setUp(client: pg.Client): Promise<void> {
    client.on("notification", ({ channel, payload = "" }) => this.receive(channel, payload));
    this.pending = [];
    const channels = [...this.subscribers.keys(), HELLO_CHANNEL];
    await Promise.all([
      ...channels.map((channel) => client.query(`listen ${client.escapeIdentifier(channel)}`)),
      client.query("select pg_advisory_lock_shared($1, 0)", [ADVISORY_LOCKS.listenerClass]),
      client.query("select pg_notify($1, $2)", [HELLO_CHANNEL, `${this.id}:`]),
      this.countPeers(client),
    ]);
    // Those subscribed while it was under way.
    for (const channel of this.subscribers.keys()) if (!channels.includes(channel)) this.listen(client, channel);
    // After the connection counts as up, so that what the callbacks publish is sent.
    queueMicrotask(() => {
      for (const fn of this.reconnectFns) this.call(fn);
    });
  }

  /** `pg_locks` shows every holder to every role, unlike the sessions of others. */
  private async countPeers(client: pg.Client): Promise<void> {
    const { rows } = await client.query<{ listeners: number }>(
      `select count(*) as listeners from pg_locks
       where locktype = 'advisory' and classid = $1::int8::oid and objid = 0 and objsubid = 2
         and database = (select oid from pg_database where datname = current_database())`,
      [ADVISORY_LOCKS.listenerClass],
    );
    this.peers = (rows[0]?.listeners ?? 0) > 1;
  }

  private listenNow(channel: string): void {
    const client = this.connection.client();
    if (client) this.listen(client, channel);
  }

  private listen(client: pg.Client, channel: string): void {
    client.query(`listen ${client.escapeIdentifier(channel)}`).catch(this.options.onError);
  }

  private receive(channel: string, tagged: string): void {
    const end = tagged.indexOf(":");
    if (tagged.slice(0, end) === this.id) return;
    if (channel === HELLO_CHANNEL) this.peers = true;
    else this.deliver({ channel, payload: tagged.slice(end + 1) });
  }

  private deliverLocal(): void {
    const hints = this.local;
    this.local = [];
    for (const hint of hints) this.deliver(hint);
  }

  private deliver({ channel, payload }: Hint): void {
    for (const fn of this.subscribers.get(channel) ?? []) this.call(() => fn(payload));
  }

  private call(fn: () => void): void {
    try {
      fn();
    } catch (error) {
      this.options.onError(error);
    }
  }

  private schedule(): void {
    if (this.cancel !== undefined || this.flushing !== undefined) return;
    const flush = (): void => void this.flush();
    if (performance.now() - this.sentAtMs < BATCH_MS) {
      const timer = setTimeout(flush, BATCH_MS);
      this.cancel = () => clearTimeout(timer);
    } else {
      // The first one after a pause does not wait: a stream of another process waits for it.
      const immediate = setImmediate(flush);
      this.cancel = () => clearImmediate(immediate);
    }
  }

  /** One statement at a time: what comes meanwhile is the next batch. */
  private async flush(): Promise<void> {
    this.cancel?.();
    this.cancel = undefined;
    await this.flushing;
    const client = this.connection.client();
    if (client === undefined) return;
    const batch = this.pending.splice(0, BATCH_MAX);
    if (batch.length === 0) return;
    this.sentAtMs = performance.now();
    this.flushing = this.send(client, batch);
    await this.flushing;
    this.flushing = undefined;
    if (this.pending.length > 0) this.schedule();
  }

  private async send(client: pg.Client, batch: Hint[]): Promise<void> {
    const channels = batch.map(({ channel }) => channel);
    const payloads = batch.map(({ payload }) => `${this.id}:${payload}`);
    try {
      await client.query({
        name: "notify",
        text: "select pg_notify(channel, payload) from unnest($1::text[], $2::text[]) as hints (channel, payload)",
        values: [channels, payloads],
      });
    } catch (error) {
      // Lost with the connection: the sweeps of the others find what it was about.
      this.options.onError(error);
    }
  }
}

function refusalOf(payload: string): string | undefined {
  if (Buffer.byteLength(payload) > PAYLOAD_BYTES_MAX) return `is longer than ${PAYLOAD_BYTES_MAX} bytes`;
  return payload.includes("\0") ? "holds a NUL" : undefined;
}
