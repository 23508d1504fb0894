import type { Anthropic } from "@anthropic-ai/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type TestServer, startTestServer } from "./http-server.fixture.ts";

/** Routes of sessions, events and threads. What sessions do is tested where they are; here nothing runs them. */
let server: TestServer;
let client: Anthropic;
let agentId: string;
let environmentId: string;

beforeAll(async () => {
  server = await startTestServer();
  client = server.client();
  agentId = (await client.beta.agents.create({ name: "a", model: "m" })).id;
  environmentId = (await client.beta.environments.create({ name: "e" })).id;
});
afterAll(async () => {
  await server.close();
  expect(server.bugs).toEqual([]);
});

const create = () => client.beta.sessions.create({ agent: agentId, environment_id: environmentId });
const message = (text: string) => ({ type: "user.message" as const, content: [{ type: "text" as const, text }] });

test("create, read, update, list both ways, archive, delete", async () => {
  const made = [];
  for (let i = 0; i < 3; i++) made.push(await create());
  const [first, second, third] = made.map((session) => session.id);
  expect(await client.beta.sessions.retrieve(first ?? "")).toMatchObject({ id: first, status: "idle", agent: { id: agentId } });
  expect(await client.beta.sessions.update(first ?? "", { title: "t", metadata: { a: "1" } })).toMatchObject({
    title: "t",
    metadata: { a: "1" },
  });
  const page = await client.beta.sessions.list({ agent_id: agentId, limit: 2 });
  expect(page.data.map((session) => session.id)).toEqual([third, second]);
  expect(page.prev_page).toBeNull();
  const older = await page.getNextPage();
  expect(older.data[0]?.id).toBe(first);
  expect(older.prev_page).toMatch(/^page_/);
  expect((await client.beta.sessions.list({ order: "asc", statuses: ["idle"], limit: 1 })).data[0]?.id).toBe(first);
  expect((await server.request("GET", `/v1/sessions?order=asc&page=${page.next_page}`)).status).toBe(400);
  expect((await client.beta.sessions.archive(first ?? "")).status).toBe("terminated");
  expect(await client.beta.sessions.delete(second ?? "")).toEqual({ id: second, type: "session_deleted" });
});

test("events: sent, listed by every filter, followed", async () => {
  const session = await create();
  const stream = await client.beta.sessions.events.stream(session.id);
  const sent = await client.beta.sessions.events.send(session.id, {
    events: [message("one"), message("two \0 and \ud83d\ude00")],
  });
  expect(sent.data?.map((event) => event.type)).toEqual(["user.message", "user.message"]);
  expect(sent.data?.[0]).toMatchObject({ id: expect.stringMatching(/^sevt_/) as string, processed_at: null });
  const listed = await client.beta.sessions.events.list(session.id, { types: ["user.message"], order: "desc", limit: 1 });
  expect(listed.data).toHaveLength(1);
  expect((await client.beta.sessions.events.list(session.id, { types: ["agent.message"] })).data).toEqual([]);
  stream.controller.abort();

  const threads = await client.beta.sessions.threads.list(session.id);
  const thread = threads.data[0]?.id ?? "";
  expect(await client.beta.sessions.threads.retrieve(thread, { session_id: session.id })).toMatchObject({
    parent_thread_id: null,
    session_id: session.id,
  });
  expect((await client.beta.sessions.threads.events.list(thread, { session_id: session.id })).data).toHaveLength(2);
});

test.each([
  ["GET", "after=sevt_1", /accepted are created_at\[gt\].*limit, order, page, types\[\]/],
  ["GET", "types[]=session.deleted", /^types\[0\]: /],
  ["GET", "limit=1001", /^limit: /],
  ["GET", "order=up", /^order: /],
  ["GET", "created_at[gt]=x", /^created_at\[gt\]: /],
])("%s events?%s is refused by name", async (method, query, rule) => {
  const { id } = await create();
  const { status, body } = await server.request(method, `/v1/sessions/${id}/events?${query}`);
  expect(status).toBe(400);
  expect(body.error?.message).toMatch(rule);
});

test.each<[string, object, RegExp]>([
  ["no events", {}, /^events: Field required/],
  ["none", { events: [] }, /^events: /],
  ["an unknown type", { events: [{ type: "agent.message" }] }, /^events\[0\]\.type: /],
  ["no content", { events: [message("x"), { type: "user.message", content: [] }] }, /^events\[1\]\.content: /],
  [
    "a redacted block",
    { events: [{ type: "user.message", content: [{ type: "redacted" }] }] },
    /^events\[0\]\.content\[0\]\.type: /,
  ],
  [
    "an image that is no base64",
    {
      events: [
        { type: "user.message", content: [{ type: "image", source: { type: "base64", media_type: "image/png", data: "?" } }] },
      ],
    },
    /^events\[0\]\.content\[0\]\.source\.data: /,
  ],
  [
    "a NUL in an id",
    { events: [{ type: "user.tool_confirmation", tool_use_id: "sevt_\0", result: "allow" }] },
    /^events\[0\]\.tool_use_id: is not an id/,
  ],
  ["10,000 events", { events: Array.from({ length: 10_000 }, () => message("x")) }, /^events: /],
])("a send with %s is refused whole", async (_what, body, rule) => {
  const { id } = await create();
  const answer = await server.request("POST", `/v1/sessions/${id}/events`, { body });
  expect([answer.status, answer.body.error?.type]).toEqual([400, "invalid_request_error"]);
  expect(answer.body.error?.message).toMatch(rule);
  expect((await client.beta.sessions.events.list(id)).data).toEqual([]);
});

test.each<[string, object, RegExp]>([
  ["vault_ids in an update", { vault_ids: [] }, /^vault_ids: Updating vault_ids is not yet supported/],
  [
    "a budget with a fraction",
    { budget: { type: "limit", max_list_cost: { amount: "1.50", currency: "USD" } } },
    /^budget\.max_list_cost\.amount: /,
  ],
  ["a title that is no text", { title: 5 }, /^title: /],
  ["a NUL in the metadata", { metadata: { a: "\0" } }, /^metadata\.a: Text must be/],
])("refused: %s", async (_what, body, rule) => {
  const { id } = await create();
  const answer = await server.request("POST", `/v1/sessions/${id}`, { body });
  expect(answer.status).toBe(400);
  expect(answer.body.error?.message).toMatch(rule);
});

const initial = (events: unknown[]) => ({ agent: agentId, environment_id: environmentId, initial_events: events });
const outcome = { type: "user.define_outcome", description: "d", rubric: { type: "text", content: "r" } };
test.each<[string, () => object, RegExp]>([
  ["more than 50", () => initial(Array.from({ length: 51 }, () => message("x"))), /^initial_events: /],
  ["an interrupt", () => initial([{ type: "user.interrupt" }]), /^initial_events\[0\]\.type: /],
  ["two outcomes", () => initial([outcome, outcome]), /^initial_events: At most one user\.define_outcome/],
  ["an outcome without rubric", () => initial([{ ...outcome, rubric: undefined }]), /^initial_events\[0\]\.rubric: /],
])("initial events: %s is refused, and no session is made", async (_what, body, rule) => {
  const before = (await client.beta.sessions.list({ limit: 100 })).data.length;
  const answer = await server.request("POST", "/v1/sessions", { body: body() });
  expect(answer.status).toBe(400);
  expect(answer.body.error?.message).toMatch(rule);
  expect((await client.beta.sessions.list({ limit: 100 })).data).toHaveLength(before);
});
