import pg from "pg";
import { BurstSocket } from "./burst-socket.ts";
import { DatabaseUnavailable } from "./database-error.ts";
import { GroupCommit } from "./group-commit.ts";
import { type Queryable, queryOn, sqlTypes, type Transaction } from "./query.ts";
import { SharedReads } from "./shared-reads.ts";
import { inTransaction, retryConflicts } from "./transaction.ts";

/** Most callers that may wait for a connection; one more is told that the database is overloaded. */
export const POOL_WAITERS_MAX = 10_000;
/** How long a caller waits for a connection, in the queue and in the handshake. */
export const POOL_WAIT_MS = 10_000;
/** One statement of normal work; migrations lift it for themselves. */
export const STATEMENT_TIMEOUT_MS = 30_000;
/** A transaction nobody drives is a bug or a hung process: it must not hold its row locks for ever. */
export const IDLE_IN_TRANSACTION_MS = 30_000;
const IDLE_CONNECTION_MS = 60_000;

export interface Database extends Queryable {
  /**
   * Runs `fn` in one transaction (read committed) and commits. Runs it again, a few times, when Postgres reports a
   * serialization failure or a deadlock, so `fn` must do nothing but queries; any other error rolls back and is thrown.
   */
  transaction<T>(fn: (tx: Transaction) => Promise<T>): Promise<T>;
  /**
   * For the single statement of a hot path: runs `fn`, which makes exactly one query before it awaits anything, in one
   * transaction with those of other callers when there are any (see {@link GroupCommit}). Resolves after the commit. `key`
   * names the row it locks. As with `transaction`, `fn` may run again. An error of `fn`'s own does not undo its query.
   */
  grouped<T>(key: string, fn: (db: Queryable) => Promise<T>): Promise<T>;
  /** For short reads of a hot path: those of many callers share connections (see {@link SharedReads}). */
  readonly reads: Queryable;
  /** One connection for several statements outside a transaction. */
  withClient<T>(fn: (client: Queryable) => Promise<T>): Promise<T>;
  /** Connections now: open, free, and callers in the queue. */
  stats(): { open: number; idle: number; waiting: number };
  /** Waits for running work, then closes every connection. Later calls throw DatabaseUnavailable("closed"). */
  close(): Promise<void>;
}

export interface PoolOptions {
  connectionString: string;
  /** Most connections. */
  max: number;
  applicationName?: string;
  /** An idle connection was lost; the pool replaces it by itself. For the log only. */
  onConnectionError?: (error: Error) => void;
}

/** The process's bounded set of connections. Opens them as they are needed: it does not fail when Postgres is away. */
export function createPool(options: PoolOptions): Database {
  const onConnectionError = options.onConnectionError ?? (() => undefined);
  let closed: Promise<void> | undefined;
  const pool = new pg.Pool({
    connectionString: options.connectionString,
    max: options.max,
    application_name: options.applicationName ?? "sandbox0",
    connectionTimeoutMillis: POOL_WAIT_MS,
    idleTimeoutMillis: IDLE_CONNECTION_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MS,
    keepAlive: true,
    types: sqlTypes,
    pipeline: true,
    stream: () => new BurstSocket(),
  });
  pool.on("error", onConnectionError);
  // While a client is checked out the pool does not listen, and an error nobody hears ends the process.
  pool.on("connect", (client) => client.on("error", () => undefined));

  const connect = async (): Promise<pg.PoolClient> => {
    if (closed) throw new DatabaseUnavailable("closed", false);
    if (pool.waitingCount >= POOL_WAITERS_MAX) throw new DatabaseUnavailable("overloaded", false);
    try {
      return await pool.connect();
    } catch (error) {
      // `pg-pool` says it this way only.
      const busy = error instanceof Error && error.message.startsWith("timeout exceeded");
      throw new DatabaseUnavailable(busy ? "overloaded" : "connection", false, error);
    }
  };

  const withConnection = async <T>(fn: (client: pg.PoolClient) => Promise<T>): Promise<T> => {
    const client = await connect();
    let broken = false;
    try {
      return await fn(client);
    } catch (error) {
      broken = error instanceof DatabaseUnavailable;
      throw error;
    } finally {
      client.release(broken);
    }
  };

  const groups = new GroupCommit(withConnection);

  return {
    reads: new SharedReads(withConnection),
    grouped: (key, fn) => groups.run(key, fn),
    query: (sql, values, name) => withConnection((client) => queryOn(client, true, sql, values, name)),
    transaction: (fn) => retryConflicts(() => withConnection((client) => inTransaction(client, fn))),
    withClient: (fn) =>
      withConnection((client) => fn({ query: (sql, values, name) => queryOn(client, true, sql, values, name) })),
    stats: () => ({ open: pool.totalCount, idle: pool.idleCount, waiting: pool.waitingCount }),
    close() {
      closed ??= pool.end();
      return closed;
    },
  };
}
