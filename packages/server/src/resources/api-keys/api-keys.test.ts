import { createTestDatabase, type TestDatabase, until } from "@sandbox0/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Database, createPool } from "../../store/pool.ts";
import { DEFAULT_WORKSPACE, createApiKeys } from "./api-keys.ts";

let database: TestDatabase;
let db: Database;

beforeAll(async () => {
  database = await createTestDatabase();
  db = createPool({ connectionString: database.connectionString, max: 8 });
});
afterAll(async () => {
  await db.close();
  await database.drop();
});

test("of servers that start at once, one makes the first key; later starts make none", async () => {
  const starts = await Promise.all(Array.from({ length: 6 }, () => createApiKeys({ db }).bootstrap(undefined)));
  const created = starts.flatMap((start) => start.createdKey ?? []);
  expect(created).toHaveLength(1);
  expect(new Set(starts.map((start) => start.workspaceId)).size).toBe(1);
  const again = createApiKeys({ db });
  expect((await again.bootstrap(undefined)).createdKey).toBeNull();
  expect(await again.authenticate(created[0] ?? "")).toMatchObject({ workspaceId: starts[0]?.workspaceId, admin: true });
  expect(created[0]).toMatch(/^sk-sandbox0-[A-Za-z0-9_-]{43}$/);
});

test("a configured key is an admin key of the default workspace, and is not stored", async () => {
  const keys = createApiKeys({ db });
  const { workspaceId, createdKey } = await keys.bootstrap("configured-secret");
  expect(createdKey).toBeNull();
  expect(await keys.authenticate("configured-secret")).toEqual({ keyId: "configured", workspaceId, admin: true });
  expect(await createApiKeys({ db }).authenticate("configured-secret")).toBeNull();
  const { rows } = await db.query<{ name: string }>("select name from workspaces where id = $1", [workspaceId]);
  expect(rows[0]?.name).toBe(DEFAULT_WORKSPACE);
});

test("a key revoked on one server stops on the others within the time answers are believed", async () => {
  const [here, there] = [createApiKeys({ db }), createApiKeys({ db })];
  const { workspaceId } = await here.bootstrap("x");
  const admin = { keyId: "k", workspaceId, admin: true };
  const { key, id } = await here.create(admin, { name: "n" });
  expect(await here.authenticate(key)).not.toBeNull();
  expect(await there.authenticate(key)).not.toBeNull();
  await here.revoke(admin, id);
  expect(await here.authenticate(key)).toBeNull();
  await until(async () => (await there.authenticate(key)) === null);
  expect((await here.list(admin)).find((info) => info.id === id)?.revoked_at).not.toBeNull();
});

test("a key that is no admin key revokes those of its workspace, and no admin key", async () => {
  const keys = createApiKeys({ db });
  const { workspaceId } = await keys.bootstrap("x");
  const configured = { keyId: "k", workspaceId, admin: true };
  const [admin, second, ordinary] = [
    await keys.create(configured, { name: "admin", admin: true }),
    await keys.create(configured, { name: "another admin", admin: true }),
    await keys.create(configured, { name: "ordinary" }),
  ];
  const by = await keys.authenticate(ordinary.key);
  if (by === null) throw new Error("the key that was just made is not known");
  await expect(keys.revoke(by, admin.id)).rejects.toMatchObject({ type: "permission_error", status: 403 });
  expect(await createApiKeys({ db }).authenticate(admin.key)).toMatchObject({ admin: true });
  await expect(keys.revoke(by, "apikey_none")).rejects.toMatchObject({ type: "not_found_error" });
  await keys.revoke(configured, second.id);
  await keys.revoke(by, ordinary.id);
  const other = createApiKeys({ db });
  expect([await other.authenticate(second.key), await other.authenticate(ordinary.key)]).toEqual([null, null]);
});

test("an admin key of another workspace is not found, not forbidden", async () => {
  const keys = createApiKeys({ db });
  const { workspaceId } = await keys.bootstrap("x");
  const configured = { keyId: "k", workspaceId, admin: true };
  const elsewhere = await keys.create(configured, { name: "theirs", workspace: "elsewhere", admin: true });
  await expect(keys.revoke({ ...configured, admin: false }, elsewhere.id)).rejects.toMatchObject({ type: "not_found_error" });
});

test("a failed look-up is not remembered", async () => {
  let fail = true;
  const flaky: Database = { ...db, query: (...query) => (fail ? Promise.reject(new Error("away")) : db.query(...query)) };
  const keys = createApiKeys({ db: flaky });
  await expect(keys.authenticate("unknown")).rejects.toThrow("away");
  fail = false;
  expect(await keys.authenticate("unknown")).toBeNull();
});
