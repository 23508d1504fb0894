import { gzipSync } from "node:zlib";
import Anthropic from "@anthropic-ai/sdk";
import { say } from "@sandbox0/testkit";
import { expect } from "vitest";
import { API_KEY, conformanceServer, MODEL } from "./fixture/conformance-server.ts";
import { refused } from "./fixture/refused.ts";
import { message, saidBy } from "./fixture/test-session.ts";
import { verifies } from "./fixture/verifies.ts";

const server = conformanceServer();

const JSON_TYPE = { "content-type": "application/json" };
const post = (path: string, body: unknown, headers: Record<string, string> = JSON_TYPE) =>
  server.request(path, { method: "POST", headers, body: typeof body === "string" ? body : JSON.stringify(body) });
interface ErrorAnswer {
  type: string;
  error: { type: string; message: string; details?: { error_code?: string } };
  request_id: string;
}
const errorOf = async (response: Response): Promise<ErrorAnswer["error"] & { status: number }> => {
  const { error } = (await response.json()) as ErrorAnswer;
  return { status: response.status, ...error };
};
const agent = (change: object = {}) => ({ name: "a", model: MODEL, ...change });

verifies(["http.request-id", "http.error-envelope", "http.json-content-type"], "request ids and error bodies", async () => {
  const good = await server.request("/v1/agents");
  const bad = await server.request("/v1/agents/agent_01unknown");
  expect(good.headers.get("request-id")).toMatch(/^req_01\w+$/);
  expect(bad.headers.get("request-id")).not.toBe(good.headers.get("request-id"));
  expect(await bad.json()).toEqual({
    type: "error",
    error: { type: "not_found_error", message: expect.stringContaining("agent_01unknown") },
    request_id: bad.headers.get("request-id"),
  });
  const created = await server.createAgent();
  expect(created).toHaveProperty("_request_id", expect.stringMatching(/^req_/));
  const { headers } = await refused(server.client.beta.agents.retrieve("agent_01unknown"));
  expect(headers.get("request-id")).toMatch(/^req_/);
});

verifies(["http.beta-header", "http.old-version"], "old and odd headers are no reason to fail", async () => {
  for (const beta of [
    undefined,
    "",
    "managed-agents-2026-04-01",
    "x-1,managed-agents-2026-04-01",
    "a, b ,c",
    "oauth-2025-04-20",
  ]) {
    const headers = beta === undefined ? {} : { "anthropic-beta": beta };
    expect((await server.request("/v1/agents?beta=true", { headers })).status).toBe(200);
  }
  for (const version of ["2023-06-01", "2026-10-21", ""]) {
    expect((await server.request("/v1/sessions?beta=true", { headers: { "anthropic-version": version } })).status).toBe(200);
  }
  expect((await post("/v1/agents?beta=true", agent())).status).toBe(200);
});

verifies("http.accept", "accept is not negotiated", async () => {
  for (const accept of ["application/json", "text/html", "application/binary", "*/*"]) {
    const response = await server.request("/v1/models", { headers: { accept } });
    expect([response.status, response.headers.get("content-type")]).toEqual([200, expect.stringMatching(/^application\/json/)]);
  }
});

verifies("http.empty-post", "a POST without a body and without a content type", async () => {
  const { id } = await server.createAgent();
  const archived = await server.request(`/v1/agents/${id}/archive`, { method: "POST" });
  expect(archived.status).toBe(200);
  const typed = await server.request(`/v1/agents/${id}/archive`, { method: "POST", headers: JSON_TYPE });
  expect(typed.status).toBe(200);
  expect((await errorOf(await server.request("/v1/agents", { method: "POST" }))).status).toBe(400);
});

verifies(["http.query-arrays", "http.empty-query"], "lists and empty values in a query", async () => {
  await server.createSession();
  const statuses = async (query: string) => {
    const response = await server.request(`/v1/sessions?${query}`);
    return [response.status, ((await response.json()) as { data: unknown[] }).data?.length];
  };
  const [, all] = await statuses("statuses[]=idle&statuses[]=running");
  expect(all).toBeGreaterThan(0);
  for (const query of [
    "statuses=idle&statuses=running",
    "statuses[0]=idle&statuses[1]=running",
    "statuses%5B%5D=idle&page=&limit=",
  ]) {
    expect(await statuses(query)).toEqual([200, all]);
  }
  expect(await statuses("statuses[]=running&order=")).toEqual([200, 0]);
});

verifies(["http.unknown-keys", "http.wrong-types"], "unknown keys are ignored, wrong types named", async () => {
  const created = (await (await post("/v1/agents", agent({ surprise: true, _internal: 1 }))).json()) as object;
  expect(created).not.toHaveProperty("surprise");
  const wrong: [object, string][] = [
    [{ name: 5 }, "name"],
    [{ model: { id: 5 } }, "model"],
    [{ model: [] }, "model"],
    [{ system: {} }, "system"],
    [{ tools: "all" }, "tools"],
    [{ tools: [{ type: "agent_toolset_20260401", configs: [{ name: "bash", enabled: "yes" }] }] }, "tools[0].configs[0].enabled"],
    [{ metadata: { k: 5 } }, "metadata.k"],
    [{ metadata: [] }, "metadata"],
    [{ name: null }, "name"],
  ];
  for (const [change, field] of wrong) {
    expect(await errorOf(await post("/v1/agents", agent(change)))).toMatchObject({
      status: 400,
      type: "invalid_request_error",
      message: expect.stringContaining(field),
    });
  }
});

verifies("http.unknown-route", "paths and methods that are none", async () => {
  for (const [method, path] of [
    ["GET", "/v1"],
    ["GET", "/v1/agents/"],
    ["GET", "/v1/nothing"],
    ["PUT", "/v1/agents"],
    ["DELETE", "/v1/agents/agent_01x"],
    ["GET", "/v1/sessions/sesn_x/events/stream/more"],
    ["POST", "/v2/agents"],
    ["GET", "/_stainless_unknown_path"],
  ] as const) {
    expect(await errorOf(await server.request(path, { method }))).toMatchObject({ status: 404, type: "not_found_error" });
  }
});

const nested = (depth: number) => `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`;
verifies("http.broken-json", "bodies that are none", async () => {
  const before = (await server.client.beta.agents.list({ limit: 100 })).data.length;
  const bodies = ["{", "", "null", "[]", '"text"', "5", "{'a':1}", '{"name":"a","model":"m",}', "\u0000", nested(100_000)];
  for (const body of bodies) {
    expect(await errorOf(await post("/v1/agents", body))).toMatchObject({ status: 400, type: "invalid_request_error" });
  }
  expect(await errorOf(await post("/v1/agents", `{"name":"a","model":"m","metadata":${nested(1000)}}`))).toMatchObject({
    status: 400,
  });
  const form = await post("/v1/agents", "name=a", { "content-type": "application/x-www-form-urlencoded" });
  expect(await errorOf(form)).toMatchObject({ status: 400, type: "invalid_request_error" });
  expect((await server.client.beta.agents.list({ limit: 100 })).data).toHaveLength(before);
  const polluted = await post(
    "/v1/agents",
    '{"name":"a","model":"m","__proto__":{"system":"x"},"constructor":{"prototype":{"y":1}}}',
  );
  expect(polluted.status).toBeLessThan(500);
  expect(({} as { system?: string }).system).toBeUndefined();
});

verifies("http.body-limit", "a body over 32 MB", async () => {
  const huge = "x".repeat(33 * 1024 * 1024);
  const create = await post("/v1/sessions", { agent: "agent_01x", environment_id: "env_01x", title: huge });
  expect(await errorOf(create)).toMatchObject({ status: 413, type: "request_too_large" });
  const session = await server.createSession();
  const { status, type } = await refused(session.send(message(huge)));
  expect({ status, type }).toEqual({ status: 413, type: "request_too_large" });
  expect(await session.events()).toEqual([]);
});

verifies("http.body-encoding", "charsets and content encodings", async () => {
  const text = JSON.stringify(agent({ name: "Zoë" }));
  const send = (body: Uint8Array<ArrayBuffer> | string, headers: Record<string, string>) =>
    server.request("/v1/agents", { method: "POST", headers: { ...JSON_TYPE, ...headers }, body });
  const gzipped = new Uint8Array(gzipSync(text));
  expect(await (await send(gzipped, { "content-encoding": "gzip" })).json()).toMatchObject({ name: "Zoë" });
  const latin = new Uint8Array(Buffer.from(text, "latin1"));
  const answer = await send(latin, { "content-type": "application/json; charset=iso-8859-1" });
  expect(await answer.json()).toMatchObject({ name: "Zoë" });
  const codeOf = async (response: Response) => {
    const { status, details } = await errorOf(response);
    return [status, details?.error_code];
  };
  expect(await codeOf(await send(text, { "content-type": "application/json; charset=utf-7" }))).toEqual([
    400,
    "unsupported_charset",
  ]);
  expect(await codeOf(await send(text, { "content-encoding": "zip" }))).toEqual([400, "request_body_encoding_unsupported"]);
  expect(await codeOf(await send("not gzip", { "content-encoding": "gzip" }))).toEqual([400, "request_body_encoding_invalid"]);
  const bomb = new Uint8Array(gzipSync(Buffer.alloc(40 * 1024 * 1024, " ")));
  expect(await codeOf(await send(bomb, { "content-encoding": "gzip" }))).toEqual([413, "request_body_too_large_after_decoding"]);
});

verifies("http.stored-text", "text that a database cannot hold", async () => {
  for (const bad of ["nul \\u0000", "half \\ud83d"]) {
    for (const field of ["name", "system", "description"]) {
      const body = `{"name":"a","model":"m","${field}":"${bad}"}`;
      expect(await errorOf(await post("/v1/agents", body))).toMatchObject({
        status: 400,
        message: expect.stringContaining(field),
      });
    }
    expect((await post("/v1/environments", `{"name":"a","metadata":{"k":"${bad}"}}`)).status).toBe(400);
    expect((await post("/v1/agents", `{"name":"a","model":"m","metadata":{"${bad}":"v"}}`)).status).toBe(400);
  }
  for (const id of ["%00", "a%00b", "%ff", "x".repeat(600), "..%2f..%2fetc", "agent_' or 1=1", "🙂"]) {
    const response = await server.request(`/v1/agents/${id}`);
    expect(response.status).toBeOneOf([400, 404]);
  }
  expect((await server.request("/v1/sessions?agent_id=%00")).status).toBe(400);
});

verifies("auth.bearer-key", "the SDK's own way: Bearer", async () => {
  const client = new Anthropic({ baseURL: server.url, apiKey: API_KEY, fetch: server.wire.fetch });
  expect((await client.beta.agents.list()).data).toBeInstanceOf(Array);
});

verifies(["auth.x-api-key", "http.old-version"], "as older SDKs and curl send it", async () => {
  const headers = { "x-api-key": API_KEY, "anthropic-version": "2023-06-01", "anthropic-beta": "managed-agents-2026-04-01" };
  const response = await server.wire.fetch(`${server.url}/v1/agents?beta=true`, { headers });
  expect(response.status).toBe(200);
  const session = await server.start({}, say("Hello."));
  expect(saidBy(await session.rest())).toEqual(["Hello."]);
  const stream = await server.wire.fetch(`${server.url}/v1/sessions/${session.id}/events/stream?beta=true`, { headers });
  expect(stream.status).toBe(200);
  await stream.body?.cancel();
});
