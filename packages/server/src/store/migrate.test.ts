import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { createTestDatabase, type TestDatabase } from "@sandbox0/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { migrate } from "./migrate.ts";
import { createPool, type Database } from "./pool.ts";

let database: TestDatabase;
let directory: string;
let admin: Database;
const pools: Database[] = [];
beforeAll(async () => {
  database = await createTestDatabase();
  directory = await mkdtemp(join(tmpdir(), "sandbox0-migrate-"));
  admin = createPool({ connectionString: database.connectionString, max: 1 });
});
afterAll(async () => {
  await Promise.all([admin, ...pools].map((pool) => pool.close()));
  await rm(directory, { recursive: true });
  await database.drop();
});

/** An empty schema, as one to several servers see it. */
async function servers(schema: string, count = 1): Promise<Database[]> {
  await admin.query(`create schema ${schema}`);
  const connectionString = `${database.connectionString}${database.connectionString.includes("?") ? "&" : "?"}options=${encodeURIComponent(`-c search_path=${schema}`)}`;
  const made = Array.from({ length: count }, () => createPool({ connectionString, max: 2 }));
  pools.push(...made);
  return made;
}

let builds = 0;
/** A build with these migrations. */
async function build(files: Record<string, string>): Promise<URL> {
  builds += 1;
  const path = join(directory, `build-${builds}`);
  await mkdir(path);
  for (const [name, sql] of Object.entries(files)) await writeFile(join(path, name), sql);
  return pathToFileURL(`${path}/`);
}

const FIRST = { "000001_first.sql": "create table first (id int); insert into first values (1);" };
const BOTH = { ...FIRST, "000002_second.sql": "--! breaking\nalter table first add column name text;" };

test("our own migrations apply once and then are nothing to do", async () => {
  const [db] = (await servers("own")) as [Database];
  const applied = await migrate(db);
  expect(applied[0]).toBe("000001_init.sql");
  expect(await migrate(db)).toEqual([]);
  const { rows } = await db.query("select version, breaking from schema_migrations where version = 1");
  expect(rows).toEqual([{ version: 1, breaking: false }]);
});

test("a newer build applies what is new", async () => {
  const [db] = (await servers("newer")) as [Database];
  expect(await migrate(db, await build(FIRST))).toEqual(["000001_first.sql"]);
  expect(await migrate(db, await build(BOTH))).toEqual(["000002_second.sql"]);
  expect((await db.query("select * from first")).rows).toEqual([{ id: 1, name: null }]);
});

test("servers that start at once apply each file one time", async () => {
  const many = await servers("race", 4);
  const directoryUrl = await build(BOTH);
  const applied = await Promise.all(many.map((db) => migrate(db, directoryUrl)));
  expect(applied.flat().sort()).toEqual(["000001_first.sql", "000002_second.sql"]);
  expect((await many[0]?.query("select count(*) as count from first"))?.rows).toEqual([{ count: 1 }]);
});

test("an older build may use the database unless a newer migration is breaking", async () => {
  const [db] = (await servers("older")) as [Database];
  const mild = { ...FIRST, "000002_mild.sql": "create table second ();" };
  await migrate(db, await build(mild));
  expect(await migrate(db, await build(FIRST))).toEqual([]);
  const [other] = (await servers("older_breaking")) as [Database];
  await migrate(other, await build(BOTH));
  await expect(migrate(other, await build(FIRST))).rejects.toMatchObject({
    code: "too_new",
    message: expect.stringContaining("000002_second.sql"),
  });
});

test("a file that was changed after it had been applied is refused, and nothing after it runs", async () => {
  const [db] = (await servers("changed")) as [Database];
  await migrate(db, await build(FIRST));
  const changed = { ...BOTH, "000001_first.sql": "create table first (id int8);" };
  await expect(migrate(db, await build(changed))).rejects.toMatchObject({
    code: "changed",
    message: expect.stringContaining("000001_first.sql"),
  });
  expect((await db.query("select * from first")).rows).toEqual([{ id: 1 }]);
});

test("a file that fails leaves nothing of itself, and what was before it stays", async () => {
  const [db] = (await servers("failing")) as [Database];
  const files = { ...FIRST, "000002_bad.sql": "create table half (); select 1 / 0;" };
  await expect(migrate(db, await build(files))).rejects.toThrow(/division by zero/);
  const { rows } = await db.query("select to_regclass('half') as half, (select max(version) from schema_migrations) as version");
  expect(rows).toEqual([{ half: null, version: 1 }]);
  expect(await migrate(db, await build(BOTH))).toEqual(["000002_second.sql"]);
});

test.each([
  ["000002_gap.sql", "a gap"],
  ["1_short.sql", "a bad number"],
  ["000001_Upper.sql", "a bad name"],
])("%s is refused for %s", async (name) => {
  const [db] = (await servers(`files_${builds}`)) as [Database];
  await expect(migrate(db, await build({ [name]: "select 1" }))).rejects.toMatchObject({ code: "bad_files" });
});
