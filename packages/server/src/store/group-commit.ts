import type pg from "pg";
import { Batches } from "./batches.ts";
import { DatabaseUnavailable } from "./database-error.ts";
import { type Queryable, type QueryResult, queryOn } from "./query.ts";

const HALVED_FROM = 16;
/** A row that somebody else holds longer than this stops its own statement only, not those beside it. */
const LOCK_TIMEOUT_MS = 20;

interface Member {
  key: string;
  run(db: Queryable): Promise<() => void>;
  reject(error: unknown): void;
}

/** Runs on one connection of the pool. */
type OnConnection = <T>(fn: (client: pg.ClientBase) => Promise<T>) => Promise<T>;

/**
 * Lets single statements of many callers share transactions: `begin`, up to 64 statements and `commit` leave together, so
 * they cost one round trip and one flush to disk. With 16 a transaction a durable insert costs 80 µs of two cores instead
 * of 250, Node and Postgres together. A statement that is alone runs as it would without this.
 *
 * A group that fails for one statement is rolled back as a whole, and each runs again by itself: only the bad one fails.
 */
export class GroupCommit {
  private readonly onConnection: OnConnection;
  private readonly groups = new Batches<Member>((members) => this.serve(members), { halvedFrom: HALVED_FROM });

  constructor(onConnection: OnConnection) {
    this.onConnection = onConnection;
  }

  run<T>(key: string, fn: (db: Queryable) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const run = async (db: Queryable): Promise<() => void> => {
        try {
          const value = await fn(db);
          return () => resolve(value);
        } catch (error) {
          return () => reject(error);
        }
      };
      if (!this.groups.add({ key, run, reject })) reject(new DatabaseUnavailable("overloaded", false));
    });
  }

  private async serve(members: Member[]): Promise<void> {
    const [first] = members;
    if (members.length === 1 && first) return this.alone(first);
    try {
      const settle = await this.onConnection((client) => together(client, members));
      if (settle === "rolled back") await Promise.all(members.map((member) => this.alone(member)));
      else for (const settleOne of settle) settleOne();
    } catch (error) {
      for (const member of members) member.reject(error);
    }
  }

  private async alone(member: Member): Promise<void> {
    try {
      const settle = await this.onConnection((client) => member.run(onClient(client, true)));
      settle();
    } catch (error) {
      member.reject(error);
    }
  }
}

/** In the order of their keys: two groups that meet on several rows wait for each other and never in a circle. */
async function together(client: pg.ClientBase, members: Member[]): Promise<(() => void)[] | "rolled back"> {
  const ordered = members.toSorted((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  let open = true;
  const db = onClient(client, false, () => open);
  // The commit leaves with it: when this one fails for a lost connection, that one may have arrived.
  const begun = queryOn(client, true, `begin; set local lock_timeout = ${LOCK_TIMEOUT_MS}`);
  const settled = Promise.all(ordered.map((member) => member.run(db)));
  open = false;
  const [, settle, done] = await Promise.all([begun, settled, queryOn(client, true, "commit")]);
  return done.command === "COMMIT" ? settle : "rolled back";
}

function onClient(client: pg.ClientBase, autocommit: boolean, isOpen: () => boolean = () => true): Queryable {
  return {
    query<Row extends object>(sql: string, values?: readonly unknown[], name?: string): Promise<QueryResult<Row>> {
      // The commit is on its way already.
      if (!isOpen()) return Promise.reject(new Error("a grouped function makes exactly one query, before it awaits anything"));
      return queryOn<Row>(client, autocommit, sql, values, name);
    },
  };
}
