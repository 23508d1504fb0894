import { randomBytes } from "node:crypto";
import { readdir, readlink, stat } from "node:fs/promises";
import { join } from "node:path";
import { toFile } from "@anthropic-ai/sdk";
import { until } from "@sandbox0/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { newTag, OUTPUTS } from "./model.ts";
import type { ServerProcess } from "./server-process.ts";
import { createStage, message, type Stage } from "./stage.ts";

/** Servers are killed between what a session leaves and its list of files, and while files are mounted. */
const FILES = 150;
const FILE_BYTES = 20_000;

let stage: Stage;
beforeAll(async () => {
  stage = await createStage();
});
afterAll(() => stage.close());

async function countListed(sessionId: string): Promise<number> {
  const { rows } = await stage.db.query<{ count: string }>("select count(*) from session_outputs where session_id = $1", [
    sessionId,
  ]);
  return Number(rows[0]?.count);
}

/** Every output is a file of the session, once, with what was written. */
async function expectAllListed(server: ServerProcess, sessionId: string): Promise<void> {
  const client = stage.client(server);
  const listed = new Map<string, string>();
  let files = 0;
  for await (const file of client.beta.files.list({ scope_id: sessionId, limit: 1_000 })) {
    files += 1;
    listed.set(file.filename, await (await client.beta.files.download(file.id)).text());
  }
  expect(files).toBe(OUTPUTS);
  expect(listed).toEqual(new Map(Array.from({ length: OUTPUTS }, (_, at) => [`o${at + 1}`, String(at + 1)])));
}

/** Plays a turn that leaves outputs, kills its server at the moment, and lets the next one go on. */
async function killed(arm: (tag: string) => (sessionId: string) => Promise<unknown>): Promise<[ServerProcess, string]> {
  const server = await stage.startServer();
  const sessionId = await stage.createSession(server);
  const tag = newTag();
  const moment = arm(tag);
  await stage.send(server, sessionId, [message(`leave outputs ${tag}`)]);
  await moment(sessionId);
  await server.kill();
  stage.model.letGoOn(tag);
  const next = await stage.startServer();
  await stage.untilRest(sessionId);
  return [next, sessionId];
}

test("killed behind the call that wrote them: the turn goes on without a call, and they are listed", async () => {
  const [server, sessionId] = await killed((tag) => {
    const gate = stage.model.stopAt(tag, 2, "asked");
    return () => gate.reached;
  });
  await expectAllListed(server, sessionId);
  await server.kill();
});

test("killed while they are stored: each is listed once, and whole, before the session is idle", async () => {
  for (const after of [1, OUTPUTS / 2]) {
    const [server, sessionId] = await killed(() => (id) => until(async () => (await countListed(id)) >= after));
    await expectAllListed(server, sessionId);
    const { rows } = await stage.db.query("select from session_outputs_due where session_id = $1", [sessionId]);
    expect(rows).toEqual([]);
    await server.kill();
  }
});

test("killed while files are mounted: the next server mounts them all, and no part of one", async () => {
  const server = await stage.startServer();
  const client = stage.client(server);
  const { id: fileId } = await client.files.upload({ file: await toFile(randomBytes(FILE_BYTES), "f") });
  const sessionId = await stage.createSession(server);
  for (let nth = 0; nth < FILES; nth++)
    await client.beta.sessions.resources.add(sessionId, { type: "file", file_id: fileId, mount_path: `f${nth}` });
  await stage.send(server, sessionId, [message(`count uploads ${newTag()}`)]);
  const volumes = join(stage.dataDir, "sandbox/volumes");
  const uploads = await until(async () => {
    const path = join(volumes, "volumes", await readlink(join(volumes, "sessions", sessionId)), "uploads");
    return (await readdir(path)).length > FILES / 10 ? path : null;
  });
  await server.kill();
  for (const name of await readdir(uploads)) expect((await stat(join(uploads, name))).size).toBe(FILE_BYTES);
  const next = await stage.startServer();
  const record = await stage.untilRest(sessionId);
  const results = JSON.stringify(record.events.filter(({ type }) => type === "agent.tool_result"));
  // The interrupted call has an error result, and is not made again: the model is told.
  await stage.send(next, sessionId, [message(`count uploads ${newTag()}`)]);
  const again = await stage.untilRest(sessionId);
  const last = JSON.stringify(again.events.findLast(({ type }) => type === "agent.tool_result"));
  expect([results, last].join()).toContain(`${FILES}\\n${FILES * FILE_BYTES}`);
  expect(last).toContain(`${FILES}\\n${FILES * FILE_BYTES}`);
  await next.kill();
});
