import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { ADVISORY_LOCKS } from "./advisory-locks.ts";
import type { Database } from "./pool.ts";
import type { Queryable } from "./query.ts";

/** Where this build's migrations are. */
export const MIGRATIONS_URL = new URL("./migrations/", import.meta.url);

const FILE_NAME = /^(\d{6})_[a-z0-9_]+\.sql$/;
/** First line of a migration after which older binaries must not use the database. */
const BREAKING = /^--! breaking\s*$/m;

/** The database and this build do not fit together; nothing was changed. */
export class MigrationError extends Error {
  readonly code: "changed" | "too_new" | "bad_files";
  constructor(code: MigrationError["code"], message: string) {
    super(message);
    this.name = "MigrationError";
    this.code = code;
  }
}

interface Migration {
  version: number;
  name: string;
  sql: string;
  checksum: string;
  breaking: boolean;
}

interface Applied {
  version: number;
  name: string;
  checksum: string;
  breaking: boolean;
}

/**
 * Brings the database up to this build: forward-only files `NNNNNN_name.sql`, numbered from 1 without gaps, each in one
 * transaction that inserts its version row first. Servers may start at once. Costs one query when nothing is to do.
 * @returns the names of the files applied now
 * @throws MigrationError when a merged file was changed, or a newer build left a `--! breaking` migration behind
 */
export async function migrate(db: Database, directory: URL = MIGRATIONS_URL): Promise<string[]> {
  const migrations = await readMigrations(directory);
  if (pending(migrations, await readApplied(db)).length === 0) return [];
  return db.withClient(async (client) => {
    await client.query("set statement_timeout = 0");
    await client.query("select pg_advisory_lock($1)", [ADVISORY_LOCKS.migration]);
    try {
      const todo = pending(migrations, await readApplied(client));
      for (const migration of todo) await apply(client, migration);
      return todo.map(({ name }) => name);
    } finally {
      await client.query("select pg_advisory_unlock($1)", [ADVISORY_LOCKS.migration]);
      await client.query("reset statement_timeout");
    }
  });
}

async function readMigrations(directory: URL): Promise<Migration[]> {
  const names = (await readdir(directory)).filter((name) => name.endsWith(".sql")).sort();
  return Promise.all(
    names.map(async (name, index) => {
      const version = Number(FILE_NAME.exec(name)?.[1]);
      if (version !== index + 1) {
        throw new MigrationError(
          "bad_files",
          `migration ${name}: expected a file named ${String(index + 1).padStart(6, "0")}_<name>.sql`,
        );
      }
      const sql = await readFile(new URL(name, directory), "utf8");
      const checksum = createHash("sha256").update(sql).digest("hex");
      return { version, name, sql, checksum, breaking: BREAKING.test(sql) };
    }),
  );
}

/** An empty list when the database has never been migrated. */
async function readApplied(client: Queryable): Promise<Applied[]> {
  const { rows: found } = await client.query<{ exists: boolean }>(
    "select to_regclass('schema_migrations') is not null as exists",
  );
  if (!found[0]?.exists) return [];
  const { rows } = await client.query<Applied>(
    "select version, name, checksum, breaking from schema_migrations order by version",
  );
  return rows;
}

/** What of `migrations` is not applied. Versions this build does not know are fine unless one of them is breaking. */
function pending(migrations: readonly Migration[], applied: readonly Applied[]): Migration[] {
  const known = new Map(migrations.map((migration) => [migration.version, migration]));
  for (const row of applied) {
    const migration = known.get(row.version);
    if (migration === undefined && row.breaking) {
      throw new MigrationError(
        "too_new",
        `the database has migration ${row.name} of a newer build, and this build cannot use it: upgrade`,
      );
    }
    if (migration !== undefined && migration.checksum !== row.checksum) {
      throw new MigrationError("changed", `migration ${row.name} was changed after it had been applied: add a new file instead`);
    }
  }
  const done = new Set(applied.map(({ version }) => version));
  return migrations.filter(({ version }) => !done.has(version));
}

/** The row goes first: a second server that got past the lock for any reason stops at the key and not halfway. */
async function apply(client: Queryable, { version, name, sql, checksum, breaking }: Migration): Promise<void> {
  try {
    await client.query("begin");
    await client.query(`create table if not exists schema_migrations (
      version    int primary key,
      name       text not null,
      checksum   text not null,
      breaking   boolean not null,
      applied_at timestamptz not null default now()
    )`);
    await client.query("insert into schema_migrations (version, name, checksum, breaking) values ($1, $2, $3, $4)", [
      version,
      name,
      checksum,
      breaking,
    ]);
    await client.query(sql);
    await client.query("commit");
  } catch (error) {
    await client.query("rollback");
    throw error;
  }
}
