import { readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { readSessionVolume } from "../../store/session-volumes.ts";
import { Nodes } from "./nodes.fixture.ts";

const POLL = { timeout: 60_000 };

let nodes: Nodes;
beforeEach(async () => {
  nodes = await Nodes.create();
});
afterEach(() => nodes.close());

const row = (sessionId: string) => readSessionVolume(nodes.db, sessionId);
const isClean = (sessionId: string): Promise<void> => expect.poll(async () => (await row(sessionId))?.dirty, POLL).toBe(false);

test("a tree of which no checkpoint can be made is not looked at again until its next turn, and its agent is told why", async () => {
  const a = await nodes.start("a", { captureAfterMs: 0, sweepMs: 20, retryMs: 0 });
  a.bounds.manifestBytesMax = 10_000;
  const captures = vi.spyOn(nodes.threads, "capture");
  const session = await nodes.newSession();
  let root = "";
  await a.turn(session, async ({ path }) => {
    root = path;
    for (let i = 0; i < 200; i++) await writeFile(join(path, `workspace/${i}`), "");
  });
  const notice = /^The files of this session are not kept.*: the list of the files takes more than 10000 bytes\. Remove/;
  await expect.poll(async () => (await row(session))?.notice, POLL).toMatch(notice);
  const looks = () => captures.mock.calls.filter(([job]) => job.root === root).length;
  // It is a sweep that keeps these, and it looks for the first one, too.
  const waitForSweep = async (): Promise<void> => {
    const other = await nodes.newSession();
    await a.cutTurn(other, "file", "one");
    await isClean(other);
  };
  // A sweep may have been ahead of what the turn's end owes.
  await waitForSweep();
  const before = looks();
  for (let i = 0; i < 3; i++) await waitForSweep();
  expect(looks()).toBe(before);
  expect(await readdir(join(root, "checkpoints"))).toEqual([]);
  const said = await a.turn(session, async () => {
    for (let i = 1; i < 200; i++) await rm(join(root, `workspace/${i}`));
  });
  expect(said).toEqual([expect.stringMatching(notice)]);
  await isClean(session);
  expect(a.troubles).toEqual([]);
});
