import { until } from "@sandbox0/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { newEvent } from "../domain/lifecycle-events.ts";
import { writeSession } from "../store/append.ts";
import { readEventsAfter, TRANSCRIPT_BYTES_MAX } from "../store/events.ts";
import { createStage, interrupt, type Stage, type StageNode, say } from "./stage.fixture.ts";

let stage: Stage;
let node: StageNode;
beforeAll(async () => {
  stage = await createStage();
  node = stage.node();
});
afterAll(async () => {
  await stage.close();
});

const get = (sessionId: string) => stage.sessions.get(stage.workspaceId, sessionId);

/** A turn of a new session that has failed in this way. */
async function failed(disposition: "retryable" | "terminal", retryAfterMs = 0): Promise<string> {
  const sessionId = await stage.newSession();
  await stage.send(sessionId, say("hi"));
  const { effects, end } = await node.nextTurn();
  const { spanId } = await effects.startStep();
  await effects.failStep(spanId, { usage: null, timing: { firstTokenMs: null, totalMs: 1 } });
  end({ type: "failed", error: { kind: "model_request_failed_error", message: "no", disposition, retryAfterMs } });
  const status = disposition === "terminal" ? "terminated" : "rescheduling";
  await until(async () => (await stage.status(sessionId)) === status);
  return sessionId;
}

test("a terminated session takes no events; archived later, it has ended when it ended", async () => {
  const sessionId = await failed("terminal");
  await expect(stage.send(sessionId, say("more"))).rejects.toThrow("terminated");
  const before = await get(sessionId);
  const archived = await stage.sessions.archive(stage.workspaceId, sessionId);
  expect(archived.archived_at).not.toBeNull();
  expect(archived.stats).toEqual(before.stats);
  expect(archived.usage).toEqual(before.usage);
});

test("archived while it waits for its next try: it ends there, and is tried no more", async () => {
  const sessionId = await failed("retryable", 60_000);
  await stage.send(sessionId, say("queued"));
  await stage.sessions.archive(stage.workspaceId, sessionId);
  expect((await get(sessionId)).status).toBe("terminated");
  const types = await stage.types(sessionId);
  expect(types.slice(-3)).toEqual(["user.message", "session.thread_status_terminated", "session.status_terminated"]);
  const { rows } = await stage.db.query("select wake_at, inbox_count from session_heads where session_id = $1", [sessionId]);
  expect(rows).toEqual([{ wake_at: null, inbox_count: 0 }]);
});

test("interrupted while it waits for its next try: idle at once, and what follows runs", async () => {
  const sessionId = await failed("retryable", 60_000);
  await stage.send(sessionId, interrupt, say("go on"));
  const next = await node.nextTurn();
  expect(JSON.stringify(next.turn.history)).toContain("go on");
  const types = await stage.types(sessionId);
  expect(types.slice(-8)).toEqual([
    "user.interrupt",
    "session.thread_status_idle",
    "session.usage",
    "session.status_idle",
    "user.message",
    "session.status_running",
    "session.thread_status_running",
    "span.model_request_start",
  ]);
  next.end({ type: "failed", error: { kind: "unknown_error", message: "no", disposition: "exhausted" } });
});

test("deleted while it waits for its next try: nothing of it is left", async () => {
  const sessionId = await failed("retryable", 60_000);
  await stage.sessions.delete(stage.workspaceId, sessionId);
  for (const table of ["events", "inbox", "tool_calls", "model_spans", "session_heads", "harness_records"]) {
    const { rows } = await stage.db.query<{ count: number }>(`select count(*) from ${table} where session_id = $1`, [sessionId]);
    expect([table, rows[0]?.count]).toEqual([table, 0]);
  }
});

test("a conversation that no model can read is told so, and the session can still be used to say it", async () => {
  const sessionId = await stage.newSession();
  const large = "x".repeat(TRANSCRIPT_BYTES_MAX / 4);
  for (let i = 0; i < 5; i++)
    await writeSession(stage.db, {
      sessionId,
      threadId: "sthr_1",
      generation: null,
      events: [newEvent("agent.message", { content: [{ type: "text", text: large }] })],
    });
  await stage.send(sessionId, say("hi"));
  await until(async () => (await stage.status(sessionId)) === "idle");
  const events = await readEventsAfter(stage.db, sessionId, 5, { rows: 100, bytes: 1e9 });
  expect(events.map((event) => event.type)).toEqual([
    "user.message",
    "session.status_running",
    "session.thread_status_running",
    "span.model_request_start",
    "span.model_request_end",
    "session.error",
    "session.thread_status_idle",
    "session.usage",
    "session.status_idle",
  ]);
  expect(events[5]?.body).toContain("model_request_failed_error");
  expect(events[5]?.body).toContain(String(TRANSCRIPT_BYTES_MAX));
});
