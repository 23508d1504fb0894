import { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { DatabaseUnavailable, translateError } from "./database-error.ts";
import { sqlTypes } from "./query.ts";

/** Between a loss and the first try, doubled for each further one up to the second figure. */
const RECONNECT_DELAY_MS = 50;
const RECONNECT_DELAY_MAX_MS = 1_000;
const CONNECT_TIMEOUT_MS = 5_000;
/** How often a quiet connection is asked for a sign of life, and how long the answer may take. */
const HEARTBEAT_MS = 5_000;
const HEARTBEAT_TIMEOUT_MS = 5_000;
/** The server's side: what it holds for a client that vanished without a word is free again after this. */
const SESSION_OPTIONS =
  "-c idle_session_timeout=0 -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3 -c tcp_user_timeout=10000";

export interface KeptConnectionOptions {
  connectionString: string;
  applicationName: string;
  /** Puts the session's state (locks, LISTEN) in place; runs on each new connection, and a failure drops it. */
  setUp(client: pg.Client): Promise<void>;
  /** The sign of life; also told what it finds out. */
  heartbeat(client: pg.Client): Promise<void>;
  /** A connection that had been set up is gone, and not by `close`. */
  onLost?: () => void;
  /** Why a connection could not be had or was lost. For the log; a try follows by itself. */
  onError: (error: unknown) => void;
}

export interface KeptConnection {
  /** The connection while it is up and set up. */
  client(): pg.Client | undefined;
  /** Resolves when it is set up for the first time. */
  readonly ready: Promise<void>;
  close(): Promise<void>;
}

/** A connection outside the pool for what lives as long as its session; it is made again for as long as it is not closed. */
export function keepConnection(options: KeptConnectionOptions): KeptConnection {
  const ready = Promise.withResolvers<void>();
  // Nobody has to wait for it.
  ready.promise.catch(() => undefined);
  const closing = new AbortController();
  let current: pg.Client | undefined;

  /** One connection, from the first byte to the last. Always throws: that it is over, or why it never was. */
  const serve = async (onUp: () => void): Promise<never> => {
    const socket = new Socket();
    const drop = () => socket.destroy();
    closing.signal.addEventListener("abort", drop);
    try {
      const client = newClient(options, socket);
      const ended = new Promise<void>((resolve) => client.once("end", resolve));
      await client.connect();
      await withTimeout(options.setUp(client), drop);
      current = client;
      onUp();
      return await beat(options.heartbeat, client, ended, drop);
    } finally {
      closing.signal.removeEventListener("abort", drop);
      drop();
      const lost = current !== undefined;
      current = undefined;
      if (lost && !closing.signal.aborted) options.onLost?.();
    }
  };
  const run = async (): Promise<void> => {
    let wait = RECONNECT_DELAY_MS;
    const onUp = () => {
      wait = RECONNECT_DELAY_MS;
      ready.resolve();
    };
    while (!closing.signal.aborted) {
      try {
        await serve(onUp);
      } catch (error) {
        if (closing.signal.aborted) return;
        options.onError(translateError(error, false));
      }
      await pause(wait * (0.5 + Math.random()), closing.signal);
      wait = Math.min(wait * 2, RECONNECT_DELAY_MAX_MS);
    }
  };
  const running = run();
  return {
    client: () => current,
    ready: ready.promise,
    async close() {
      closing.abort();
      ready.reject(new DatabaseUnavailable("closed", false));
      await running;
    },
  };
}

function newClient({ connectionString, applicationName }: KeptConnectionOptions, socket: Socket): pg.Client {
  const client = new pg.Client({
    connectionString,
    application_name: applicationName,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    options: SESSION_OPTIONS,
    keepAlive: true,
    keepAliveInitialDelayMillis: HEARTBEAT_MS,
    types: sqlTypes,
    pipeline: true,
    stream: () => socket,
  });
  // What breaks the connection also ends it, and an error nobody hears ends the process.
  client.on("error", () => undefined);
  return client;
}

/** Asks for signs of life until there is none, or the connection ends. */
async function beat(
  heartbeat: KeptConnectionOptions["heartbeat"],
  client: pg.Client,
  ended: Promise<void>,
  drop: () => void,
): Promise<never> {
  const silent = Promise.withResolvers<never>();
  let asking = false;
  const timer = setInterval(() => {
    if (asking) return;
    asking = true;
    withTimeout(heartbeat(client), drop).then(() => {
      asking = false;
    }, silent.reject);
  }, HEARTBEAT_MS);
  try {
    await Promise.race([ended, silent.promise]);
    throw new DatabaseUnavailable("connection", false, new Error("the connection was lost"));
  } finally {
    clearInterval(timer);
  }
}

/** Drops the connection when the answer does not come: that makes the promise reject. */
async function withTimeout<T>(answer: Promise<T>, drop: () => void): Promise<T> {
  // Timers run before sockets are read: after a stall of this process, an answer that has arrived meanwhile comes first.
  let late: NodeJS.Immediate | undefined;
  const timer = setTimeout(() => {
    late = setImmediate(drop);
  }, HEARTBEAT_TIMEOUT_MS);
  try {
    return await answer;
  } finally {
    clearTimeout(timer);
    clearImmediate(late);
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, { signal });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
