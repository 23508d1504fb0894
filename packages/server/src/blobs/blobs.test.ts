import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { createTestDatabase, type TestDatabase } from "@sandbox0/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createPool, type Database } from "../store/pool.ts";
import { type Blobs, createBlobs } from "./blobs.ts";
import { createDirectoryStore } from "./directory-store.ts";
import { BlobMissing, type BlobStore } from "./port.ts";

let database: TestDatabase;
let db: Database;
let path: string;
let store: BlobStore;
let blobs: Blobs;
const problems: unknown[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  db = createPool({ connectionString: database.connectionString, max: 4 });
  path = await mkdtemp(join(tmpdir(), "sandbox0-blobs-"));
  store = await createDirectoryStore(path);
  blobs = createBlobs({ db, store, onProblem: (error) => problems.push(error) });
  await db.query(`create table keepers (id text primary key, sha256 text references blobs)`);
  await db.query(`create trigger keepers_blob after insert or delete or update of sha256 on keepers
                  for each row execute function count_blob_reference()`);
});
afterAll(async () => {
  expect(problems).toEqual([]);
  await store.close();
  await db.close();
  await database.drop();
  await rm(path, { recursive: true });
});

/** With no grace: whatever nothing refers to goes now. */
const collect = () => createBlobs({ db, store, graceMs: -60_000, onProblem: (error) => problems.push(error) }).collect();
const put = (content: Uint8Array, into = blobs) => into.put(Readable.from([content]), { bytesMax: 1_000_000 });
const keep = (id: string, sha256: string | null) => db.query("insert into keepers values ($1, $2)", [id, sha256]);

test("what a row refers to stays, until the last one goes; what none refers to is deleted after the grace period", async () => {
  const { sha256 } = await put(randomBytes(1_000));
  const unwanted = await put(randomBytes(1_000));
  await keep("a", sha256);
  await keep("b", sha256);
  await keep("none", null);
  expect(await blobs.collect()).toEqual({ blobs: 0, unfinished: 0 });
  expect(await collect()).toEqual({ blobs: 1, unfinished: 0 });
  await expect(blobs.open(unwanted.sha256)).rejects.toBeInstanceOf(BlobMissing);
  await db.query("delete from keepers where id = 'a'");
  expect((await collect()).blobs).toBe(0);
  expect(await buffer(await blobs.open(sha256))).toHaveLength(1_000);
  await db.query("update keepers set sha256 = null where id = 'b'");
  expect(await blobs.collect()).toEqual({ blobs: 0, unfinished: 0 });
  expect((await collect()).blobs).toBe(1);
  expect(await store.exists(sha256)).toBe(false);
});

test("a row cannot refer to what was deleted", async () => {
  const { sha256 } = await put(randomBytes(1_000));
  await collect();
  await expect(keep("late", sha256)).rejects.toThrow(/keepers_sha256_fkey/);
});

test("a row that changes its mind takes its count along", async () => {
  const [one, two] = [await put(randomBytes(10)), await put(randomBytes(10))];
  await keep("moving", one.sha256);
  await db.query("update keepers set sha256 = $1 where id = 'moving'", [two.sha256]);
  await db.query("update keepers set sha256 = $1 where id = 'moving'", [two.sha256]);
  expect((await collect()).blobs).toBe(1);
  expect([await store.exists(one.sha256), await store.exists(two.sha256)]).toEqual([false, true]);
  const { rows } = await db.query("select refs from blobs where sha256 = $1", [two.sha256]);
  expect(rows).toEqual([{ refs: 1 }]);
});

test("content that comes again while it is being deleted is there afterwards", async () => {
  const content = randomBytes(1_000);
  const { sha256 } = await put(content);
  const deleting = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  const held: BlobStore = {
    ...store,
    async delete(address) {
      deleting.resolve();
      await goOn.promise;
      await store.delete(address);
    },
    // With no grace it would take what is coming.
    sweep: async () => 0,
  };
  const collecting = createBlobs({ db, store: held, graceMs: -60_000, onProblem: (error) => problems.push(error) }).collect();
  await deleting.promise;
  const again = put(content);
  const kept = again.then(() => keep("again", sha256));
  goOn.resolve();
  await Promise.all([collecting, kept]);
  expect(await buffer(await blobs.open(sha256))).toEqual(content);
});

test("a crash between the content's deletion and the row's: the row is left, and the content may come again", async () => {
  const content = randomBytes(1_000);
  const { sha256 } = await put(content);
  const crashing: BlobStore = {
    ...store,
    async delete(address) {
      await store.delete(address);
      throw new Error("killed");
    },
  };
  const dying = createBlobs({ db, store: crashing, graceMs: -60_000, onProblem: (error) => problems.push(error) });
  await expect(dying.collect()).rejects.toThrow("killed");
  await put(content);
  expect(await buffer(await blobs.open(sha256))).toEqual(content);
  expect((await collect()).blobs).toBe(1);
});

test("content whose hash is known is written once, and stays for the grace period from then on", async () => {
  const content = randomBytes(1_000);
  const sha256 = createHash("sha256").update(content).digest("hex");
  const staged: string[] = [];
  const counting: BlobStore = {
    ...store,
    stage: async (source, options) => {
      staged.push(options.sha256 ?? "");
      return store.stage(source, options);
    },
  };
  const known = createBlobs({ db, store: counting, graceMs: -60_000, onProblem: (error) => problems.push(error) });
  const never = new AbortController().signal;
  for (let n = 0; n < 2; n++) await known.putKnown(content, sha256, never);
  await keep("known", sha256);
  expect(staged).toEqual([sha256]);
  expect(await buffer(await blobs.open(sha256))).toEqual(content);
  expect(await readFile(known.pathOf(sha256) ?? "")).toEqual(content);
  // Of one that a crash has left without its content the row says nothing.
  await store.delete(sha256);
  await known.putKnown(content, sha256, never);
  expect(await store.exists(sha256)).toBe(true);
  await expect(known.putKnown(randomBytes(9), "0".repeat(64), AbortSignal.abort(new Error("enough")))).rejects.toThrow("enough");
  expect(await store.exists("0".repeat(64))).toBe(false);
  await collect();
});

test("two collectors at once delete each blob once", async () => {
  await Promise.all(Array.from({ length: 20 }, () => put(randomBytes(100))));
  const results = await Promise.all([collect(), collect()]);
  expect(results.reduce((sum, each) => sum + each.blobs, 0)).toBe(20);
  expect((await db.query("select 1 from blobs where refs = 0")).rows).toEqual([]);
});
