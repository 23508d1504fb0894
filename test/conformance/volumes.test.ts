import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { call, hold, say } from "@sandbox0/testkit";
import pg from "pg";
import { afterAll, beforeAll, expect } from "vitest";
import { conformanceServer, TOOLSET } from "./fixture/conformance-server.ts";
import { message, type TestSession } from "./fixture/test-session.ts";
import { verifies } from "./fixture/verifies.ts";

const POLL = { timeout: 60_000 };
const server = conformanceServer({ SANDBOX0_BLOB_GRACE_SECONDS: "5" });

let db: pg.Pool;
beforeAll(() => {
  db = new pg.Pool({ connectionString: server.connectionString, max: 2 });
});
afterAll(() => db.end());

/** @returns the result of the command, and the errors that the session reported with it */
async function bash(session: TestSession, command: string): Promise<{ result: string; errors: string[] }> {
  const before = (await session.events()).length;
  await session.send(message(server.play(call("bash", { command }), say("Done."))));
  return outcome((await session.rest()).slice(before));
}

function outcome(events: Awaited<ReturnType<TestSession["events"]>>): { result: string; errors: string[] } {
  const result = events.find((event) => event.type === "agent.tool_result");
  const text = result?.type === "agent.tool_result" ? (result.content ?? []) : [];
  const errors = events.flatMap((event) => (event.type === "session.error" ? [event.error.message] : []));
  return { result: text.map((block) => (block.type === "text" ? block.text : "")).join(""), errors };
}

const open = (): Promise<TestSession> => server.createSession({ agent: { make: { tools: [TOOLSET] } } });

async function rowOf(session: TestSession): Promise<{ dirty: boolean; checkpoint_id: string | null } | undefined> {
  const { rows } = await db.query<{ dirty: boolean; checkpoint_id: string | null }>(
    "select dirty, checkpoint_id from session_volumes where session_id = $1",
    [session.id],
  );
  return rows[0];
}
const untilKept = (session: TestSession): Promise<void> =>
  expect.poll(() => rowOf(session), POLL).toEqual({ dirty: false, checkpoint_id: expect.any(String) });

verifies("volumes.checkpoint", "a session that is idle is kept, each time that it has changed something", async () => {
  const session = await open();
  await bash(session, "echo one > file");
  await untilKept(session);
  const first = (await rowOf(session))?.checkpoint_id;
  await bash(session, "echo two > file");
  await expect.poll(async () => (await rowOf(session))?.checkpoint_id, POLL).not.toBe(first);
  await untilKept(session);
});

verifies("volumes.retention", "after 30 days the agent begins in an empty sandbox, is told so, and has its history", async () => {
  const session = await open();
  await bash(session, "echo kept > file");
  const before = (await session.events()).length;
  const gate = server.gate();
  await session.send(message(server.play([hold(gate), call("bash", { command: "cat file || echo none" })], say("Done."))));
  await gate.reached;
  // While a turn has the session: the server's own look for old files leaves it alone.
  await db.query("update session_volumes set started_at = now() - interval '30 days 1 hour' where session_id = $1", [session.id]);
  gate.open();
  const { result, errors } = outcome((await session.rest()).slice(before));
  expect(result).toMatch(/none.*made more than 30 days ago/s);
  expect(errors).toEqual([expect.stringMatching(/more than 30 days ago/)]);
  expect(await bash(session, "echo anew > file; cat file")).toEqual({ result: "anew", errors: [] });
  expect((await session.events()).filter((event) => event.type === "agent.tool_result")).toHaveLength(3);
});

verifies("volumes.delete", "a deleted session leaves no files anywhere", async () => {
  const session = await open();
  await bash(session, "echo a file of this session alone > file");
  await untilKept(session);
  const { rows } = await db.query<{ volume_id: string; sha256: string }>(
    `select volume_id, b.sha256 from session_volumes join volume_checkpoint_blobs b using (checkpoint_id) where session_id = $1`,
    [session.id],
  );
  const [found] = rows;
  await server.client.beta.sessions.delete(session.id);
  const volumes = join(server.dataDir, "sandbox/volumes/volumes");
  await expect.poll(() => readdir(volumes), POLL).not.toContain(found?.volume_id);
  const sha256 = found?.sha256 ?? "";
  await expect.poll(() => readdir(join(server.dataDir, "blobs/objects", sha256.slice(0, 2))), POLL).not.toContain(sha256);
});
