import { createTestDatabase, type TestDatabase, until } from "@sandbox0/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { sqlState } from "./database-error.ts";
import { createPool, type Database } from "./pool.ts";

let database: TestDatabase;
let db: Database;
let other: Database;
beforeAll(async () => {
  database = await createTestDatabase();
  db = createPool({ connectionString: database.connectionString, max: 8, applicationName: "reading" });
  other = createPool({ connectionString: database.connectionString, max: 1 });
});
afterAll(async () => {
  await db.close();
  await other.close();
  await database.drop();
});

const read = async (value: number): Promise<unknown> =>
  (await db.reads.query<{ value: number }>("select $1::int as value", [value], "read_value")).rows[0]?.value;
const whoIsThere = async (): Promise<number[]> =>
  (
    await other.query<{ pid: number }>("select pid from pg_stat_activity where application_name = 'reading' order by pid")
  ).rows.map(({ pid }) => pid);

test("many reads at once get their own answers over few connections", async () => {
  const values = Array.from({ length: 500 }, (_, index) => index);
  expect(await Promise.all(values.map(read))).toEqual(values);
  expect((await whoIsThere()).length).toBeLessThanOrEqual(2);
});

test("they leave the pool as it was", async () => {
  await Promise.all([read(1), read(2), read(3)]);
  await until(() => db.stats().idle === db.stats().open);
  expect(db.stats().waiting).toBe(0);
});

test("one that fails fails alone", async () => {
  const outcomes = await Promise.allSettled([read(1), db.reads.query("select 1 / 0"), read(2), read(3)]);
  expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled", "fulfilled"]);
  expect(outcomes[1]?.status === "rejected" && sqlState(outcomes[1].reason)).toBe("22012");
});

test("a connection that is lost fails what was on it, and the next reads have another", async () => {
  const suicide = db.reads.query("select pg_terminate_backend(pg_backend_pid()), pg_sleep(10)");
  await expect(suicide).rejects.toMatchObject({ code: "database_unavailable", reason: "connection" });
  expect(await read(7)).toBe(7);
  const before = await whoIsThere();
  const cut = Promise.allSettled([db.reads.query("select pg_sleep(60)"), db.reads.query("select pg_sleep(60)"), read(1)]);
  await until(async () => (await other.query("select from pg_stat_activity where query = 'select pg_sleep(60)'")).rowCount === 1);
  await other.query("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'reading'");
  expect((await cut).slice(0, 2).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  expect(await Promise.all([read(8), read(9), read(10)])).toEqual([8, 9, 10]);
  // Whoever is cut off is told before Postgres has taken the connection off its list.
  await until(async () => !(await whoIsThere()).some((pid) => before.includes(pid)));
});

test("a pool that is closed answers no read, and waits for those under way", async () => {
  const pool = createPool({ connectionString: database.connectionString, max: 2 });
  const running = pool.reads.query("select pg_sleep(0.05), 1 as one");
  await until(() => pool.stats().open === 1);
  const [{ rows }] = await Promise.all([running, pool.close()]);
  expect(rows[0]).toMatchObject({ one: 1 });
  await expect(pool.reads.query("select 1")).rejects.toMatchObject({ reason: "closed" });
});
