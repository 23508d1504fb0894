import { setTimeout as delay } from "node:timers/promises";
import type pg from "pg";
import { DatabaseUnavailable, isConflict, translateError } from "./database-error.ts";
import { type QueryResult, queryOn, type Transaction } from "./query.ts";

/** Tries at one transaction that Postgres keeps rolling back for conflicts. */
export const TRANSACTION_ATTEMPTS_MAX = 6;
/** Before the second try, doubled for each further one, and spread so that two losers do not meet again. */
const RETRY_DELAY_MS = 2;

/**
 * Runs `attempt` until it is not refused for a conflict (40001, 40P01), a bounded number of times. Nothing else is tried
 * again: after any other error the caller alone knows whether that is safe.
 * @throws DatabaseUnavailable("conflict") when every try was refused
 */
export async function retryConflicts<T>(attempt: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await attempt();
    } catch (error) {
      if (!isConflict(error)) throw error;
      if (tries === TRANSACTION_ATTEMPTS_MAX) throw new DatabaseUnavailable("conflict", false, error);
      await delay(RETRY_DELAY_MS * 2 ** (tries - 1) * (0.5 + Math.random()));
    }
  }
}

/**
 * One transaction on a pipelined connection: `begin` leaves with the first statement, so it costs no round trip.
 * @throws DatabaseUnavailable with `outcomeUnknown` only when the connection was lost after the commit had been sent
 */
export async function inTransaction<T>(client: pg.ClientBase, fn: (tx: Transaction) => Promise<T>): Promise<T> {
  let open = true;
  const closing: { commit?: Promise<void> } = {};
  const run = <Row extends object>(
    autocommit: boolean,
    sql: string,
    values?: readonly unknown[],
    name?: string,
  ): Promise<QueryResult<Row>> => {
    // On the wire it would run after the commit, outside any transaction.
    if (!open) return Promise.reject(new Error("a query was made on a transaction that is over: await it inside `fn`"));
    return queryOn<Row>(client, autocommit, sql, values, name);
  };
  const tx: Transaction = {
    query: (sql, values, name) => run(false, sql, values, name),
    async last<Row extends object>(sql: string, values?: readonly unknown[], name?: string) {
      const result = run<Row>(true, sql, values, name);
      if (open) closing.commit = commit(client);
      open = false;
      return (await Promise.all([result, closing.commit]))[0];
    },
  };
  const begun = client.query("begin");
  try {
    const [value] = await Promise.all([fn(tx), begun]);
    open = false;
    await (closing.commit ?? commit(client));
    return value;
  } catch (error) {
    open = false;
    // A commit that left with the last statement may have arrived, also when it was `begin` whose answer was lost.
    const cause = translateError(error, closing.commit !== undefined);
    if (!(cause instanceof DatabaseUnavailable)) await queryOn(client, false, "rollback");
    throw cause;
  }
}

async function commit(client: pg.ClientBase): Promise<void> {
  try {
    const { command } = await client.query("commit");
    if (command !== "COMMIT") throw new Error("nothing was committed: a statement failed and its error was swallowed in `fn`");
  } catch (error) {
    throw translateError(error, true);
  }
}
