import { createId } from "@sandbox0/protocol";
import { createTestDatabase, type TestDatabase } from "@sandbox0/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createBells } from "../log/bells.ts";
import { createEventLog, type EventLog } from "../log/event-log.ts";
import { createNotifier, type Notifier } from "../store/notify.ts";
import { createPool, type Database } from "../store/pool.ts";
import { listSessionRepositories, writeRepositoryOutcome } from "../store/session-repositories.ts";
import { insertSessionResources } from "../store/session-resources.ts";
import { findUnscanned, insertScan } from "../store/session-skills.ts";
import { readSessionVolume, setSessionCheckpoint } from "../store/session-volumes.ts";
import { insertSession } from "../store/sessions.ts";
import { beginCheckpoint } from "../store/volume-checkpoints.ts";
import { createSnapshots, type Snapshots } from "./snapshots.ts";

const WORKSPACE = "wrkspc_1";
const AT = "/workspace/app";

let database: TestDatabase;
let db: Database;
let notifier: Notifier;
let log: EventLog;
let snapshots: Snapshots;

beforeAll(async () => {
  database = await createTestDatabase();
  const { connectionString } = database;
  db = createPool({ connectionString, max: 4 });
  notifier = createNotifier({
    connectionString,
    onError: (error) => {
      throw error;
    },
  });
  await notifier.ready;
  log = createEventLog(db, createBells(notifier));
  const never = () => Promise.reject(new Error("not asked for"));
  snapshots = createSnapshots({ db, log, tokens: { reseal: never }, captureFiles: never });
  await db.query("insert into workspaces (id, name) values ($1, 'test')", [WORKSPACE]);
  await db.query(
    `insert into environments (id, workspace_id, name, config, created_at, updated_at)
     values ('env_1', $1, 'e', '{}', now(), now())`,
    [WORKSPACE],
  );
});
afterAll(async () => {
  await notifier.close();
  await db.close();
  await database.drop();
});

test("after a restore, what was put into the files later is looked for again", async () => {
  const id = createId("session");
  const now = new Date();
  await insertSession(db, {
    id,
    workspaceId: WORKSPACE,
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
  const config = { type: "github_repository", url: "https://github.com/acme/app", mount_path: AT } as const;
  const resourceId = createId("sessionResource");
  await insertSessionResources(db, id, [{ id: resourceId, config, createdAt: now, updatedAt: now }]);
  await writeRepositoryOutcome(db, resourceId, { problem: "repository_clone_error" });
  await beginCheckpoint(db, "vckpt_1", id, 1);
  await setSessionCheckpoint(db, id, "vckpt_1");
  const snapshot = await snapshots.create(WORKSPACE, id, {});
  await writeRepositoryOutcome(db, resourceId, { branch: "main", commit: null });
  await insertScan(db, id, AT, []);

  await snapshots.restore(WORKSPACE, id, { snapshot_id: snapshot.id });
  expect(await readSessionVolume(db, id)).toMatchObject({ checkpointId: "vckpt_1" });
  expect(await listSessionRepositories(db, id)).toMatchObject([{ state: { type: "waiting" } }]);
  expect(await findUnscanned(db, id, [AT])).toEqual([AT]);
});
