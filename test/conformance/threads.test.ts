import { hold, say } from "@sandbox0/testkit";
import { expect } from "vitest";
import { conformanceServer } from "./fixture/conformance-server.ts";
import { refusedAsInvalid, refusedAsUnknown } from "./fixture/refused.ts";
import { message } from "./fixture/test-session.ts";
import { verifies } from "./fixture/verifies.ts";

const server = conformanceServer();
const threads = () => server.client.beta.sessions.threads;
const UNKNOWN = "sthr_011111111111111111111111";

verifies(
  ["threads.primary", "threads.before-first-turn", "http.id-prefixes"],
  "the primary thread, before and after a turn",
  async () => {
    const session = await server.createSession();
    const { data } = await threads().list(session.id);
    expect(data).toHaveLength(1);
    const [thread] = data;
    const { multiagent: _, ...agent } = session.created.agent;
    expect(thread).toEqual({
      id: expect.stringMatching(/^sthr_01\w+$/),
      type: "session_thread",
      session_id: session.id,
      parent_thread_id: null,
      workflow_run_id: null,
      agent,
      status: "idle",
      stats: null,
      usage: null,
      created_at: session.created.created_at,
      updated_at: expect.any(String),
      archived_at: null,
    });
    const get = () => threads().retrieve(thread?.id ?? "", { session_id: session.id });
    expect(await get()).toEqual(thread);

    const gate = server.gate();
    await session.send(message(server.play([hold(gate), say("Hi.")])));
    await gate.reached;
    expect(await get()).toMatchObject({ status: "running", stats: { active_seconds: expect.any(Number) }, usage: null });
    gate.open();
    await session.rest();
    expect(await get()).toMatchObject({
      status: "idle",
      stats: { active_seconds: expect.any(Number), duration_seconds: expect.any(Number), startup_seconds: expect.any(Number) },
      usage: { input_tokens: expect.any(Number), output_tokens: expect.any(Number) },
    });
  },
);

verifies("threads.statuses", "statuses[] filters", async () => {
  const session = await server.createSession();
  expect((await threads().list(session.id, { statuses: ["idle", "running"] })).data).toHaveLength(1);
  expect((await threads().list(session.id, { statuses: ["running"] })).data).toEqual([]);
  await refusedAsInvalid(threads().list(session.id, { statuses: ["asleep" as "idle"] }), /statuses/);
});

verifies("threads.events", "its events are the session's", async () => {
  const session = await server.start({}, say("Hello."));
  const events = await session.rest();
  const threadId = await session.threadId();
  const listed: unknown[] = [];
  for await (const event of threads().events.list(threadId, { session_id: session.id, limit: 4 })) listed.push(event);
  expect(listed).toEqual(events);
});

verifies("threads.unknown-id", "an unknown thread, and one of another session", async () => {
  const [session, other] = [await server.createSession(), await server.createSession()];
  for (const id of [UNKNOWN, await other.threadId()]) {
    await refusedAsUnknown(threads().retrieve(id, { session_id: session.id }));
    await refusedAsUnknown(
      threads()
        .events.list(id, { session_id: session.id })
        .then((page) => page.data),
    );
    await refusedAsUnknown(threads().events.stream(id, { session_id: session.id }));
  }
});

verifies("threads.stream-path", "the stream is at /threads/{id}/stream and nowhere else", async () => {
  const session = await server.createSession();
  const threadId = await session.threadId();
  const stream = await session.stream({ threadId });
  await session.send(message(server.play(say("Hello."))));
  const received = await stream.until((all) => all.at(-1)?.type === "session.status_idle");
  expect(received.filter((event) => "processed_at" in event && event.processed_at !== null)).toEqual(await session.events());
  const wrong = await server.request(`/v1/sessions/${session.id}/threads/${threadId}/events/stream`);
  expect(wrong.status).toBe(404);
});
