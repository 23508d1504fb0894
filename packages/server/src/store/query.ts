import pg from "pg";
import { translateError } from "./database-error.ts";

export interface QueryResult<Row> {
  rows: Row[];
  /** Rows returned, or changed by a statement that returns none. */
  rowCount: number;
  /** For example `INSERT`; `ROLLBACK` for a `commit` that Postgres refused. */
  command: string;
}

/**
 * Runs SQL. `name` makes it a prepared statement of each connection: give one to every statement of a hot path, the same
 * name always with the same text. On a transaction or a client, queries made without awaiting in between share a round trip.
 * int8 arrives as a number, timestamptz as a Date, json and jsonb parsed (select `::text` to have it as it is).
 * @throws DatabaseUnavailable, or `pg.DatabaseError` with its SQLSTATE (see `sqlState`)
 */
export interface Queryable {
  query<Row extends object = Record<string, unknown>>(
    sql: string,
    values?: readonly unknown[],
    name?: string,
  ): Promise<QueryResult<Row>>;
}

/** The statements of one transaction. */
export interface Transaction extends Queryable {
  /**
   * The last statement of the transaction: the commit leaves with it and saves a round trip. Resolves when both are done.
   * Nothing may follow it, and what is thrown after it undoes nothing.
   */
  last: Queryable["query"];
}

const INT8 = 20;
const INT8_ARRAY = 1016;

function parseInt8(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new RangeError(`int8 ${text} does not fit a JavaScript number`);
  return value;
}

/** `pg`'s own parsers but for int8: every count and sequence of ours is far below 2^53. */
export const sqlTypes: pg.CustomTypesConfig = {
  getTypeParser(oid: number, format?: "text" | "binary") {
    if (oid === INT8) return parseInt8;
    const parse = pg.types.getTypeParser(oid, format as "text");
    return oid === INT8_ARRAY
      ? (text: string) => (parse(text) as (string | null)[]).map((item) => (item === null ? null : parseInt8(item)))
      : parse;
  },
};

/** One statement on one connection. `autocommit`: it commits by itself, so a lost connection leaves its outcome unknown. */
export async function queryOn<Row extends object>(
  client: pg.ClientBase,
  autocommit: boolean,
  sql: string,
  values?: readonly unknown[],
  name?: string,
): Promise<QueryResult<Row>> {
  try {
    const config = { text: sql, ...(values && { values: values as unknown[] }), ...(name !== undefined && { name }) };
    const result = await client.query<Row>(config);
    return { rows: result.rows, rowCount: result.rowCount ?? 0, command: result.command };
  } catch (error) {
    throw translateError(error, autocommit);
  }
}
