import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Volume } from "@sandbox0/sandbox";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readSessionVolume } from "../../store/session-volumes.ts";
import { Nodes, type TestNode } from "./nodes.fixture.ts";

const POLL = { timeout: 60_000 };
const HOUR_MS = 3_600_000;
/** Looks for them all the time. */
const LOOKS = { unnamedLookMs: 20, unnamedAgeMs: -1 };

let nodes: Nodes;
beforeEach(async () => {
  nodes = await Nodes.create();
});
afterEach(() => nodes.close());

const row = (sessionId: string) => readSessionVolume(nodes.db, sessionId);
const filesIn = (name: "volumes" | "unnamed"): Promise<string[]> => readdir(join(nodes.dir, "a", name));

/** What an earlier version had, or a server that died behind a claim: files, and no row. */
async function claimed({ pool }: TestNode, sessionId: string): Promise<Volume> {
  return pool.makeVolume(sessionId, ({ path }) => writeFile(join(path, "workspace/file"), sessionId));
}
async function deleted(sessionId: string): Promise<string> {
  await nodes.db.query("delete from sessions where id = $1", [sessionId]);
  return sessionId;
}

test("a volume that no row names is its session's when a server starts with it, and kept", async () => {
  const before = await nodes.start("a", { unnamedLookMs: HOUR_MS });
  const session = await nodes.newSession();
  await claimed(before, session);
  await before.stop();
  expect(await row(session)).toBe(null);
  await nodes.start("a", { sweepMs: 50 });
  expect(await row(session)).toMatchObject({ dirty: true, isExpired: false });
  await expect.poll(async () => (await row(session))?.dirty, POLL).toBe(false);
  const b = await nodes.start("b");
  expect(await b.read(session, "file")).toEqual({ content: session, said: [] });
});

test("one whose session is gone, or has another one, is removed; no other one is", async () => {
  const a = await nodes.start("a", LOOKS);
  const [gone, kept, elsewhere, running] = [
    await deleted(await nodes.newSession()),
    await nodes.newSession(),
    await nodes.newSession(),
    await nodes.newSession(),
  ];
  await a.write(kept, "file", "one");
  // On the same disk as a server that calls it by another name.
  const shared = await claimed(a, elsewhere);
  await nodes.db.query(
    `insert into session_volumes (session_id, home_id, volume_id) values ($1, 'home_other', $2)
     on conflict (session_id) do update set home_id = 'home_other', volume_id = $2`,
    [elsewhere, shared.id],
  );
  await nodes.db.query("update session_heads set lease_owner = 999999 where session_id = $1", [running]);
  const first = await claimed(a, running);
  const left = await claimed(a, gone);
  await expect.poll(() => filesIn("volumes"), POLL).not.toContain(left.id);
  expect((await filesIn("volumes")).sort()).toEqual([(await row(kept))?.volumeId, shared.id, first.id].sort());
  // Another server has brought the session's files there meanwhile.
  await nodes.db.query("update session_volumes set volume_id = 'vol_other' where session_id = $1", [elsewhere]);
  await nodes.db.query("delete from volume_trash");
  await expect.poll(() => filesIn("volumes"), POLL).not.toContain(shared.id);
  // Behind the files.
  await expect.poll(() => filesIn("unnamed"), POLL).toEqual([]);
});

test("it is removed when nothing has named it for a while, counted anew when something did", async () => {
  const a = await nodes.start("a", { unnamedLookMs: 20, unnamedAgeMs: HOUR_MS });
  const left = await claimed(a, await deleted(await nodes.newSession()));
  await expect.poll(() => filesIn("unnamed"), POLL).toEqual([left.id]);
  const session = await nodes.newSession();
  await nodes.db.query("insert into session_volumes (session_id, home_id, volume_id) values ($1, 'home_other', $2)", [
    session,
    left.id,
  ]);
  await expect.poll(() => filesIn("unnamed"), POLL).toEqual([]);
  expect(await filesIn("volumes")).toEqual([left.id]);
});
