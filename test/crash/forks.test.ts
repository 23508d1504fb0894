import { readFile } from "node:fs/promises";
import { until } from "@sandbox0/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { tokensIn } from "./invariants.ts";
import { EFFECTS_FILE, newTag } from "./model.ts";
import { createPostgresProxy, type Passage, type PostgresProxy } from "./postgres-proxy.ts";
import type { ServerProcess } from "./server-process.ts";
import { createStage, message, type Stage } from "./stage.ts";

/** A turn of "three effects" leaves so many lines in a file of the workspace. */
const LINES_A_TURN = 3;
/** Sessions at once: each holds a connection of the server, which has 32. */
const HELD_MAX = 12;

let stage: Stage;
let proxy: PostgresProxy;
let server: ServerProcess;

beforeAll(async () => {
  stage = await createStage();
  proxy = await createPostgresProxy(stage.database.connectionString);
  proxy.watchers.add(noteCheckpoint);
  server = await start();
});
afterAll(async () => {
  await server.kill();
  await proxy.close();
  await stage.close();
});

const start = () => stage.startServer({ databaseUrl: proxy.connectionString });

async function post<T>(path: string, body: object): Promise<T> {
  const client = stage.client(server);
  return client.post<T>(`/sandbox0/v1/sessions/${path}`, { body });
}
async function turn(sessionId: string): Promise<void> {
  await stage.send(server, sessionId, [message(`three effects [${newTag()}]`)]);
  await stage.untilRest(sessionId);
}
/** Turns that the session shows, and those whose files it has. */
async function turnsOf(sessionId: string): Promise<{ said: number; written: number }> {
  let said = 0;
  for await (const { type } of stage.client(server).beta.sessions.events.list(sessionId)) if (type === "user.message") said += 1;
  const path = (await stage.workspacePath(sessionId, EFFECTS_FILE)) ?? "";
  return { said, written: [...tokensIn(await readFile(path, "utf8"))].length / LINES_A_TURN };
}

/** A session with two turns, and a snapshot of it between them. */
interface Subject {
  id: string;
  snapshotId: string;
  /** Of its fork. */
  title: string;
}
async function prepare(): Promise<Subject> {
  const id = await stage.createSession(server);
  await turn(id);
  const { id: snapshotId } = await post<{ id: string }>(`${id}/snapshots`, {});
  await turn(id);
  return { id, snapshotId, title: newTag() };
}

type Operation = (subject: Subject) => Promise<unknown>;
const fork: Operation = ({ id, snapshotId, title }) => post(`${id}/fork`, { snapshot_id: snapshotId, title });
const restore: Operation = ({ id, snapshotId }) => post(`${id}/restore`, { snapshot_id: snapshotId });

/** Transactions that keep a session's files, some time behind its turn: no steps of the operation. */
const checkpoints = new WeakSet<object>();
function noteCheckpoint({ name, transaction }: Passage): "pass" {
  if (name === "set_checkpoint" && transaction !== null) checkpoints.add(transaction);
  return "pass";
}

/** Statements of the operation's transaction that write, and its commit. */
function isStep({ transaction, sql }: Passage, { id }: Subject): boolean {
  if (transaction === null || checkpoints.has(transaction)) return false;
  return transaction.sessionIds.has(id) && (/^\s*(with|insert|update|delete)\b/i.test(sql) || sql === "commit");
}

/** How many there are: each is a point at which the server can die. */
async function countSteps(operation: Operation): Promise<number> {
  const subject = await prepare();
  let count = 0;
  const watcher = (passage: Passage) => {
    if (passage.when === "before" && isStep(passage, subject)) count += 1;
    return "pass" as const;
  };
  proxy.watchers.add(watcher);
  await operation(subject);
  proxy.watchers.delete(watcher);
  return count;
}

/** Begins the operation and stops it before its `nth` step, or behind the last one, for good. */
async function holdAtStep(operation: Operation, subject: Subject, nth: number, steps: number): Promise<() => void> {
  let count = 0;
  let isThere = false;
  const watcher = (passage: Passage) => {
    if (!isStep(passage, subject)) return "pass";
    if (passage.when === "before") count += 1;
    isThere ||= nth > steps ? passage.when === "after" && count === steps : passage.when === "before" && count === nth;
    return isThere ? "hold" : "pass";
  };
  proxy.watchers.add(watcher);
  // Nobody hears an answer.
  operation(subject).catch(() => undefined);
  await until(() => isThere, { describe: () => `step ${nth} of ${steps}; ${count} came` });
  return () => void proxy.watchers.delete(watcher);
}

/** Kills the server with an operation at each of its steps, in a session of its own. @returns those that had been committed */
async function killAtEachStep(operation: Operation): Promise<{ cut: Subject[]; done: Subject[] }> {
  const steps = await countSteps(operation);
  expect(steps).toBeGreaterThan(2);
  const nths = Array.from({ length: steps + 1 }, (_, index) => index + 1);
  const subjects: Subject[] = [];
  for (let at = 0; at < nths.length; at += HELD_MAX) {
    const some = await Promise.all(nths.slice(at, at + HELD_MAX).map(async (nth) => ({ nth, subject: await prepare() })));
    const releases: (() => void)[] = [];
    for (const { nth, subject } of some) releases.push(await holdAtStep(operation, subject, nth, steps));
    await server.kill();
    proxy.cut();
    for (const release of releases) release();
    server = await start();
    subjects.push(...some.map(({ subject }) => subject));
  }
  return { cut: subjects.slice(0, -1), done: subjects.slice(-1) };
}

/** What rows say of each other: nothing is kept for nobody, and nothing that somebody refers to is gone. */
async function expectReferences(): Promise<void> {
  const { rows } = await stage.db.query(
    `select id, refs::int, ((select count(*) from session_volumes v where v.checkpoint_id = c.id)
       + (select count(*) from session_snapshots s where s.checkpoint_id = c.id))::int as held
     from volume_checkpoints c where sha256 is not null and refs <> (select count(*) from session_volumes v where v.checkpoint_id = c.id)
       + (select count(*) from session_snapshots s where s.checkpoint_id = c.id)`,
  );
  expect(rows).toEqual([]);
  for (const table of ["events", "tool_calls", "harness_records"]) {
    const orphans = await stage.db.query(
      `select distinct session_id from ${table} where session_id not in (select id from sessions)`,
    );
    expect(orphans.rows).toEqual([]);
  }
}

test("killed in the middle of a fork: there is all of it or nothing, and the source knows nothing of it", {
  timeout: 600_000,
}, async () => {
  const { cut, done } = await killAtEachStep(fork);
  await expectReferences();
  for (const { title } of cut) expect(await stage.sessionIdsOf(title)).toEqual([]);
  const [subject] = done;
  const [forked = ""] = await stage.sessionIdsOf(subject?.title ?? "");
  await turn(forked);
  expect(await turnsOf(forked)).toEqual({ said: 2, written: 2 });
  for (const each of [...cut.slice(0, 2), ...done]) {
    await turn(each.id);
    expect(await turnsOf(each.id)).toEqual({ said: 3, written: 3 });
    expect(await stage.violations(await stage.record(each.id))).toEqual([]);
  }
  const [first] = cut;
  if (first) await fork(first);
  expect(await stage.sessionIdsOf(first?.title ?? "")).toHaveLength(1);
});

test("killed in the middle of a restore: conversation and files are both taken back, or neither is", {
  timeout: 600_000,
}, async () => {
  const { cut, done } = await killAtEachStep(restore);
  await expectReferences();
  for (const { id } of cut.slice(-4)) {
    await turn(id);
    expect(await turnsOf(id)).toEqual({ said: 3, written: 3 });
    expect(await stage.violations(await stage.record(id))).toEqual([]);
  }
  for (const { id } of cut.slice(0, -4)) expect((await turnsOf(id)).said).toBe(2);
  for (const { id } of done) {
    await turn(id);
    expect(await turnsOf(id)).toEqual({ said: 2, written: 2 });
  }
  const [first] = cut;
  if (first === undefined) return;
  await restore(first);
  await turn(first.id);
  expect(await turnsOf(first.id)).toEqual({ said: 2, written: 2 });
});

test("a server without sandboxes has the files kept by the one that has them, and says when that is gone", {
  timeout: 600_000,
}, async () => {
  await server.kill();
  const startWorker = () => stage.startServer({ environment: { SANDBOX0_ROLES: "worker" } });
  let worker = await startWorker();
  server = await stage.startServer({ environment: { SANDBOX0_ROLES: "api" } });
  const subject = await prepare();
  await fork(subject);
  const [forked = ""] = await stage.sessionIdsOf(subject.title);
  await turn(forked);
  expect(await turnsOf(forked)).toEqual({ said: 2, written: 2 });
  await restore(subject);
  let turns = 1;
  // What the worker has kept by the time it dies could be had without it: then another turn, and another death.
  for (let isKept = true; isKept; ) {
    expect(turns).toBeLessThan(6);
    if (turns > 1) worker = await startWorker();
    await turn(subject.id);
    turns += 1;
    await worker.kill();
    const { rows } = await stage.db.query<{ dirty: boolean }>("select dirty from session_volumes where session_id = $1", [
      subject.id,
    ]);
    isKept = rows[0]?.dirty === false;
  }
  expect(await turnsOf(subject.id)).toEqual({ said: turns, written: turns });
  const gone = post(`${subject.id}/snapshots`, {});
  await expect(gone).rejects.toMatchObject({ status: 503, message: expect.stringContaining("files cannot be kept now") });
  // What is kept already needs nobody.
  await fork({ ...subject, title: newTag() });
  server.signal("SIGTERM");
  await server.exited;
  server = await start();
});
