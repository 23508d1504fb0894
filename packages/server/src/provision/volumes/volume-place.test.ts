import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Volume } from "@sandbox0/sandbox";
import { afterEach, beforeEach, expect, test } from "vitest";
import { insertSessionResources } from "../../store/session-resources.ts";
import { listSessionRepositories, writeRepositoryOutcome } from "../../store/session-repositories.ts";
import { findUnscanned, insertScan } from "../../store/session-skills.ts";
import { Nodes } from "./nodes.fixture.ts";

const AT = "/workspace/app";

let nodes: Nodes;
beforeEach(async () => {
  nodes = await Nodes.create();
});
afterEach(() => nodes.close());

/** One with a repository that is there, and was looked at for skills. */
async function sessionWithClone(): Promise<string> {
  const session = await nodes.newSession();
  const now = new Date();
  const config = { type: "github_repository", url: "https://github.com/acme/app", mount_path: AT } as const;
  await insertSessionResources(nodes.db, session, [{ id: `sesrsc_${session}`, config, createdAt: now, updatedAt: now }]);
  return session;
}
async function clone(session: string, { path }: Volume): Promise<void> {
  await writeFile(join(path, "workspace", "cloned"), session);
  await writeRepositoryOutcome(nodes.db, `sesrsc_${session}`, { branch: "main", commit: null });
  await insertScan(nodes.db, session, AT, []);
}
/** Whether somebody who has the sandbox looks for it. */
async function isLookedFor(session: string): Promise<[repository: boolean, skills: boolean]> {
  const [repository] = await listSessionRepositories(nodes.db, session);
  return [repository?.state.type !== "there", (await findUnscanned(nodes.db, session, [AT])).length > 0];
}

test("what was put into files that are gone is looked for again: after 30 days", async () => {
  const a = await nodes.start("a");
  const session = await sessionWithClone();
  await a.turn(session, (volume) => clone(session, volume));
  await a.turn(session, async () => expect(await isLookedFor(session)).toEqual([false, false]));
  await nodes.db.query("update session_volumes set started_at = now() - interval '31 days'");
  await a.turn(session, async () => expect(await isLookedFor(session)).toEqual([true, true]));
});

test("and when the server that had them is lost, with a checkpoint from before or none", async () => {
  const a = await nodes.start("a", { closeMs: 0 });
  const [without, older] = [await sessionWithClone(), await sessionWithClone()];
  await a.write(older, "file", "one");
  await a.requests.captureVolume(older);
  a.storeFailure = new Error("the store is away");
  for (const session of [without, older]) await a.turn(session, (volume) => clone(session, volume));
  await a.die();
  const b = await nodes.start("b");
  for (const session of [without, older])
    await b.turn(session, async () => expect(await isLookedFor(session)).toEqual([true, true]));
});

test("but not when the session moves with all of them", async () => {
  const [a, b] = [await nodes.start("a"), await nodes.start("b")];
  const session = await sessionWithClone();
  await a.turn(session, (volume) => clone(session, volume));
  await b.turn(session, async () => expect(await isLookedFor(session)).toEqual([false, false]));
});
