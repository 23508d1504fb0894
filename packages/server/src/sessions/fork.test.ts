import { createHash, randomBytes } from "node:crypto";
import { createId } from "@sandbox0/protocol";
import { createTestDatabase, type TestDatabase } from "@sandbox0/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createApiKeys } from "../resources/api-keys/api-keys.ts";
import { createLocalKeys } from "../resources/vaults/local-keys.ts";
import { createResourceTokens, type ResourceTokens } from "../resources/vaults/resource-tokens.ts";
import { touchBlob } from "../store/blobs.ts";
import { deleteFile, listFiles } from "../store/files.ts";
import { createPool, type Database } from "../store/pool.ts";
import { writeResourceToken } from "../store/resource-tokens.ts";
import { insertSessionResources, listSessionResources } from "../store/session-resources.ts";
import { storeOutput } from "../store/session-outputs.ts";
import { insertSession } from "../store/sessions.ts";
import { forkSession } from "./fork.ts";

let database: TestDatabase;
let db: Database;
let tokens: ResourceTokens;
let workspaceId: string;

beforeAll(async () => {
  database = await createTestDatabase();
  // A server whose other connections are all taken.
  db = createPool({ connectionString: database.connectionString, max: 1 });
  ({ workspaceId } = await createApiKeys({ db }).bootstrap("sk-test"));
  const keys = await createLocalKeys({ db, configured: randomBytes(32), file: "none" });
  tokens = createResourceTokens({ db: db.reads, keys });
  await db.query(
    `insert into environments (id, workspace_id, name, config, created_at, updated_at)
     values ('env_1', $1, 'e', '{}', now(), now())`,
    [workspaceId],
  );
});
afterAll(async () => {
  await db.close();
  await database.drop();
});

async function sessionWithRepository(): Promise<{ id: string; resourceId: string }> {
  const id = createId("session");
  const now = new Date();
  await insertSession(db, {
    id,
    workspaceId,
    threadId: createId("thread"),
    agentId: "agent_1",
    agentVersion: 1,
    agent: { name: "a" },
    environmentId: "env_1",
    harness: "sandpi",
    title: null,
    metadata: {},
    vaultIds: [],
    createdAt: now,
  });
  const config = { type: "github_repository", url: "https://github.com/acme/app", mount_path: "/workspace/app" } as const;
  const resourceId = createId("sessionResource");
  await insertSessionResources(db, id, [{ id: resourceId, config, createdAt: now, updatedAt: now }]);
  return { id, resourceId };
}
async function blob(content: string): Promise<string> {
  const sha256 = createHash("sha256").update(content).digest("hex");
  await touchBlob(db, { sha256, sizeBytes: 1 });
  return sha256;
}
const fork = (id: string, workspace = workspaceId) =>
  forkSession({ db, tokens, captureFiles: () => Promise.reject(new Error("it has no files")) }, workspace, id, {});

test("a fork holds one connection, and waits for no other one while it does", async () => {
  const { id, resourceId } = await sessionWithRepository();
  await writeResourceToken(db, await tokens.seal(resourceId, "secret"));
  const forked = await fork(id);
  const [resource] = await listSessionResources(db, forked.id);
  expect(resource?.config).toMatchObject({ url: "https://github.com/acme/app" });
  expect(resource?.id).not.toBe(resourceId);
  expect(await tokens.open(resource?.id ?? "")).toBe("secret");
  expect(await tokens.open(resourceId)).toBe("secret");
});

test("a repository without a token is one in the fork, too", async () => {
  const { id } = await sessionWithRepository();
  const [resource] = await listSessionResources(db, (await fork(id)).id);
  expect(await tokens.open(resource?.id ?? "")).toBe(null);
});

test("an output that was deleted is not there in the fork either, until it is written anew", async () => {
  const { id } = await sessionWithRepository();
  const blobs = [await blob("1"), await blob("2"), await blob("3")];
  const store = (sessionId: string, path: string, sha256 = ""): Promise<void> => {
    const file = {
      id: createId("file"),
      sessionId,
      filename: path,
      mimeType: "text/plain",
      sizeBytes: 1,
      sha256,
      downloadable: true,
      createdAt: new Date(),
      expiresAt: null,
    };
    return db.transaction((tx) => storeOutput(tx, { workspaceId, sessionId }, { path, stamp: createId("event"), file }));
  };
  const filesOf = (sessionId: string) => listFiles(db, workspaceId, { sessionId, limit: 10 });
  await store(id, "kept", blobs[0]);
  await store(id, "deleted", blobs[1]);
  const deleted = (await filesOf(id)).find(({ filename }) => filename === "deleted");
  await deleteFile(db, workspaceId, deleted?.id ?? "");

  const forked = await fork(id);
  const copied = await filesOf(forked.id);
  expect(copied.map(({ filename }) => filename)).toEqual(["kept"]);
  // What its first look finds.
  await store(forked.id, "kept", blobs[0]);
  await store(forked.id, "deleted", blobs[1]);
  expect(await filesOf(forked.id)).toEqual(copied);
  await store(forked.id, "deleted", blobs[2]);
  expect(await filesOf(forked.id)).toHaveLength(2);
});

test("a session of another workspace is not there to be forked", async () => {
  const { id, resourceId } = await sessionWithRepository();
  await writeResourceToken(db, await tokens.seal(resourceId, "secret"));
  await expect(fork(id, "wrkspc_other")).rejects.toMatchObject({ type: "not_found_error" });
});
