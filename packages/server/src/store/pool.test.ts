import { createTestDatabase, type TestDatabase, until } from "@sandbox0/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { DatabaseUnavailable, isUniqueViolation, sqlState } from "./database-error.ts";
import { createPool, type Database, POOL_WAITERS_MAX } from "./pool.ts";
import { TRANSACTION_ATTEMPTS_MAX } from "./transaction.ts";

let database: TestDatabase;
let db: Database;
beforeAll(async () => {
  database = await createTestDatabase();
  db = createPool({ connectionString: database.connectionString, max: 4 });
  await db.query("create table numbers (id int primary key, value int not null)");
});
afterAll(async () => {
  await db.close();
  await database.drop();
});

async function caught(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("it did not fail");
}

/** Raises an error with this SQLSTATE. */
const raise = (state: string): string => `do $$ begin raise exception 'asked for' using errcode = '${state}'; end $$`;
const readValue = async (id: number): Promise<unknown> =>
  (await db.query<{ value: number }>("select value from numbers where id = $1", [id])).rows[0]?.value;

test("values arrive as what they are", async () => {
  const { rows, rowCount } = await db.query(
    `select 9007199254740991::int8 as big, array[1, null, 3]::int8[] as bigs, count(*) as count, '{"a": [1]}'::jsonb as parsed,
            '{"a": "\\u0000"}'::json::text as text, timestamptz '2026-01-02T03:04:05.678Z' as at, null as nothing from generate_series(1, 5)`,
  );
  expect(rowCount).toBe(1);
  expect(rows[0]).toEqual({
    big: 9007199254740991,
    bigs: [1, null, 3],
    count: 5,
    parsed: { a: [1] },
    text: '{"a": "\\u0000"}',
    at: new Date("2026-01-02T03:04:05.678Z"),
    nothing: null,
  });
  await expect(db.query("select 9007199254740993::int8")).rejects.toThrow(RangeError);
});

test("an error of Postgres keeps its SQLSTATE and constraint", async () => {
  await db.query("insert into numbers values (1, 1)");
  const error = await caught(db.query("insert into numbers values (1, 2)"));
  expect(sqlState(error)).toBe("23505");
  expect(isUniqueViolation(error)).toBe(true);
  expect(isUniqueViolation(error, "numbers_pkey")).toBe(true);
  expect(isUniqueViolation(error, "other_key")).toBe(false);
  expect(isUniqueViolation(new Error("x"))).toBe(false);
});

test("a transaction commits all or nothing", async () => {
  const done = await db.transaction(async (tx) => {
    await tx.query("insert into numbers values (10, 1)");
    await Promise.all([
      tx.query("update numbers set value = value + 1 where id = 10"),
      tx.query("update numbers set value = value * 10 where id = 10"),
    ]);
    return "done";
  });
  expect(done).toBe("done");
  expect(await readValue(10)).toBe(20);
  const bug = new Error("changed my mind");
  const failed = db.transaction(async (tx) => {
    await tx.query("delete from numbers where id = 10");
    throw bug;
  });
  expect(await caught(failed)).toBe(bug);
  expect(await readValue(10)).toBe(20);
});

test("a named statement is prepared once on a connection", async () => {
  await db.withClient(async (client) => {
    for (let id = 0; id < 3; id += 1) await client.query("select $1::int as id", [id], "by_id");
    const { rows } = await client.query("select count(*) as count from pg_prepared_statements where name = 'by_id'");
    expect(rows).toEqual([{ count: 1 }]);
  });
});

test.each(["40001", "40P01"])("a transaction refused with %s runs again", async (state) => {
  let runs = 0;
  await db.transaction(async (tx) => {
    runs += 1;
    await tx.query("insert into numbers values (20, 1) on conflict (id) do update set value = numbers.value + 1");
    if (runs < 3) await tx.query(raise(state));
  });
  expect(runs).toBe(3);
  expect(await readValue(20)).toBe(state === "40001" ? 1 : 2);
});

test("it does not run again for ever, and for no other error", async () => {
  let runs = 0;
  const conflict = await caught(
    db.transaction(async (tx) => {
      runs += 1;
      await tx.query(raise("40001"));
    }),
  );
  expect(conflict).toMatchObject({ code: "database_unavailable", reason: "conflict", outcomeUnknown: false });
  expect(runs).toBe(TRANSACTION_ATTEMPTS_MAX);
  runs = 0;
  const other = await caught(
    db.transaction(async (tx) => {
      runs += 1;
      await tx.query(raise("23514"));
    }),
  );
  expect(sqlState(other)).toBe("23514");
  expect(runs).toBe(1);
});

test("two transactions in a deadlock both succeed", async () => {
  await db.query("insert into numbers values (31, 0), (32, 0)");
  const first = { one: Promise.withResolvers<void>(), two: Promise.withResolvers<void>() };
  const add = (own: number, other: number, mine: PromiseWithResolvers<void>, theirs: PromiseWithResolvers<void>) =>
    db.transaction(async (tx) => {
      await tx.query("update numbers set value = value + 1 where id = $1", [own]);
      mine.resolve();
      await theirs.promise;
      await tx.query("update numbers set value = value + 1 where id = $1", [other]);
    });
  await Promise.all([add(31, 32, first.one, first.two), add(32, 31, first.two, first.one)]);
  expect([await readValue(31), await readValue(32)]).toEqual([2, 2]);
});

test("an error swallowed inside a transaction is not taken for a commit", async () => {
  const swallowed = db.transaction(async (tx) => {
    await tx.query("insert into numbers values (40, 1)");
    await caught(tx.query("select 1 / 0"));
  });
  await expect(swallowed).rejects.toThrow(/nothing was committed/);
  expect(await readValue(40)).toBeUndefined();
});

test("a query on a transaction that is over does not run", async () => {
  const late = await db.transaction(async (tx) => () => tx.query("insert into numbers values (50, 1)"));
  await expect(late()).rejects.toThrow(/transaction that is over/);
  expect(await readValue(50)).toBeUndefined();
});

test("the last statement of a transaction is committed with it, or undoes all of it", async () => {
  const value = await db.transaction(async (tx) => {
    await tx.query("insert into numbers values (80, 1)");
    const { rows } = await tx.last<{ value: number }>("update numbers set value = 2 where id = 80 returning value");
    await expect(tx.query("delete from numbers where id = 80")).rejects.toThrow(/transaction that is over/);
    await expect(tx.last("delete from numbers where id = 80")).rejects.toThrow(/transaction that is over/);
    return rows[0]?.value;
  });
  expect([value, await readValue(80)]).toEqual([2, 2]);
  const failed = await caught(
    db.transaction(async (tx) => {
      await tx.query("insert into numbers values (81, 1)");
      await tx.last(raise("23514"));
    }),
  );
  expect(sqlState(failed)).toBe("23514");
  const swallowed = db.transaction(async (tx) => {
    await tx.query("insert into numbers values (81, 1)");
    await caught(tx.last(raise("23514")));
  });
  await expect(swallowed).rejects.toThrow(/nothing was committed/);
  expect(await readValue(81)).toBeUndefined();
  let runs = 0;
  await db.transaction(async (tx) => {
    runs += 1;
    await tx.last(runs < 3 ? raise("40001") : "select 1");
  });
  expect(runs).toBe(3);
});

test("a failed transaction leaves its connection as it was", async () => {
  const single = createPool({ connectionString: database.connectionString, max: 1 });
  await caught(single.transaction((tx) => tx.query(raise("23514"))));
  await single.transaction((tx) => tx.query("insert into numbers values (60, 1)"));
  expect(await readValue(60)).toBe(1);
  expect(single.stats()).toEqual({ open: 1, idle: 1, waiting: 0 });
  await single.close();
});

test("a connection lost in a transaction surely did nothing; one lost with a single statement may have", async () => {
  const suicide = "select pg_terminate_backend(pg_backend_pid()), pg_sleep(10)";
  const inside = await caught(
    db.transaction(async (tx) => {
      await tx.query("insert into numbers values (70, 1)");
      await tx.query(suicide);
    }),
  );
  expect(inside).toBeInstanceOf(DatabaseUnavailable);
  expect(inside).toMatchObject({ reason: "connection", outcomeUnknown: false, retryable: true });
  expect(await caught(db.query(suicide))).toMatchObject({ reason: "connection", outcomeUnknown: true });
  expect(await caught(db.transaction((tx) => tx.last(suicide)))).toMatchObject({ reason: "connection", outcomeUnknown: true });
  expect(await readValue(70)).toBeUndefined();
});

test("idle connections that are cut are replaced, and the process lives", async () => {
  const lost: Error[] = [];
  const pool = createPool({
    connectionString: database.connectionString,
    max: 2,
    applicationName: "victim",
    onConnectionError: (error) => lost.push(error),
  });
  await Promise.all([pool.query("select pg_sleep(0.01)"), pool.query("select pg_sleep(0.01)")]);
  expect(pool.stats().idle).toBe(2);
  await db.query("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'victim'");
  await until(() => pool.stats().open === 0);
  expect(lost.length).toBeGreaterThan(0);
  expect((await pool.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
  await pool.close();
});

test("a server that is away is unavailable, not a crash", async () => {
  for (const connectionString of ["postgresql://user@127.0.0.1:1/none", "postgresql:///none?host=%2Fnowhere"]) {
    const away = createPool({ connectionString, max: 1 });
    expect(await caught(away.query("select 1"))).toMatchObject({ reason: "connection", outcomeUnknown: false });
    expect(await caught(away.transaction((tx) => tx.query("select 1")))).toMatchObject({
      reason: "connection",
      outcomeUnknown: false,
    });
    await away.close();
  }
});

test("the queue for connections is bounded", async () => {
  const pool = createPool({ connectionString: database.connectionString, max: 1 });
  const gate = Promise.withResolvers<void>();
  const holding = Promise.withResolvers<void>();
  const holder = pool.withClient(async () => {
    holding.resolve();
    await gate.promise;
  });
  await holding.promise;
  const waiters = Array.from({ length: POOL_WAITERS_MAX }, () => pool.query("select 1", [], "one"));
  expect(await caught(pool.query("select 1"))).toMatchObject({ reason: "overloaded", outcomeUnknown: false });
  gate.resolve();
  await holder;
  // On a busy machine the last ones have waited too long by then, and are told so.
  for (const waiter of await Promise.allSettled(waiters)) {
    if (waiter.status === "rejected") expect(waiter.reason).toMatchObject({ reason: "overloaded", outcomeUnknown: false });
  }
  await pool.close();
});

test("close waits for what runs; after it nothing does", async () => {
  const pool = createPool({ connectionString: database.connectionString, max: 1 });
  const running = pool.query("select pg_sleep(0.05), 1 as one");
  await until(() => pool.stats().open === 1);
  const [{ rows }] = await Promise.all([running, pool.close(), pool.close()]);
  expect(rows[0]).toMatchObject({ one: 1 });
  expect(await caught(pool.query("select 1"))).toMatchObject({ reason: "closed" });
});
