import type { Actor } from "@sandbox0/protocol";
import { createTestDatabase, type TestDatabase } from "@sandbox0/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { migrate } from "../../store/migrate.ts";
import { createPool, type Database } from "../../store/pool.ts";
import { createApiKeys } from "../api-keys/api-keys.ts";
import { type MemoryApi, openMemory } from "./open-memory.ts";

const DAY_MS = 24 * 60 * 60_000;
const SESSION = { type: "session_actor" as const, session_id: "sesn_01x" } satisfies Actor;

let database: TestDatabase;
let db: Database;
let api: MemoryApi;
let workspaceId: string;
let now = Date.now();
let close: () => Promise<void>;
beforeAll(async () => {
  database = await createTestDatabase();
  db = createPool({ connectionString: database.connectionString, max: 4 });
  await migrate(db);
  ({ workspaceId } = await createApiKeys({ db }).bootstrap("sk-test"));
  const memory = openMemory({ db, onProblem: () => undefined, now: () => new Date(now) });
  ({ api, close } = memory);
});
afterAll(async () => {
  await close();
  await db.close();
  await database.drop();
});

async function contentsOf(storeId: string, id: string): Promise<(string | null | undefined)[]> {
  const { data } = await api.versions.list({ workspaceId, storeId }, { memory_id: id, view: "full", limit: 100 });
  return data.map(({ content }) => content);
}

test("versions are kept for 30 days, the last ten of a living memory for longer, and the current one for ever", async () => {
  const { id: storeId } = await api.stores.create(workspaceId, { name: "old" });
  const store = { workspaceId, storeId };
  const lives = (await api.memories.create(store, { path: "/lives", content: "0" }, SESSION)).id;
  const gone = (await api.memories.create(store, { path: "/gone", content: "gone" }, SESSION)).id;
  const still = (await api.memories.create(store, { path: "/still", content: "never changed" }, SESSION)).id;
  for (let change = 1; change <= 14; change++)
    await api.memories.update({ ...store, id: lives }, { content: String(change) }, SESSION);
  await api.memories.delete({ ...store, id: gone }, SESSION);
  now += 29 * DAY_MS;
  await api.versions.purge();
  expect(await contentsOf(storeId, lives)).toHaveLength(15);
  expect(await contentsOf(storeId, gone)).toEqual([null, "gone"]);
  await api.memories.update({ ...store, id: lives }, { content: "15" }, SESSION);
  now += 2 * DAY_MS;
  await api.versions.purge();
  expect(await contentsOf(storeId, lives)).toEqual(["15", "14", "13", "12", "11", "10", "9", "8", "7", "6"]);
  expect(await contentsOf(storeId, gone)).toEqual([]);
  expect(await contentsOf(storeId, still)).toEqual(["never changed"]);
  expect(await api.memories.retrieve({ ...store, id: still })).toMatchObject({ content: "never changed" });
});

test("a version says which session made it, and can be found by it", async () => {
  const { id: storeId } = await api.stores.create(workspaceId, { name: "mounted" });
  const store = { workspaceId, storeId };
  const { id } = await api.memories.create(store, { path: "/a", content: "a" }, SESSION);
  await api.memories.update({ ...store, id }, { content: "b" }, { type: "api_actor", api_key_id: "apikey_01x" });
  const { data } = await api.versions.list(store, { session_id: SESSION.session_id });
  expect(data).toMatchObject([{ operation: "created", created_by: SESSION }]);
});
