import { createTestDatabase, type TestDatabase, until } from "@sandbox0/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { sqlState } from "./database-error.ts";
import { createPool, type Database } from "./pool.ts";
import type { Queryable } from "./query.ts";

let database: TestDatabase;
let db: Database;
let other: Database;
beforeAll(async () => {
  database = await createTestDatabase();
  db = createPool({ connectionString: database.connectionString, max: 4, applicationName: "grouping" });
  other = createPool({ connectionString: database.connectionString, max: 2 });
  await db.query("create table lines (id text primary key, value int not null check (value >= 0))");
});
afterAll(async () => {
  await db.close();
  await other.close();
  await database.drop();
});

const insert = (id: string, value = 0) =>
  db.grouped(id, (q) => q.query("insert into lines values ($1, $2)", [id, value], "insert_line"));
const add = (q: Queryable, id: string) => q.query("update lines set value = value + 1 where id = $1", [id], "add_line");
const names = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, index) => `${prefix}${index}`);

async function valueOfLine(id: string): Promise<number | undefined> {
  const { rows } = await other.query<{ value: number }>("select value from lines where id = $1", [id]);
  return rows[0]?.value;
}

test("statements of many callers are all committed, and share transactions", async () => {
  const ids = names("many", 500);
  const results = await Promise.all(ids.map((id) => insert(id)));
  expect(results.every(({ rowCount }) => rowCount === 1)).toBe(true);
  const { rows } = await other.query<{ rows: number; transactions: number }>(
    "select count(*) as rows, count(distinct xmin::text) as transactions from lines where id like 'many%'",
  );
  expect(rows[0]?.rows).toBe(500);
  expect(rows[0]?.transactions).toBeLessThan(100);
});

test("a statement that fails fails alone", async () => {
  const outcomes = await Promise.allSettled([insert("bad", -1), insert("good2"), insert("good1"), insert("good1")]);
  const [bad, good, ...twins] = outcomes.map((outcome) =>
    outcome.status === "rejected" ? sqlState(outcome.reason) : outcome.status,
  );
  expect([bad, good]).toEqual(["23514", "fulfilled"]);
  // Each runs again by itself, so either may be the first.
  expect(twins.sort()).toEqual(["23505", "fulfilled"]);
  expect([await valueOfLine("good1"), await valueOfLine("bad"), await valueOfLine("good2")]).toEqual([0, undefined, 0]);
});

test("an error of the function's own leaves its statement and the others in place", async () => {
  const lost = new Error("no row");
  const outcomes = await Promise.allSettled([
    db.grouped("own1", async (q) => {
      await q.query("insert into lines values ('own1', 1)");
      throw lost;
    }),
    insert("own2"),
  ]);
  expect(outcomes[0]).toEqual({ status: "rejected", reason: lost });
  expect([await valueOfLine("own1"), await valueOfLine("own2")]).toEqual([1, 0]);
});

test("a row that somebody holds stops its own statement only", async () => {
  await Promise.all(["held", "free"].map((id) => insert(id)));
  const gate = Promise.withResolvers<void>();
  const locked = Promise.withResolvers<void>();
  const holder = other.transaction(async (tx) => {
    await add(tx, "held");
    locked.resolve();
    await gate.promise;
  });
  await locked.promise;
  let done = false;
  const waiting = db
    .grouped("held", (q) => add(q, "held"))
    .then(() => {
      done = true;
    });
  await db.grouped("free", (q) => add(q, "free"));
  expect(await valueOfLine("free")).toBe(1);
  expect(done).toBe(false);
  gate.resolve();
  await Promise.all([holder, waiting]);
  expect(await valueOfLine("held")).toBe(2);
});

test("groups that meet on the same rows all get through, each statement once", async () => {
  const ids = names("ring", 20);
  await Promise.all(ids.map((id) => insert(id)));
  const rounds = Array.from({ length: 50 }, (_, round) => (round % 2 === 0 ? ids : ids.toReversed()));
  await Promise.all(rounds.flat().map((id) => db.grouped(id, (q) => add(q, id))));
  const { rows } = await other.query("select distinct value from lines where id like 'ring%'");
  expect(rows).toEqual([{ value: 50 }]);
});

test("a connection lost under a group leaves the outcome unknown for all of it", async () => {
  const cut = db.grouped("cut1", (q) => q.query("select pg_terminate_backend(pg_backend_pid()), pg_sleep(10)"));
  const outcomes = await Promise.allSettled([cut, insert("cut2")]);
  for (const outcome of outcomes) {
    expect(outcome).toMatchObject({
      status: "rejected",
      reason: { code: "database_unavailable", reason: "connection", outcomeUnknown: true },
    });
  }
  await until(() => insert("cut3"));
});

test("a second query does not slip out of the transaction", async () => {
  const twice = db.grouped("twice", async (q) => {
    await q.query("insert into lines values ('twice', 0)");
    await add(q, "twice");
  });
  const outcomes = await Promise.allSettled([twice, insert("once")]);
  expect(outcomes[0]).toMatchObject({ status: "rejected", reason: { message: expect.stringContaining("exactly one query") } });
  expect(await valueOfLine("once")).toBe(0);
});

test("one caller alone runs a plain statement", async () => {
  await insert("alone");
  const { rows } = await other.query<{ query: string }>(
    "select query from pg_stat_activity where application_name = 'grouping' and query like 'insert into lines%'",
  );
  expect(rows.length).toBeGreaterThan(0);
});
