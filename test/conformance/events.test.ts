import type { BetaManagedAgentsEventParams } from "@anthropic-ai/sdk/resources/beta/sessions/events";
import { hold, say } from "@sandbox0/testkit";
import { expect } from "vitest";
import { conformanceServer } from "./fixture/conformance-server.ts";
import { refusedAsInvalid } from "./fixture/refused.ts";
import { interrupt, message, only, textOf, typesOf } from "./fixture/test-session.ts";
import { verifies } from "./fixture/verifies.ts";

const server = conformanceServer();
type ListQuery = NonNullable<Parameters<typeof server.client.beta.sessions.events.list>[1]>;

verifies(["events.send-echo", "events.id-and-time", "events.queued-null"], "the answer is what is stored, in order", async () => {
  const session = await server.createSession();
  const content = [
    { type: "text" as const, text: server.play(say("Hello.")) },
    { type: "text" as const, text: "with \u0000, \ud83d\ude00 and \ud83d alone" },
  ];
  const stored = await session.send({ type: "user.message", content }, message("two"));
  expect(stored).toEqual([
    { id: expect.stringMatching(/^sevt_01\w+$/), type: "user.message", processed_at: null, content },
    {
      id: expect.stringMatching(/^sevt_01\w+$/),
      type: "user.message",
      processed_at: null,
      content: [{ type: "text", text: "two" }],
    },
  ]);
  const events = await session.rest();
  expect(only(events, "user.message")).toEqual(stored.map((event) => ({ ...event, processed_at: expect.any(String) })));
});

verifies("events.all-or-nothing", "one bad event: none is taken", async () => {
  const session = await server.createSession();
  const bad: [index: number, ...events: unknown[]][] = [
    [1, message("ok"), { type: "user.message", content: "text" }],
    [1, message("ok"), { type: "user.message", content: [] }],
    [2, message("ok"), message("ok"), { type: "user.message" }],
    [0, { type: "user.message", content: [{ type: "text", text: 5 }] }],
    [1, message("ok"), { type: "user.message", content: [{ type: "video" }] }],
    [1, message("ok"), { type: "user.interrupt", session_thread_id: 5 }],
    [1, message("ok"), { type: "user.tool_confirmation", tool_use_id: "sevt_x", result: "maybe" }],
    [1, message("ok"), "text"],
    [0, null],
  ];
  for (const [index, ...events] of bad) {
    await refusedAsInvalid(session.send(...(events as BetaManagedAgentsEventParams[])), `events[${index}]`);
  }
  await refusedAsInvalid(session.send(), /events/);
  expect(await session.events()).toEqual([]);
  expect((await session.retrieve()).status).toBe("idle");
});

verifies(["events.unknown-type", "events.redacted"], "events a client may not send", async () => {
  const session = await server.createSession();
  for (const type of ["agent.message", "session.status_idle", "user.wave", ""]) {
    await refusedAsInvalid(session.send({ type, content: [] } as never), "events[0]");
  }
  await refusedAsInvalid(
    session.send({ type: "user.message", content: [{ type: "redacted" }] } as never),
    "events[0].content[0]",
  );
  expect(await session.events()).toEqual([]);
});

verifies("events.send-limit", "10,000 events in one request", async () => {
  const session = await server.createSession();
  const many = Array.from({ length: 10_000 }, (_, index) => message(`message ${index}`));
  expect(await refusedAsInvalid(session.send(...many), /events/)).toMatch(/1000|1,000/);
  expect(await session.events()).toEqual([]);
  const marker = server.play(say("All of them."));
  await session.send(...many.slice(0, 999), message(marker));
  const events = await session.rest();
  expect(only(events, "user.message").map(textOf)).toEqual([
    ...many.slice(0, 999).map((event) => textOf(event as never)),
    marker,
  ]);
});

verifies("events.list-types", "types[] filters", async () => {
  const session = await server.start({}, say("Hello."));
  await session.rest();
  const list = async (query: ListQuery) => typesOf((await server.client.beta.sessions.events.list(session.id, query)).data);
  expect(await list({ types: ["agent.message", "user.message"] })).toEqual(["user.message", "agent.message"]);
  expect(await list({ types: ["session.error"] })).toEqual([]);
  await refusedAsInvalid(list({ types: ["session.deleted" as "session.error"] }), /types/);
  await refusedAsInvalid(list({ types: ["user.wave" as "session.error"] }), /types/);
});

verifies("events.list-times", "created_at[…] compares with processed_at, and leaves out what has none", async () => {
  const gate = server.gate();
  const session = await server.start({}, say("Hello."));
  const events = await session.rest();
  const list = async (query: ListQuery) =>
    (await server.client.beta.sessions.events.list(session.id, query)).data.map(({ id }) => id);
  const at = events[4]?.processed_at ?? "";
  const matching = (keep: (time: string) => boolean) =>
    events.filter(({ processed_at }) => keep(processed_at ?? "")).map(({ id }) => id);
  expect(await list({ "created_at[gte]": at })).toEqual(matching((time) => time >= at));
  expect(await list({ "created_at[gt]": at })).toEqual(matching((time) => time > at));
  expect(await list({ "created_at[lte]": at })).toEqual(matching((time) => time <= at));
  expect(await list({ "created_at[lt]": at })).toEqual(matching((time) => time < at));
  await refusedAsInvalid(list({ "created_at[gte]": "yesterday" }), /created_at/);

  await session.send(message(server.play([hold(gate), say("Again.")])));
  await gate.reached;
  const [queued] = await session.send(message("queued"));
  expect(await list({ "created_at[gte]": at })).not.toContain(queued?.id);
  expect(await list({})).toContain(queued?.id);
  gate.open();
});

verifies("events.list-order", "ascending, or turned round; what is queued is youngest", async () => {
  const gate = server.gate();
  const session = await server.start({}, [hold(gate), say("Hello.")]);
  await gate.reached;
  const queued = await session.send(message("one"), message("two"), interrupt);
  gate.open();
  await session.rest();
  const events = await session.events();
  const page = await server.client.beta.sessions.events.list(session.id, { order: "desc" });
  expect(page.data.map(({ id }) => id)).toEqual(events.map(({ id }) => id).reverse());
  expect(queued.every(({ id }) => events.some((event) => event.id === id))).toBe(true);

  const asking = server.gate();
  await session.send(message(server.play([hold(asking), say("Again.")])));
  await asking.reached;
  const late = await session.send(message("three"), message("four"));
  expect((await session.events()).slice(-2)).toEqual(late);
  const turned = await server.client.beta.sessions.events.list(session.id, { order: "desc", limit: 2 });
  expect(turned.data).toEqual([...late].reverse());
  asking.open();
});

verifies(["events.list-strict", "pages.events-size"], "unknown parameters and sizes", async () => {
  const session = await server.createSession();
  const get = async (query: string) => {
    const response = await server.request(`/v1/sessions/${session.id}/events?${query}`);
    return [response.status, ((await response.json()) as { error?: { message: string } }).error?.message ?? ""] as const;
  };
  const [status, text] = await get("after=sevt_x");
  expect(status).toBe(400);
  for (const accepted of [
    "created_at[gt]",
    "created_at[gte]",
    "created_at[lt]",
    "created_at[lte]",
    "limit",
    "order",
    "page",
    "types[]",
  ]) {
    expect(text).toContain(accepted);
  }
  expect((await get("limit=1000&beta=true"))[0]).toBe(200);
  for (const bad of ["limit=1001", "limit=0", "limit=ten", "order=up"]) expect((await get(bad))[0]).toBe(400);

  const many = Array.from({ length: 600 }, (_, index) => message(`message ${index}`));
  const gate = server.gate();
  await session.send(message(server.play([hold(gate), say("Done.")])));
  await gate.reached;
  await session.send(...many);
  await session.send(...many);
  const first = await server.client.beta.sessions.events.list(session.id);
  expect(first.data).toHaveLength(1000);
  expect(first.next_page).toMatch(/^page_/);
  expect(await session.events()).toHaveLength(1204);
  await session.send(interrupt);
  gate.open();
});
