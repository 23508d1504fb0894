import type pg from "pg";
import { DatabaseUnavailable } from "./database-error.ts";
import { type Queryable, type QueryResult, queryOn } from "./query.ts";

/** Connections that reads share: more of them would each be woken for less. */
const CONNECTIONS = 2;

interface Shared {
  client: Promise<pg.PoolClient>;
  /** Reads under way. */
  readers: number;
  broken: boolean;
}

/**
 * Lets the reads of many callers go down a few connections, one behind the other without waiting for answers. With 16
 * callers a read by key costs 40 µs of Node and 40 µs of Postgres, where a connection for each costs 100 and 90: most of
 * that is waking sixteen processes and reading sixteen sockets. A read that is alone takes a connection as ever.
 *
 * Only for what is short and takes no lock: the reads behind a statement wait for it.
 */
export class SharedReads implements Queryable {
  private readonly connect: () => Promise<pg.PoolClient>;
  private readonly open = new Set<Shared>();

  constructor(connect: () => Promise<pg.PoolClient>) {
    this.connect = connect;
  }

  async query<Row extends object>(sql: string, values?: readonly unknown[], name?: string): Promise<QueryResult<Row>> {
    const shared = this.take();
    try {
      return await queryOn<Row>(await shared.client, true, sql, values, name);
    } catch (error) {
      if (error instanceof DatabaseUnavailable) this.giveUp(shared);
      throw error;
    } finally {
      shared.readers -= 1;
      if (shared.readers === 0) this.release(shared);
    }
  }

  private take(): Shared {
    let shared: Shared | undefined;
    for (const each of this.open) if (!shared || each.readers < shared.readers) shared = each;
    if (!shared || (shared.readers > 0 && this.open.size < CONNECTIONS)) {
      shared = { client: this.connect(), readers: 0, broken: false };
      this.open.add(shared);
    }
    shared.readers += 1;
    return shared;
  }

  /** Those who come now get a new one. */
  private giveUp(shared: Shared): void {
    shared.broken = true;
    this.open.delete(shared);
  }

  private release(shared: Shared): void {
    this.open.delete(shared);
    shared.client.then(
      (client) => client.release(shared.broken),
      // There is nothing to release, and each reader was told.
      () => undefined,
    );
  }
}
