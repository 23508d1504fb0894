import { open, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { BlobsUnavailable } from "../../blobs/port.ts";
import { fenceCheckpoints } from "../../store/session-forks.ts";
import { findUnscanned, insertScan } from "../../store/session-skills.ts";
import { lockSessionVolume, readSessionVolume, setSessionCheckpoint } from "../../store/session-volumes.ts";
import { Nodes } from "./nodes.fixture.ts";

const POLL = { timeout: 60_000 };
/** At once. */
const NOW = { captureAfterMs: 0 };

let nodes: Nodes;
beforeEach(async () => {
  nodes = await Nodes.create();
});
afterEach(() => nodes.close());

const row = (sessionId: string) => readSessionVolume(nodes.db, sessionId);
const isClean = (sessionId: string): Promise<void> => expect.poll(async () => (await row(sessionId))?.dirty, POLL).toBe(false);
const volumesIn = (name: string): Promise<string[]> => readdir(join(nodes.dir, name, "volumes"));
const full = (): BlobsUnavailable => new BlobsUnavailable("full", new Error("ENOSPC"));

/** Rows and blobs, once the collector has been. */
async function kept(): Promise<{ checkpoints: number; blobs: number }> {
  await nodes.blobs.collect();
  const { rows } = await nodes.db.query<{ checkpoints: number; blobs: number }>(
    "select (select count(*) from volume_checkpoints) as checkpoints, (select count(*) from blobs) as blobs",
  );
  return rows[0] as { checkpoints: number; blobs: number };
}

describe("a session that rests", () => {
  test("gets a checkpoint, and only the newest is kept", async () => {
    const a = await nodes.start("a", NOW);
    const session = await nodes.newSession();
    for (const content of ["one", "two", "three"]) {
      await a.write(session, "file", content);
      await isClean(session);
    }
    expect((await row(session))?.uses).toBe(3);
    // A pack and a manifest.
    await expect.poll(kept, POLL).toEqual({ checkpoints: 1, blobs: 2 });
    expect(a.troubles).toEqual([]);
  });

  test("goes on when the store is full, and is kept at its next rest", async () => {
    const a = await nodes.start("a", NOW);
    const session = await nodes.newSession();
    a.storeFailure = full();
    await a.write(session, "file", "one");
    await expect.poll(() => a.troubles.length, POLL).toBe(1);
    expect(a.troubles[0]).toBeInstanceOf(BlobsUnavailable);
    expect(await row(session)).toMatchObject({ dirty: true, checkpointId: null });
    a.storeFailure = null;
    expect((await a.read(session, "file")).content).toBe("one");
    await isClean(session);
    expect((await row(session))?.checkpointId).toMatch(/^vckpt_/);
    expect((await kept()).checkpoints).toBe(1);
  });

  test("does not wait for its checkpoint when it goes on, which is then not made", async () => {
    const a = await nodes.start("a", NOW);
    const session = await nodes.newSession();
    const storing = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    a.beforePut = () => {
      storing.resolve();
      return goOn.promise;
    };
    await a.write(session, "file", "one");
    await storing.promise;
    const next = a.write(session, "file", "two");
    goOn.resolve();
    await next;
    await isClean(session);
    expect(a.troubles).toEqual([]);
    const b = await nodes.start("b");
    expect((await b.read(session, "file")).content).toBe("two");
  });

  test("is kept again while its programs run on: what they write behind the turn is not lost", async () => {
    const a = await nodes.start("a", { ...NOW, liveAgainMs: 50 });
    const session = await nodes.newSession();
    await a.turn(session, async () => {
      const { tools } = await a.pool.claim(session, null);
      const wait = "until [ -e go ]; do sleep 0.05; done; echo late > file";
      expect(await tools.call("bash", { command: `(${wait}) > /dev/null 2>&1 &` })).toMatchObject({ isError: false });
    });
    await expect.poll(async () => (await row(session))?.checkpointId, POLL).toMatch(/^vckpt_/);
    expect(await row(session)).toMatchObject({ dirty: true, uses: 1, keptUses: 1 });
    const path = (await a.pool.volumeOf(session))?.path ?? "";
    await writeFile(join(path, "workspace/go"), "");
    await isClean(session);
    a.storeFailure = full();
    await a.die();
    const b = await nodes.start("b");
    expect(await b.read(session, "file")).toEqual({ content: "late\n", said: [] });
  });

  test("is kept by a server that comes back when the one that owed it died", async () => {
    const a = await nodes.start("a", { captureAfterMs: 3_600_000 });
    const session = await nodes.newSession();
    await a.write(session, "file", "one");
    // A server that is killed keeps nothing.
    a.storeFailure = full();
    await a.die();
    expect(await row(session)).toMatchObject({ dirty: true, checkpointId: null });
    const again = await nodes.start("a", { sweepMs: 50 });
    await isClean(session);
    expect(again.troubles).toEqual([]);
  });

  test("is kept before its server stops, also when its turn was handed over in the middle", async () => {
    const a = await nodes.start("a", { captureAfterMs: 3_600_000 });
    const session = await nodes.newSession();
    await a.cutTurn(session, "file", "one");
    await a.stop();
    expect(await row(session)).toMatchObject({ dirty: false });
    const b = await nodes.start("b");
    expect(await b.read(session, "file")).toEqual({ content: "one", said: [] });
  });

  test("can be given up here before it begins, begin elsewhere, and come back", async () => {
    const a = await nodes.start("a");
    const b = await nodes.start("b");
    const session = await nodes.newSession();
    await a.placeOnly(session);
    await b.write(session, "file", "one");
    expect(await a.read(session, "file")).toEqual({ content: "one", said: [] });
  });

  test("is kept before its server stops, to the last that its programs wrote", async () => {
    const a = await nodes.start("a", NOW);
    const session = await nodes.newSession();
    await a.turn(session, async () => {
      const { tools } = await a.pool.claim(session, null);
      await tools.call("bash", { command: "(while sleep 0.02; do echo x >> file; done) > /dev/null 2>&1 &" });
    });
    await expect.poll(async () => (await row(session))?.checkpointId, POLL).toMatch(/^vckpt_/);
    const path = (await a.pool.volumeOf(session))?.path ?? "";
    await a.stop();
    expect(await row(session)).toMatchObject({ dirty: false });
    const b = await nodes.start("b");
    const content = await readFile(join(path, "workspace/file"), "utf8");
    expect(await b.read(session, "file")).toEqual({ content, said: [] });
  });

  test("is kept before its server stops", async () => {
    const a = await nodes.start("a", { captureAfterMs: 60_000 });
    const session = await nodes.newSession();
    await a.write(session, "file", "one");
    await a.stop();
    expect(await row(session)).toMatchObject({ dirty: false });
    const b = await nodes.start("b");
    expect(await b.read(session, "file")).toEqual({ content: "one", said: [] });
  });
});

test("a store that does not answer holds up no turn, and no server that stops", async () => {
  const a = await nodes.start("a", { ...NOW, closeMs: 0 });
  const session = await nodes.newSession();
  let asked = 0;
  a.beforePut = () => {
    asked++;
    return new Promise(() => undefined);
  };
  await a.write(session, "file", "one");
  await expect.poll(() => asked, POLL).toBe(1);
  expect((await a.read(session, "file")).content).toBe("one");
  await expect.poll(() => asked, POLL).toBe(2);
  await a.stop();
  expect(await row(session)).toMatchObject({ dirty: true });
});

test("what cannot be kept is said, and said once", async () => {
  const a = await nodes.start("a", NOW);
  const session = await nodes.newSession();
  const made = async ({ path }: { path: string }): Promise<void> => {
    const file = await open(join(path, "workspace/holes"), "w");
    await file.truncate(40 * 1024 ** 3);
    await file.write("x");
    await file.close();
  };
  await a.turn(session, made);
  await isClean(session);
  await expect
    .poll(async () => (await row(session))?.notice, POLL)
    .toMatch(/workspace\/holes \(files with holes of more than 16 GiB together\)/);
  expect(await a.write(session, "file", "one")).toEqual([expect.stringMatching(/^Not kept beyond this machine.*holes/)]);
  await isClean(session);
  expect(await a.write(session, "file", "two")).toEqual([]);
  const b = await nodes.start("b");
  expect((await b.read(session, "file")).content).toBe("two");
  expect((await b.read(session, "holes")).content).toBe(null);
});

describe("another server runs the session", () => {
  test("and asks the one that has the files to give them up; there and back again", async () => {
    const [a, b] = [await nodes.start("a"), await nodes.start("b")];
    const session = await nodes.newSession();
    await a.write(session, "file", "one");
    expect(await b.read(session, "file")).toEqual({ content: "one", said: [] });
    await b.write(session, "file", "two");
    expect(await a.read(session, "file")).toEqual({ content: "two", said: [] });
    expect(await b.read(session, "file")).toEqual({ content: "two", said: [] });
    expect([a.reported, b.reported, a.troubles, b.troubles]).toEqual([[], [], [], []]);
    // What was left behind is removed by whoever has it.
    await expect.poll(() => volumesIn("a"), POLL).toEqual([]);
    expect(await volumesIn("b")).toHaveLength(1);
  });

  test("and is refused while a turn uses them there", async () => {
    const [a, b] = [await nodes.start("a"), await nodes.start("b")];
    const session = await nodes.newSession();
    await a.turn(session, async ({ path }) => {
      await writeFile(join(path, "workspace/file"), "one");
      await expect(b.read(session, "file")).rejects.toMatchObject({ code: "unavailable", message: /in use/ });
    });
    expect((await b.read(session, "file")).content).toBe("one");
  });

  test("and is refused, and nothing is lost, while they cannot be stored", async () => {
    const [a, b] = [await nodes.start("a"), await nodes.start("b")];
    const session = await nodes.newSession();
    await a.write(session, "file", "one");
    a.storeFailure = full();
    await expect(b.read(session, "file")).rejects.toMatchObject({ code: "unavailable", message: /cannot store them now/ });
    expect((await a.read(session, "file")).content).toBe("one");
    a.storeFailure = null;
    expect((await b.read(session, "file")).content).toBe("one");
  });

  test("and begins the volume anew when it was made only in part", async () => {
    const [a, b] = [await nodes.start("a"), await nodes.start("b")];
    const session = await nodes.newSession();
    await a.write(session, "file", "one");
    let opened = 0;
    b.beforeOpen = async () => {
      if (++opened === 2) throw new BlobsUnavailable("connection", new Error("503"));
    };
    await expect(b.read(session, "file")).rejects.toMatchObject({ code: "unavailable", message: /does not answer/ });
    expect(await volumesIn("b")).toEqual([]);
    expect(await b.read(session, "file")).toEqual({ content: "one", said: [] });
  });

  test("after the one with the files has died: what was kept is there, and what was not is said to be lost, once", async () => {
    const [a, b] = [await nodes.start("a", { closeMs: 0 }), await nodes.start("b")];
    const [keptSession, lostSession, emptySession] = [
      await nodes.newSession(),
      await nodes.newSession(),
      await nodes.newSession(),
    ];
    for (const session of [keptSession, lostSession]) {
      await a.write(session, "file", "one");
      await a.requests.captureVolume(session);
    }
    for (const session of [lostSession, emptySession]) await a.write(session, "file", "two");
    // It comes to no checkpoint in its last moments.
    a.storeFailure = full();
    await a.die();
    expect(await b.read(keptSession, "file")).toEqual({ content: "one", said: [] });
    const lost = await b.read(lostSession, "file");
    expect(lost).toEqual({ content: "one", said: [expect.stringMatching(/is lost.*files of the last turn that was kept/)] });
    expect(b.reported).toEqual([{ type: "unknown_error", message: lost.said[0], retry_status: { type: "retrying" } }]);
    expect(await b.read(lostSession, "file")).toEqual({ content: "one", said: [] });
    const empty = await b.read(emptySession, "file");
    expect(empty).toEqual({ content: null, said: [expect.stringMatching(/is lost.*a new, empty one/)] });
    // It comes back, and what it has is not what the session has.
    const again = await nodes.start("a");
    expect((await again.read(lostSession, "file")).content).toBe("one");
  });

  test("while the one with the files is just starting again: it is waited for", async () => {
    const [a, b] = [await nodes.start("a", { closeMs: 0 }), await nodes.start("b", { homeReturnMs: 60_000 })];
    const session = await nodes.newSession();
    await a.write(session, "file", "one");
    a.storeFailure = full();
    await a.die();
    const read = b.read(session, "file");
    await nodes.start("a");
    expect(await read).toEqual({ content: "one", said: [] });
  });

  test("on the same data directory: the files are where they were, and nothing is stored for it", async () => {
    const [a, sibling] = [await nodes.start("a"), await nodes.start("a")];
    const session = await nodes.newSession();
    await a.write(session, "file", "one");
    const { sandbox } = await a.pool.claim(session, null);
    a.pool.release(session);
    expect(await sibling.read(session, "file")).toEqual({ content: "one", said: [] });
    await sandbox.gone;
    expect(await row(session)).toMatchObject({ checkpointId: null, dirty: true });
  });
});

describe("files are kept", () => {
  test("for 30 days: then the agent is told, and they are gone everywhere", async () => {
    // The turn finds them too old, and not a sweep before it.
    const a = await nodes.start("a", { ...NOW, sweepMs: 3_600_000 });
    const session = await nodes.newSession();
    await a.write(session, "file", "one");
    await isClean(session);
    await nodes.db.query("update session_volumes set started_at = now() - interval '31 days'");
    const { content, said } = await a.read(session, "file");
    expect([content, said]).toEqual([null, [expect.stringMatching(/more than 30 days ago/)]]);
    expect(a.reported).toEqual([{ type: "unknown_error", message: said[0], retry_status: { type: "retrying" } }]);
    expect(await a.read(session, "file")).toEqual({ content: null, said: [] });
    await expect.poll(() => volumesIn("a"), POLL).toHaveLength(1);
  });

  test("no longer, and what was put there for it is not said to be there until it is again", async () => {
    const a = await nodes.start("a", NOW);
    const session = await nodes.newSession();
    await a.write(session, "file", "one");
    await insertScan(nodes.db, session, "/workspace/app", []);
    await isClean(session);
    await nodes.db.query("update session_volumes set started_at = now() - interval '31 days'");
    await expect.poll(async () => (await row(session))?.startedAt, POLL).toBe(null);
    expect(await findUnscanned(nodes.db, session, ["/workspace/app"])).toEqual(["/workspace/app"]);
  });

  test("also of a session that nobody uses: the sweep takes them", async () => {
    const a = await nodes.start("a", NOW);
    const session = await nodes.newSession();
    await a.write(session, "file", "one");
    await isClean(session);
    await nodes.db.query("update session_volumes set started_at = now() - interval '31 days'");
    await expect.poll(() => volumesIn("a"), POLL).toEqual([]);
    expect(await kept()).toEqual({ checkpoints: 0, blobs: 0 });
    expect(await a.read(session, "file")).toEqual({ content: null, said: [expect.stringMatching(/more than 30 days ago/)] });
  });

  test("until the session is deleted", async () => {
    const a = await nodes.start("a", NOW);
    const session = await nodes.newSession();
    await a.write(session, "file", "one");
    await isClean(session);
    await nodes.db.query("delete from sessions where id = $1", [session]);
    await expect.poll(() => volumesIn("a"), POLL).toEqual([]);
    expect(await kept()).toEqual({ checkpoints: 0, blobs: 0 });
    await expect.poll(async () => (await nodes.db.query("select * from volume_trash")).rows, POLL).toEqual([]);
  });
});

describe("captureVolume", () => {
  test("gives the checkpoint of the newest files, from any process; another session can begin with it", async () => {
    const [a, b] = [await nodes.start("a"), await nodes.start("b")];
    const [session, fork] = [await nodes.newSession(), await nodes.newSession()];
    expect(await b.requests.captureVolume(session)).toBe(null);
    await a.write(session, "file", "one");
    const first = await b.requests.captureVolume(session);
    expect(first).toMatch(/^vckpt_/);
    expect(await b.requests.captureVolume(session)).toBe(first);
    await nodes.db.transaction(async (tx) => {
      const volume = await lockSessionVolume(tx, session);
      expect(volume).toMatchObject({ checkpointId: first, dirty: false });
      await setSessionCheckpoint(tx, fork, first);
    });
    await a.write(session, "file", "two");
    expect((await b.read(fork, "file")).content).toBe("one");
    await b.write(fork, "file", "three");
    await b.requests.captureVolume(fork);
    await b.requests.captureVolume(session);
    expect((await kept()).checkpoints).toBe(2);
    expect((await a.read(fork, "file")).content).toBe("three");
    expect((await b.read(session, "file")).content).toBe("two");
  });

  test("takes a session back to what it was", async () => {
    const a = await nodes.start("a");
    const [session, keeper] = [await nodes.newSession(), await nodes.newSession()];
    await a.write(session, "file", "one");
    const then = await a.requests.captureVolume(session);
    await setSessionCheckpoint(nodes.db, keeper, then);
    await a.write(session, "file", "two");
    await setSessionCheckpoint(nodes.db, session, then);
    expect(await a.read(session, "file")).toEqual({ content: "one", said: [] });
    await expect.poll(() => volumesIn("a"), POLL).toHaveLength(1);
  });

  test("is of the moment at which it is asked for, while programs run on in the background", async () => {
    const a = await nodes.start("a");
    const session = await nodes.newSession();
    await a.turn(session, async () => {
      const { tools } = await a.pool.claim(session, null);
      await tools.call("bash", { command: "(until [ -e go ]; do sleep 0.05; done) > /dev/null 2>&1 &" });
    });
    const path = (await a.pool.volumeOf(session))?.path ?? "";
    const first = await a.requests.captureVolume(session);
    await writeFile(join(path, "workspace/file"), "from the background");
    const second = await a.requests.captureVolume(session);
    expect(second).not.toBe(first);
    expect(await row(session)).toMatchObject({ checkpointId: second, dirty: true, uses: 1, keptUses: 1 });
    await writeFile(join(path, "workspace/go"), "");
    await expect.poll(() => a.pool.isQuiet(session), POLL).toBe(true);
    await a.requests.captureVolume(session);
    expect(await row(session)).toMatchObject({ dirty: false });
  });

  test("is made again when somebody begins to refer to the one before; a turn does not mind", async () => {
    const a = await nodes.start("a");
    const [session, fork] = [await nodes.newSession(), await nodes.newSession()];
    await a.write(session, "file", "one");
    const first = await a.requests.captureVolume(session);
    await a.write(session, "file", "two");
    a.beforePut = async () => {
      a.beforePut = async () => undefined;
      await nodes.db.transaction(async (tx) => {
        await fenceCheckpoints(tx, session);
        await setSessionCheckpoint(tx, fork, first);
      });
    };
    await expect(a.requests.captureVolume(session)).rejects.toMatchObject({ reason: "refused" });
    expect(await a.requests.captureVolume(session)).not.toBe(first);
    expect((await a.read(fork, "file")).content).toBe("one");
    const before = await row(session);
    await fenceCheckpoints(nodes.db, session);
    expect(await row(session)).toMatchObject({ uses: before?.uses, dirty: false });
    expect((await a.read(session, "file")).content).toBe("two");
  });

  test("is refused while a turn runs, and when the files are gone", async () => {
    const a = await nodes.start("a", { closeMs: 0 });
    const b = await nodes.start("b");
    const session = await nodes.newSession();
    await a.turn(session, () =>
      expect(b.requests.captureVolume(session)).rejects.toMatchObject({ code: "volume_unavailable", reason: "refused" }),
    );
    a.storeFailure = full();
    await a.die();
    await expect(b.requests.captureVolume(session)).rejects.toMatchObject({ reason: "gone" });
  });
});

test("what a dead server had stored of an unfinished checkpoint is collected", async () => {
  const a = await nodes.start("a");
  const session = await nodes.newSession();
  await a.write(session, "file", "one");
  const dead = 999_999;
  await nodes.db.query("insert into volume_checkpoints (id, session_id, seq, node_id) values ('vckpt_dead', $1, 0, $2)", [
    session,
    dead,
  ]);
  const { sha256 } = await nodes.blobs.put([Buffer.from("content")] as never, { bytesMax: 100 });
  await nodes.db.query("insert into volume_checkpoint_blobs values ('vckpt_dead', $1)", [sha256]);
  await expect.poll(kept, POLL).toEqual({ checkpoints: 0, blobs: 0 });
});

test("a volume has what is known of its files beside them, where its sandbox does not look", async () => {
  const a = await nodes.start("a", NOW);
  const session = await nodes.newSession();
  await a.write(session, "file", "one");
  await isClean(session);
  const volume = await a.pool.volumeOf(session);
  const dir = join(volume?.path ?? "", "checkpoints");
  await expect.poll(async () => (await readdir(dir)).length, POLL).toBe(2);
  const head = (await readdir(dir)).find((name) => name.endsWith(".json")) ?? "";
  expect(head).toBe(`${(await row(session))?.checkpointId}.json`);
  expect(JSON.parse(await readFile(join(dir, head), "utf8"))).toMatchObject({ format: 1 });
});
