import { say } from "@sandbox0/testkit";
import { beforeAll, expect } from "vitest";
import { conformanceServer } from "./fixture/conformance-server.ts";
import { refusedAsInvalid } from "./fixture/refused.ts";
import type { TestSession } from "./fixture/test-session.ts";
import { verifies } from "./fixture/verifies.ts";

const server = conformanceServer();

const COUNT = 25;
let agentIds: string[];
let sessionIds: string[];
let session: TestSession;
beforeAll(async () => {
  const agent = await server.createAgent({ name: "0" });
  agentIds = [agent.id];
  for (let index = 1; index < COUNT; index++) agentIds.unshift((await server.createAgent({ name: String(index) })).id);
  sessionIds = [];
  for (let index = 0; index < COUNT; index++) sessionIds.unshift((await server.createSession({ agent: agent.id })).id);
  for (let index = 1; index < COUNT; index++) await server.client.beta.agents.update(agent.id, { name: `version ${index + 1}` });
  for (let index = 1; index < COUNT; index++) await server.client.beta.environments.create({ name: String(index) });
  session = await server.start({}, say("Hello."));
  await session.rest();
});

interface Page {
  data: { id: string; version?: number }[];
  next_page: string | null;
  prev_page?: string | null;
}
async function get(path: string, query: Record<string, string> = {}): Promise<Page> {
  const response = await server.request(`${path}?${new URLSearchParams(query)}`);
  expect(response.status).toBe(200);
  return (await response.json()) as Page;
}
/** Walks a list to its end; gives the keys of the entries and the sizes of the pages. */
async function walk(path: string, query: Record<string, string>): Promise<{ keys: string[]; sizes: number[] }> {
  const keys: string[] = [];
  const sizes: number[] = [];
  for (let page: string | null = ""; page !== null; ) {
    const { data, next_page }: Page = await get(path, { ...query, page });
    keys.push(...data.map(({ id, version }) => (path.endsWith("/versions") ? `v${version}` : id)));
    sizes.push(data.length);
    expect(data.length > 0 || next_page === null).toBe(true);
    page = next_page;
  }
  return { keys, sizes };
}
/** Cursors of the right list with places that are none. */
const forged = (list: string, order: string) =>
  [[], ["x"], ["x", "y"], [-1, -1], [1.5], [1e300, "x"], [2 ** 53, 2 ** 53], ["2026-01-01", "\0"]].map(
    (key) => `page_${Buffer.from(JSON.stringify([list, order, "next", key])).toString("base64url")}`,
  );
const lists = () => ({
  "/v1/agents": 20,
  [`/v1/agents/${agentIds.at(-1)}/versions`]: 20,
  "/v1/environments": 20,
  "/v1/sessions": 20,
  [`/v1/sessions/${session.id}/events`]: 1000,
  [`/v1/sessions/${session.id}/threads`]: 1000,
  [`/v1/sessions/${session.id}/threads/${threadId}/events`]: 1000,
});
let threadId: string;
beforeAll(async () => {
  threadId = await session.threadId();
});

verifies(
  ["pages.walk", "pages.sizes", "pages.prev"],
  "every list: each entry once, null at the end, sizes as documented",
  async () => {
    for (const [path, size] of Object.entries(lists())) {
      const whole = await walk(path, {});
      expect(new Set(whole.keys).size).toBe(whole.keys.length);
      if (size === 20) expect(whole.sizes[0]).toBe(20);
      for (const limit of ["1", "7", "100"]) expect((await walk(path, { limit })).keys).toEqual(whole.keys);
      const first = await get(path, { limit: "3" });
      expect([path, "prev_page" in first]).toEqual([path, path === "/v1/sessions"]);
      for (const bad of ["0", "-1", "1.5", "many", String(size === 20 ? 101 : 1001)]) {
        expect((await server.request(`${path}?limit=${bad}`)).status).toBe(400);
      }
    }
    expect((await walk("/v1/sessions", { agent_id: agentIds.at(-1) ?? "" })).keys).toEqual(sessionIds);
    const versions = Array.from({ length: COUNT }, (_, index) => `v${COUNT - index}`);
    expect((await walk(`/v1/agents/${agentIds.at(-1)}/versions`, {})).keys).toEqual(versions);
  },
);

verifies("pages.walk", "the SDK iterates over all of it", async () => {
  const seen: string[] = [];
  for await (const { id } of server.client.beta.sessions.list({ agent_id: agentIds.at(-1) ?? "", limit: 4 })) seen.push(id);
  expect(seen).toEqual(sessionIds);
});

verifies("pages.prev", "sessions page back, in both orders", async () => {
  const agent_id = agentIds.at(-1) ?? "";
  for (const order of ["desc", "asc"]) {
    const expected = order === "desc" ? sessionIds : [...sessionIds].reverse();
    const query = { agent_id, order, limit: "10" };
    const first = await get("/v1/sessions", query);
    expect(first.prev_page).toBeNull();
    const second = await get("/v1/sessions", { ...query, page: first.next_page ?? "" });
    const third = await get("/v1/sessions", { ...query, page: second.next_page ?? "" });
    expect([...first.data, ...second.data, ...third.data].map(({ id }) => id)).toEqual(expected);
    expect(third.next_page).toBeNull();
    const back = await get("/v1/sessions", { ...query, page: third.prev_page ?? "" });
    expect(back.data.map(({ id }) => id)).toEqual(second.data.map(({ id }) => id));
    const start = await get("/v1/sessions", { ...query, page: back.prev_page ?? "" });
    expect(start.data.map(({ id }) => id)).toEqual(first.data.map(({ id }) => id));
    expect(start.prev_page).toBeNull();
    expect(start.next_page).not.toBeNull();
  }
});

verifies(["pages.bad-cursor", "pages.cursor-order", "pages.cursor-filters"], "cursors", async () => {
  const cursors: Record<string, string> = {};
  for (const path of Object.keys(lists())) {
    for (const bad of ["page_", "nonsense", "page_bm9uc2Vuc2U", "page_W10"]) {
      expect([path, (await server.request(`${path}?page=${bad}`)).status]).toEqual([path, 400]);
    }
    const { next_page } = await get(path, { limit: "1" });
    if (next_page !== null) cursors[path] = next_page;
  }
  for (const [path, cursor] of Object.entries(cursors)) {
    const [list, order] = JSON.parse(Buffer.from(cursor.slice("page_".length), "base64url").toString()) as [string, string];
    for (const page of forged(list, order)) {
      expect([path, page, (await server.request(`${path}?page=${page}`)).status < 500]).toEqual([path, page, true]);
    }
  }
  const other = await server.request(`/v1/environments?page=${cursors["/v1/agents"]}`);
  expect(other.status).toBe(400);
  for (const path of ["/v1/sessions", `/v1/sessions/${session.id}/events`]) {
    const turned = path === "/v1/sessions" ? "asc" : "desc";
    expect((await server.request(`${path}?order=${turned}&page=${cursors[path]}`)).status).toBe(400);
    expect((await server.request(`${path}?limit=7&page=${cursors[path]}`)).status).toBe(200);
  }
  const idle = await get("/v1/sessions", { "statuses[]": "idle", limit: "3", page: cursors["/v1/sessions"] ?? "" });
  expect(idle.data).toHaveLength(3);
});

verifies("pages.cursor-outside", "a created_at filter that the cursor is not in", async () => {
  const agent_id = agentIds.at(-1) ?? "";
  const { sessions } = server.client.beta;
  const page = await sessions.list({ agent_id, limit: 10 });
  const next = page.next_page ?? "";
  const at = page.data.at(-1)?.created_at ?? "";
  const before = new Date(Date.parse(at) - 60_000).toISOString();
  const after = new Date(Date.parse(at) + 60_000).toISOString();
  for (const outside of [
    { "created_at[lt]": before },
    { "created_at[gt]": after },
    { "created_at[lte]": before },
    { "created_at[gte]": after },
  ]) {
    await refusedAsInvalid(sessions.list({ agent_id, page: next, ...outside }), /page|cursor/i);
  }
  expect((await sessions.list({ agent_id, page: next, "created_at[gte]": before })).data.length).toBeGreaterThan(0);
  const agents = await server.client.beta.agents.list({ limit: 10 });
  await refusedAsInvalid(
    server.client.beta.agents.list({ page: agents.next_page ?? "", "created_at[gte]": after }),
    /page|cursor/i,
  );
  const events = await server.client.beta.sessions.events.list(session.id, { limit: 2 });
  await refusedAsInvalid(
    server.client.beta.sessions.events.list(session.id, { page: events.next_page ?? "", "created_at[gt]": after }),
    /page|cursor/i,
  );
});

verifies("metadata.limits", "16 pairs, keys of 64, values of 512", async () => {
  const full = Object.fromEntries(Array.from({ length: 16 }, (_, index) => [`${index}`.padEnd(64, "k"), "v".repeat(512)]));
  const { agents, environments, sessions } = server.client.beta;
  const base = { agent: agentIds[0] ?? "", environment_id: server.environmentId };
  const agent = await agents.create({ name: "a", model: "claude-sonnet-5-5", metadata: full });
  const environment = await environments.create({ name: "e", metadata: full });
  const made = await sessions.create({ ...base, metadata: full });
  for (const { metadata } of [agent, environment, made]) expect(metadata).toEqual(full);
  for (const metadata of [{ ...full, one: "more" }, { ["k".repeat(65)]: "v" }, { k: "v".repeat(513) }, { k: 1 as never }]) {
    await refusedAsInvalid(agents.create({ name: "a", model: "claude-sonnet-5-5", metadata }), /metadata/);
    await refusedAsInvalid(environments.create({ name: "e", metadata }), /metadata/);
    await refusedAsInvalid(sessions.create({ ...base, metadata }), /metadata/);
  }
  const more = { metadata: { one: "more" } };
  await refusedAsInvalid(agents.update(agent.id, more), /metadata/);
  await refusedAsInvalid(environments.update(environment.id, more), /metadata/);
  await refusedAsInvalid(sessions.update(made.id, more), /metadata/);
  const [first = ""] = Object.keys(full);
  expect(Object.keys((await sessions.update(made.id, { metadata: { one: "more", [first]: null } })).metadata)).toHaveLength(16);
});
