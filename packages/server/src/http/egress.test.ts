import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { insertEgressRows, type NewEgressRow } from "../store/egress-audit.ts";
import { startTestServer, type TestServer } from "./http-server.fixture.ts";

let server: TestServer;
let sessionId: string;

beforeAll(async () => {
  server = await startTestServer();
  const client = server.client();
  const agent = await client.beta.agents.create({ name: "a", model: "claude-sonnet-5" });
  const environment = await client.beta.environments.create({ name: "e" });
  sessionId = (await client.beta.sessions.create({ agent: agent.id, environment_id: environment.id })).id;
  await insertEgressRows(
    server.db,
    Array.from({ length: 5 }, (_, index) => row({ host: `h${index}.example.com` })),
  );
}, 60_000);
afterAll(() => server.close());

const row = (change: Partial<NewEgressRow>): NewEgressRow => ({
  key: randomUUID(),
  workspaceId: server.workspaceId,
  sessionId,
  sandboxId: "1.2.ab",
  at: new Date("2026-01-02T03:04:05.678Z"),
  durationMs: 12.6,
  host: null,
  port: 443,
  verdict: "allowed",
  reason: null,
  bytesOut: 10,
  bytesIn: 5_000_000_000,
  credentialIds: ["vcrd_1"],
  ...change,
});

const list = (query = "", id = sessionId) => server.request("GET", `/sandbox0/v1/sessions/${id}/egress${query}`);

test("pages through what a session sent out, newest first", async () => {
  const first = (await list("?limit=3")).body as { data: { host: string }[]; next_page: string };
  expect(first.data.map(({ host }) => host)).toEqual(["h4.example.com", "h3.example.com", "h2.example.com"]);
  expect(first.data[0]).toEqual({
    type: "egress_request",
    at: "2026-01-02T03:04:05.678Z",
    session_id: sessionId,
    sandbox_id: "1.2.ab",
    host: "h4.example.com",
    port: 443,
    verdict: "allowed",
    reason: null,
    bytes_out: 10,
    bytes_in: 5_000_000_000,
    duration_ms: 13,
    credential_ids: ["vcrd_1"],
  });
  const second = (await list(`?limit=3&page=${first.next_page}`)).body as typeof first;
  expect(second.data.map(({ host }) => host)).toEqual(["h1.example.com", "h0.example.com"]);
  expect(second.next_page).toBeNull();
});

test("is the workspace's own, and takes no other cursor", async () => {
  expect((await list("", "sesn_unknown")).status).toBe(404);
  const other = await server.apiKeys.create({ keyId: "key_x", workspaceId: server.workspaceId, admin: true } as never, {
    name: "k",
    workspace: "another",
  });
  const theirs = await server.request("GET", `/sandbox0/v1/sessions/${sessionId}/egress`, {
    anonymous: true,
    headers: { "x-api-key": other.key },
  });
  expect(theirs.status).toBe(404);
  expect((await list("?page=page_x")).status).toBe(400);
});

test("the workspace's audit is filtered by session, host and verdict, and pages on", async () => {
  const find = async (query: string) => {
    const { status, body } = await server.request("GET", `/sandbox0/v1/egress?${query}`);
    const { data, next_page: next } = body as { data?: { host: string; session_id: string | null }[]; next_page?: string };
    return { status, hosts: data?.map(({ host }) => host), data, next };
  };
  await insertEgressRows(server.db, [
    row({ sessionId: "sesn_gone", host: "Api.Find.example", verdict: "denied", reason: "host_not_allowed" }),
    row({ sessionId: "sesn_gone", host: "find.example" }),
    row({ sessionId: null, host: "notfind.example" }),
    row({ sessionId: "sesn_gone", host: "find.example", workspaceId: "another" }),
  ]);
  expect((await find("host=FIND.example")).hosts).toEqual(["find.example", "Api.Find.example"]);
  expect((await find("host=find.example&verdict=denied")).hosts).toEqual(["Api.Find.example"]);
  expect((await find("session_id=sesn_gone")).hosts).toEqual(["find.example", "Api.Find.example"]);
  const first = await find("limit=1");
  expect(first.data).toMatchObject([{ host: "notfind.example", session_id: null }]);
  expect((await find(`limit=1&page=${first.next}`)).hosts).toEqual(["find.example"]);
  expect((await find("verdict=maybe")).status).toBe(400);
  expect((await list(`?page=${first.next}`)).status).toBe(400);
});

test("a host that no text column takes does not stop the others", async () => {
  await insertEgressRows(server.db, [row({ host: `a\0b\ud800${"c".repeat(400)}` })]);
  const { data } = (await list("?limit=1")).body as { data: { host: string }[] };
  expect(data[0]?.host).toHaveLength(254);
});
