import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { until } from "@sandbox0/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { MANY_MEMORIES, newTag, type ScriptName, STARTED_FILE } from "./model.ts";
import type { ServerProcess } from "./server-process.ts";
import { createStage, message, type Stage } from "./stage.ts";

/** Servers are killed between what a session writes under /mnt/memory and the store, in both directions. */
let stage: Stage;
beforeAll(async () => {
  stage = await createStage();
});
afterAll(() => stage.close());

async function createStore(server: ServerProcess, count = 0): Promise<string> {
  const { memoryStores } = stage.client(server).beta;
  const { id } = await memoryStores.create({ name: "notes" });
  for (let i = 1; i <= count; i++) await memoryStores.memories.create(id, { path: `/m${i}`, content: `${i}` });
  return id;
}

/** Contents by path, and the operations of all versions with who made them. */
async function stored(storeId: string): Promise<{ contents: Map<string, string>; versions: string[] }> {
  const { rows: memories } = await stage.db.query<{ path: string; content: string }>(
    `select m.path, convert_from(v.content, 'UTF8') as content
     from memories m join memory_versions v on v.id = m.version_id where m.store_id = $1`,
    [storeId],
  );
  const { rows: versions } = await stage.db.query<{ operation: string; path: string; by: string }>(
    "select operation, path, created_by->>'session_id' as by from memory_versions where store_id = $1",
    [storeId],
  );
  return {
    contents: new Map(memories.map(({ path, content }) => [path, content])),
    versions: versions.map(({ operation, path, by }) => `${operation} ${path} by ${by}`),
  };
}

async function versionsOf(storeId: string): Promise<number> {
  const { rows } = await stage.db.query<{ count: string }>("select count(*) from memory_versions where store_id = $1", [storeId]);
  return Number(rows[0]?.count);
}

const play = (server: ServerProcess, sessionId: string, script: ScriptName): Promise<void> =>
  stage.send(server, sessionId, [message(`${script} ${newTag()}`)]);

/** Every memory is there as it was written, and was stored once, by the session. */
async function expectStoredOnce(storeId: string, sessionId: string, count: number): Promise<void> {
  const { contents, versions } = await stored(storeId);
  const names = Array.from({ length: count }, (_, index) => `m${index + 1}`);
  expect(contents).toEqual(new Map(names.map((name) => [`/${name}`, name.slice(1)])));
  expect(versions.sort()).toEqual(names.map((name) => `created /${name} by ${sessionId}`).sort());
}

test("killed before the call has ended: the next turn here stores what was written", async () => {
  const server = await stage.startServer();
  const storeId = await createStore(server);
  const sessionId = await stage.createSession(server, { memoryStoreId: storeId });
  await play(server, sessionId, "memories, then wait");
  await until(async () => existsSync((await stage.workspacePath(sessionId, STARTED_FILE)) ?? ""));
  await server.kill();
  expect(await versionsOf(storeId)).toBe(0);
  const next = await stage.startServer();
  const record = await stage.untilRest(sessionId);
  expect(await stage.violations(record)).toEqual([]);
  await expectStoredOnce(storeId, sessionId, 40);
  await next.kill();
});

test.each([1, MANY_MEMORIES / 4, MANY_MEMORIES / 2])(
  "killed when %i of the memories of a call are stored: the others are too, and each once",
  async (count) => {
    const server = await stage.startServer();
    const storeId = await createStore(server);
    const sessionId = await stage.createSession(server, { memoryStoreId: storeId });
    await play(server, sessionId, "many memories");
    await until(async () => (await versionsOf(storeId)) >= count);
    await server.kill();
    const next = await stage.startServer();
    const record = await stage.untilRest(sessionId);
    expect(await stage.violations(record)).toEqual([]);
    await expectStoredOnce(storeId, sessionId, MANY_MEMORIES);
    await next.kill();
  },
);

test("killed while memories are being laid out: none of them is taken for deleted", async () => {
  const server = await stage.startServer();
  const storeId = await createStore(server, MANY_MEMORIES);
  const sessionId = await stage.createSession(server, { memoryStoreId: storeId });
  await play(server, sessionId, "read the memories");
  const dir = join(stage.dataDir, "sandbox", "memory", sessionId, storeId, "files");
  await until(() => existsSync(dir) && readdirSync(dir).length > 0);
  await server.kill();
  const next = await stage.startServer();
  const record = await stage.untilRest(sessionId);
  expect(await stage.violations(record)).toEqual([]);
  const { contents, versions } = await stored(storeId);
  expect(contents.size).toBe(MANY_MEMORIES);
  expect(versions.filter((version) => !version.endsWith("by null"))).toEqual([]);
  expect(readdirSync(dir)).toHaveLength(MANY_MEMORIES);
  await next.kill();
});
