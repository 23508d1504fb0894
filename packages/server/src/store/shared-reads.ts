import type pg from "pg";
import { Batches } from "./batches.ts";
import { DatabaseUnavailable } from "./database-error.ts";
import { type Queryable, type QueryResult, queryOn } from "./query.ts";

interface Read {
  /** Tells its caller what came of it. @returns the error, if it failed for the connection */
  run(client: pg.ClientBase): Promise<DatabaseUnavailable | null>;
  reject(error: unknown): void;
}

/** Runs on one connection of the pool. */
type OnConnection = <T>(fn: (client: pg.ClientBase) => Promise<T>) => Promise<T>;

/**
 * Lets reads of many callers leave together: those that come in one round of the event loop, or while others are under way,
 * go down one connection in one piece. So a read costs a share of a system call and of waking Postgres, which alone are more
 * than the read itself.
 *
 * Only for what is short and takes no lock: the others of its batch and those who come after them wait for it.
 */
export class SharedReads implements Queryable {
  private readonly onConnection: OnConnection;
  private readonly batches = new Batches<Read>((batch) => this.serve(batch));

  constructor(onConnection: OnConnection) {
    this.onConnection = onConnection;
  }

  query<Row extends object>(sql: string, values?: readonly unknown[], name?: string): Promise<QueryResult<Row>> {
    return new Promise((resolve, reject) => {
      const run = async (client: pg.ClientBase): Promise<DatabaseUnavailable | null> => {
        try {
          resolve(await queryOn<Row>(client, true, sql, values, name));
          return null;
        } catch (error) {
          reject(error);
          return error instanceof DatabaseUnavailable ? error : null;
        }
      };
      if (!this.batches.add({ run, reject })) reject(new DatabaseUnavailable("overloaded", false));
    });
  }

  private async serve(batch: readonly Read[]): Promise<void> {
    try {
      await this.onConnection(async (client) => {
        const failures = await Promise.all(batch.map((read) => read.run(client)));
        const lost = failures.find((failure) => failure !== null);
        // The pool hears of it, and does not give this connection to others.
        if (lost) throw lost;
      });
    } catch (error) {
      // When there was no connection, nobody has been told yet.
      for (const read of batch) read.reject(error);
    }
  }
}
