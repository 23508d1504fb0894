import { hold, say } from "@sandbox0/testkit";
import { expect } from "vitest";
import { conformanceServer, TOOLSET } from "./fixture/conformance-server.ts";
import { refusedAsInvalid, refusedAsUnknown } from "./fixture/refused.ts";
import { countOf, last, message, only, saidBy, typesOf } from "./fixture/test-session.ts";
import { verifies } from "./fixture/verifies.ts";

const server = conformanceServer();
const sessions = () => server.client.beta.sessions;
const UNKNOWN = "011111111111111111111111";

verifies(["sessions.create-idle", "http.id-prefixes"], "without events it is idle, and nothing runs", async () => {
  const session = await server.createSession({ title: "A title", metadata: { k: "v" } });
  expect(session.created).toEqual({
    id: expect.stringMatching(/^sesn_01\w+$/),
    type: "session",
    agent: expect.objectContaining({ type: "agent", version: 1 }),
    environment_id: server.environmentId,
    title: "A title",
    status: "idle",
    metadata: { k: "v" },
    vault_ids: [],
    resources: [],
    outcome_evaluations: [],
    budget: null,
    stats: { active_seconds: 0, duration_seconds: expect.any(Number) },
    usage: expect.objectContaining({ input_tokens: 0, output_tokens: 0 }),
    created_at: expect.stringMatching(/Z$/),
    updated_at: expect.stringMatching(/Z$/),
    archived_at: null,
    deployment_id: null,
  });
  expect(await session.events()).toEqual([]);
  const empty = await server.createSession({ initial_events: [] });
  expect(empty.created.status).toBe("idle");
  expect(await empty.events()).toEqual([]);
});

verifies(["sessions.agent-forms", "sessions.agent-snapshot"], "an id, a reference, a pinned version", async () => {
  const agent = await server.createAgent({ system: "one", tools: [TOOLSET] });
  await server.client.beta.agents.update(agent.id, { system: "two" });
  const system = async (reference: Parameters<typeof server.createSession>[0]) =>
    [(await server.createSession(reference)).created.agent].map(({ version, system }) => [version, system])[0];
  expect(await system({ agent: agent.id })).toEqual([2, "two"]);
  expect(await system({ agent: { type: "agent", id: agent.id } })).toEqual([2, "two"]);
  expect(await system({ agent: { type: "agent", id: agent.id, version: 1 } })).toEqual([1, "one"]);
  expect(await system({ agent: { type: "agent_with_overrides", id: agent.id, version: 1 } })).toEqual([1, "one"]);
  const { metadata: _m, archived_at: _a, created_at: _c, updated_at: _u, ...snapshot } = agent;
  const pinned = await server.createSession({ agent: { type: "agent", id: agent.id, version: 1 } });
  expect(pinned.created.agent).toEqual(snapshot);
});

verifies("sessions.initial-running", "with initial events it is created running, and they are on its log", async () => {
  const gate = server.gate();
  const marker = server.play([hold(gate), say("Hi.")]);
  const initial_events = [{ type: "user.message" as const, content: [{ type: "text" as const, text: marker }] }];
  const session = await server.createSession({ initial_events });
  expect(session.created.status).toBe("running");
  expect(Object.keys(session.created)).not.toContain("initial_events");
  expect((await session.events())[0]).toMatchObject({ ...initial_events[0], id: expect.stringMatching(/^sevt_/) });
  gate.open();
  expect(typesOf(await session.rest()).slice(0, 2)).toEqual(["user.message", "session.status_running"]);
});

verifies(
  ["sessions.initial-limits", "sessions.initial-atomic"],
  "what initial events may not be, and then there is no session",
  async () => {
    const before = (await sessions().list({ limit: 100 })).data.length;
    const text = { type: "user.message", content: [{ type: "text", text: "x" }] };
    const outcome = { type: "user.define_outcome", description: "d", rubric: { type: "text", content: "r" } };
    const file = { type: "document", source: { type: "file", file_id: "file_x" } };
    const bad: object[][] = [
      Array(51).fill(text),
      [text, { type: "user.interrupt" }],
      [{ type: "system.message", content: [{ type: "text", text: "x" }] }],
      [outcome, outcome],
      [{ type: "user.message", content: [] }],
      [{ type: "user.message", content: Array(101).fill(file) }],
      [{ ...outcome, rubric: undefined }],
    ];
    for (const initial_events of bad) {
      await refusedAsInvalid(server.createSession({ initial_events: initial_events as never }), /initial_events/);
    }
    expect((await sessions().list({ limit: 100 })).data).toHaveLength(before);
  },
);

verifies("sessions.unknown-parts", "unknown agents, versions, environments and vaults", async () => {
  const agent = await server.createAgent();
  await refusedAsUnknown(server.createSession({ agent: `agent_${UNKNOWN}` }));
  await refusedAsInvalid(server.createSession({ agent: { type: "agent", id: agent.id, version: 7 } }), /version/);
  await refusedAsUnknown(server.createSession({ environment_id: `env_${UNKNOWN}` }));
  await refusedAsInvalid(server.createSession({ vault_ids: [`vlt_${UNKNOWN}`] }), /vlt_/);
  for (const missing of ["agent", "environment_id"]) {
    const params = { agent: agent.id, environment_id: server.environmentId, [missing]: undefined };
    await refusedAsInvalid(sessions().create(params), new RegExp(missing));
  }
});

verifies("sessions.unknown-id", "an unknown session, in every operation", async () => {
  const id = `sesn_${UNKNOWN}`;
  await refusedAsUnknown(sessions().retrieve(id));
  await refusedAsUnknown(sessions().update(id, { title: "x" }));
  await refusedAsUnknown(sessions().archive(id));
  await refusedAsUnknown(sessions().delete(id));
  await refusedAsUnknown(
    sessions()
      .events.list(id)
      .then((page) => page.data),
  );
  await refusedAsUnknown(sessions().events.send(id, { events: [message("x")] }));
  await refusedAsUnknown(sessions().events.stream(id));
  await refusedAsUnknown(
    sessions()
      .threads.list(id)
      .then((page) => page.data),
  );
});

verifies(
  ["sessions.archive", "sessions.archive-again", "sessions.archive-blocks", "sessions.update-archived"],
  "archive",
  async () => {
    const session = await server.start({}, say("Hello."));
    const before = await session.rest();
    const archived = await sessions().archive(session.id);
    expect(archived).toMatchObject({ id: session.id, status: "terminated", archived_at: expect.any(String) });
    const events = await session.events();
    expect(events.slice(0, before.length)).toEqual(before);
    expect(typesOf(events.slice(before.length))).toEqual(["session.thread_status_terminated", "session.status_terminated"]);
    expect(await sessions().archive(session.id)).toEqual(archived);
    await refusedAsInvalid(session.send(message("Hello?")), /archived/);
    await refusedAsInvalid(sessions().update(session.id, { title: "x" }));
    expect(await session.events()).toEqual(events);
  },
);

verifies("sessions.archive-running", "while it runs it is neither archived nor deleted", async () => {
  const gate = server.gate();
  const session = await server.start({}, [hold(gate), say("Done.")]);
  await gate.reached;
  await refusedAsInvalid(sessions().archive(session.id), /running/);
  await refusedAsInvalid(sessions().delete(session.id), /running/);
  gate.open();
  expect(saidBy(await session.rest())).toEqual(["Done."]);
});

verifies(["sessions.delete", "sessions.delete-keeps", "http.delete-body"], "delete", async () => {
  const session = await server.start({}, say("Hello."));
  await session.rest();
  expect(await sessions().delete(session.id)).toEqual({ id: session.id, type: "session_deleted" });
  await refusedAsUnknown(session.retrieve());
  await refusedAsUnknown(session.events());
  await refusedAsUnknown(sessions().delete(session.id));
  expect(await server.client.beta.agents.retrieve(session.created.agent.id)).toMatchObject({ archived_at: null });
  expect(await server.client.beta.environments.retrieve(server.environmentId)).toMatchObject({ archived_at: null });
  const archived = await server.createSession();
  await sessions().archive(archived.id);
  expect(await sessions().delete(archived.id)).toMatchObject({ type: "session_deleted" });
});

verifies(["sessions.list-order", "sessions.list-filters", "sessions.list-archived"], "list", async () => {
  const agent = await server.createAgent();
  await server.client.beta.agents.update(agent.id, { system: "two" });
  const reference = (version: number) => ({ agent: { type: "agent" as const, id: agent.id, version } });
  const [a, b, c] = [
    await server.createSession(reference(1)),
    await server.createSession(reference(2)),
    await server.createSession(reference(2)),
  ];
  const ids = async (query: Parameters<ReturnType<typeof sessions>["list"]>[0] = {}) =>
    (await sessions().list({ agent_id: agent.id, ...query })).data.map(({ id }) => id);
  expect(await ids()).toEqual([c.id, b.id, a.id]);
  expect(await ids({ order: "asc" })).toEqual([a.id, b.id, c.id]);
  expect(await ids({ agent_version: 1 })).toEqual([a.id]);
  await refusedAsInvalid(sessions().list({ agent_version: 1 }), /agent_id/);
  const at = b.created.created_at;
  expect(await ids({ "created_at[gte]": at, "created_at[lte]": at })).toContain(b.id);
  expect(await ids({ "created_at[gt]": at })).not.toContain(b.id);
  expect(await ids({ "created_at[lt]": at })).not.toContain(b.id);
  await sessions().archive(b.id);
  expect(await ids()).toEqual([c.id, a.id]);
  expect(await ids({ include_archived: true })).toEqual([c.id, b.id, a.id]);
  expect(await ids({ include_archived: true, statuses: ["terminated"] })).toEqual([b.id]);
  expect(await ids({ include_archived: true, statuses: ["terminated", "idle"] })).toEqual([c.id, b.id, a.id]);
  expect(await ids({ statuses: ["running"] })).toEqual([]);
  expect(await ids({ deployment_id: `depl_${UNKNOWN}` })).toEqual([]);
  expect(await ids({ memory_store_id: `memstore_${UNKNOWN}` })).toEqual([]);
  await refusedAsInvalid(ids({ statuses: ["asleep" as "idle"] }), /statuses/);
  await refusedAsInvalid(ids({ order: "random" as "asc" }), /order/);
});

verifies("sessions.status-at-idle", "seen idle on the stream, it can be archived and deleted at once", async () => {
  for (let round = 0; round < 5; round++) {
    const session = await server.createSession();
    const stream = await session.stream();
    await session.send(message(server.play(say("Hello."))));
    await stream.until((received) => received.at(-1)?.type === "session.status_idle");
    const seen = await session.retrieve();
    expect(seen.status).toBe("idle");
    if (round % 2 === 0) await sessions().archive(session.id);
    else await sessions().delete(session.id);
  }
});

verifies("sessions.stats", "active time stands still while it waits; the duration stops with the session", async () => {
  const session = await server.start({}, say("Hello."));
  const events = await session.rest();
  const active = (await session.retrieve()).stats.active_seconds;
  expect(active).toBeGreaterThan(0);
  expect(last(events, "session.usage").usage.active_seconds).toBeGreaterThan(0);
  expect((await session.retrieve()).stats.active_seconds).toBe(active);
  const { stats } = await sessions().archive(session.id);
  expect(stats.duration_seconds).toBeGreaterThanOrEqual(active ?? 0);
  expect((await session.retrieve()).stats).toEqual(stats);
  expect(countOf(await session.events(), "session.status_running")).toBe(only(events, "session.status_running").length);
});
