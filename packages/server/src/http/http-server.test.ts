import { once } from "node:events";
import { connect } from "node:net";
import { gzipSync } from "node:zlib";
import { text } from "node:stream/consumers";
import { Anthropic } from "@anthropic-ai/sdk";
import { OPERATIONS, OPERATION_NAMES } from "@sandbox0/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TEST_KEY, type TestServer, startTestServer } from "./http-server.fixture.ts";
import { BUILT_OPERATIONS } from "./routes/unbuilt.ts";

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer({ corsOrigins: ["https://app.example.com"] });
});
afterAll(async () => {
  await server.close();
  expect(server.bugs).toEqual([]);
});

const AGENT = { name: "a", model: "m" };

describe("every operation of the official API is routed", () => {
  test.each(OPERATION_NAMES.filter((name) => !BUILT_OPERATIONS.has(name)))("%s answers 501", async (name) => {
    const [method, path] = OPERATIONS[name];
    const url = path.replaceAll(/\{\w+\}/g, "x_01");
    const { status, headers, body } = await server.request(method, url);
    expect([status, body.error?.type, headers.get("x-should-retry")]).toEqual([501, "api_error", "false"]);
    expect(body.error?.message).toContain(name);
    expect((await server.request(method, url, { anonymous: true })).status).toBe(401);
  });

  test.each([...BUILT_OPERATIONS])("%s is built", async (name) => {
    const [method, path] = OPERATIONS[name];
    const { status } = await server.request(method, path.replaceAll(/\{\w+\}/g, "x_01"), method === "POST" ? { body: {} } : {});
    expect([200, 400, 404]).toContain(status);
  });

  test("an upload to an operation that is not built is refused without being read", async () => {
    const form = new FormData();
    form.append("file", new Blob(["x".repeat(100_000)]), "a.txt");
    const response = await fetch(`${server.url}/v1/dreams`, { method: "POST", headers: { "x-api-key": TEST_KEY }, body: form });
    expect(response.status).toBe(501);
    await response.text();
  });

  test("the SDK does not retry a 501", async () => {
    let calls = 0;
    const client = new Anthropic({
      apiKey: TEST_KEY,
      baseURL: server.url,
      maxRetries: 5,
      fetch: (input, init) => {
        calls += 1;
        return fetch(input, init);
      },
    });
    await expect(client.beta.deployments.retrieve("depl_01x")).rejects.toBeInstanceOf(Anthropic.APIError);
    expect(calls).toBe(1);
  });

  test("anything else is 404 in the official shape", async () => {
    for (const path of ["/", "/v1", "/v1/nope", "/v2/agents", "/v1/agents/", "/v1/sessions/x/threads/y/events/stream"]) {
      const { status, body } = await server.request("GET", path);
      expect([path, status, body.error?.type]).toEqual([path, 404, "not_found_error"]);
      expect(body.request_id).toMatch(/^req_/);
    }
    expect((await server.request("PUT", "/v1/agents")).status).toBe(404);
  });
});

describe("bodies", () => {
  const send = (body: string | Buffer, headers: Record<string, string> = {}) =>
    server.request("POST", "/v1/agents", { body, headers });
  const json = JSON.stringify(AGENT);
  const refusal = async (answer: ReturnType<typeof send>) => {
    const { status, body } = await answer;
    return [status, body.error?.type, body.error?.details?.error_code];
  };
  const BAD = [400, "invalid_request_error", undefined];

  test.each([
    ["broken JSON", '{"name": "a"'],
    ["not an object", "[1]"],
    ["null", "null"],
    ["a prototype key", '{"name":"a","model":"m","__proto__":{"x":1}}'],
    ["a deep prototype key", '{"name":"a","model":"m","metadata":{"constructor":{"prototype":{}}}}'],
    ["JSON that nests without end", `{"name":"a","model":"m","x":${"[".repeat(100_000)}${"]".repeat(100_000)}}`],
    ["invalid UTF-8", Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d])],
  ])("%s is 400", async (_what, body) => {
    expect(await refusal(send(body))).toEqual(BAD);
  });

  test("no body at all is an empty object: the first missing field is named", async () => {
    const { status, body } = await server.request("POST", "/v1/agents");
    expect(status).toBe(400);
    expect(body.error?.message).toContain("name: Field required");
    expect(
      (await server.request("POST", "/v1/agents", { body: "", headers: { "content-type": "application/json" } })).status,
    ).toBe(400);
  });

  test("a body-less POST needs no content type", async () => {
    const agent = await send(json);
    expect((await server.request("POST", `/v1/agents/${String(agent.body.id)}/archive`)).status).toBe(200);
  });

  test("charsets and encodings", async () => {
    expect((await send(json, { "content-type": "application/json; charset=UTF-8" })).status).toBe(200);
    const latin = await send(Buffer.from(JSON.stringify({ ...AGENT, name: "é" }), "latin1"), {
      "content-type": "application/json; charset=iso-8859-1",
    });
    expect(latin.body.name).toBe("é");
    expect(await refusal(send(json, { "content-type": "application/json; charset=utf-16" }))).toEqual([
      400,
      "invalid_request_error",
      "unsupported_charset",
    ]);
    expect((await send(gzipSync(json), { "content-encoding": "gzip" })).status).toBe(200);
    expect(await refusal(send(json, { "content-encoding": "gzip" }))).toEqual([
      400,
      "invalid_request_error",
      "request_body_encoding_invalid",
    ]);
    expect(await refusal(send(json, { "content-encoding": "lzma" }))).toEqual([
      400,
      "invalid_request_error",
      "request_body_encoding_unsupported",
    ]);
    const bomb = gzipSync(Buffer.alloc(33 * 1024 * 1024, " "));
    expect(await refusal(send(bomb, { "content-encoding": "gzip" }))).toEqual([
      413,
      "request_too_large",
      "request_body_too_large_after_decoding",
    ]);
    expect(await refusal(send(json, { "content-type": "text/plain" }))).toEqual(BAD);
  });

  test("more than 32 MB is 413", async () => {
    const body = JSON.stringify({ ...AGENT, system: "x".repeat(33 * 1024 * 1024) });
    expect((await refusal(send(body))).slice(0, 2)).toEqual([413, "request_too_large"]);
  });

  test("a body is refused before it is there, and its sender reads the answer all the same", async () => {
    const socket = connect(Number(new URL(server.url).port), "127.0.0.1");
    const bytes = 40 * 1024 * 1024;
    const head = `POST /v1/agents HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${TEST_KEY}\r\n`;
    socket.write(`${head}content-type: application/json\r\ncontent-length: ${bytes}\r\n\r\n`);
    const [answer] = (await once(socket, "data")) as [Buffer];
    expect(answer.toString()).toContain("request_too_large");
    socket.write(Buffer.alloc(bytes, " "));
    socket.end(`GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
    expect(await text(socket)).toContain('{"status":"ok"}');
  });

  test("unknown keys are ignored, wrong types are not", async () => {
    expect((await send(JSON.stringify({ ...AGENT, unheard_of: 1 }))).status).toBe(200);
    expect(await refusal(send(JSON.stringify({ ...AGENT, tools: {} })))).toEqual(BAD);
  });
});

describe("requests that are not HTTP, or hardly", () => {
  const raw = async (request: string): Promise<string> => {
    const socket = connect(Number(new URL(server.url).port), "127.0.0.1");
    socket.end(request);
    return text(socket);
  };

  test("are answered in the official shape", async () => {
    for (const request of [
      "nonsense\r\n\r\n",
      "GET /v1/agents HTTP/1.1\r\n\r\n",
      `GET /${"x".repeat(20_000)} HTTP/1.1\r\nhost: x\r\n\r\n`,
    ]) {
      const answer = await raw(request);
      expect(answer).toMatch(/^HTTP\/1\.1 4\d\d /);
      expect(JSON.parse(answer.slice(answer.indexOf("\r\n\r\n")))).toMatchObject({
        type: "error",
        error: { type: expect.any(String) as string },
      });
    }
  });

  test("a NUL in the path or the query is 400", async () => {
    const queries = ["/v1/sessions?agent_id=%00", "/v1/agents?page=%00", "/v1/files?scope_id=%00"];
    const own = ["/sandbox0/v1/egress?host=%00", "/sandbox0/v1/egress?session_id=%00"];
    for (const path of ["/v1/agents/a%00", ...queries, ...own]) {
      const { status, body } = await server.request("GET", path);
      expect([path, status, body.error?.type]).toEqual([path, 400, "invalid_request_error"]);
    }
  });

  test("a path that cannot be decoded is 400", async () => {
    const answer = await raw(
      `GET /v1/agents/%E0%A4%A HTTP/1.1\r\nhost: x\r\nx-api-key: ${TEST_KEY}\r\nconnection: close\r\n\r\n`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer).toContain('"invalid_request_error"');
  });
});

test("a database that is away is 503, and the server's bugs are 500 without a word about them", async () => {
  const broken = await startTestServer({
    wrapSessions: (sessions) => ({
      ...sessions,
      get: () =>
        Promise.reject(Object.assign(new Error("secret detail"), { code: "database_unavailable", outcomeUnknown: false })),
      archive: () =>
        Promise.reject(Object.assign(new Error("secret detail"), { code: "database_unavailable", outcomeUnknown: true })),
      delete: () => Promise.reject(new TypeError("secret detail")),
    }),
  });
  try {
    const away = await broken.request("GET", "/v1/sessions/sesn_1");
    expect([away.status, away.body.error?.type, away.headers.get("retry-after"), away.headers.get("x-should-retry")]).toEqual([
      503,
      "api_error",
      "1",
      null,
    ]);
    const unknown = await broken.request("POST", "/v1/sessions/sesn_1/archive");
    expect([unknown.status, unknown.headers.get("x-should-retry")]).toEqual([503, "false"]);
    const bug = await broken.request("DELETE", "/v1/sessions/sesn_1");
    expect([bug.status, bug.body.error]).toEqual([500, { type: "api_error", message: "Internal server error" }]);
    expect(JSON.stringify([away.body, bug.body])).not.toContain("secret");
    expect(broken.bugs).toEqual([expect.any(TypeError)]);
  } finally {
    await broken.close();
  }
});

describe("for operations", () => {
  test("health, readiness, metrics and llms.txt need no key", async () => {
    const open = (path: string) => server.request("GET", path, { anonymous: true });
    expect((await open("/healthz")).body).toEqual({ status: "ok" });
    expect((await open("/readyz")).body).toEqual({ status: "ready" });
    expect((await open("/llms.txt")).body.text).toBe("# test");
    await server.request("GET", "/v1/agents/agent_1");
    const metrics = String((await open("/metrics")).body.text);
    expect(metrics).toMatch(/sandbox0_http_requests_total\{method="GET",route="\/v1\/agents\/:id",status="404"\} [1-9]/);
    expect(metrics).toContain("process_resident_memory_bytes");
    expect(metrics).not.toContain("agent_1");
  });

  test("only listed origins may call from a browser", async () => {
    const preflight = (origin: string) =>
      fetch(`${server.url}/v1/agents`, { method: "OPTIONS", headers: { origin, "access-control-request-headers": "x-api-key" } });
    const allowed = await preflight("https://app.example.com");
    expect([
      allowed.status,
      allowed.headers.get("access-control-allow-origin"),
      allowed.headers.get("access-control-allow-headers"),
    ]).toEqual([204, "https://app.example.com", "x-api-key"]);
    expect((await preflight("https://evil.example.com")).headers.get("access-control-allow-origin")).toBeNull();
  });
});

describe("models", () => {
  test("newest first, paged by ids, aliases resolved", async () => {
    const client = server.client();
    const ids: string[] = [];
    for await (const model of client.models.list({ limit: 4 })) ids.push(model.id);
    expect(ids[0]).toBe("claude-fable-5-2");
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.length).toBeGreaterThan(10);
    expect(await client.beta.models.retrieve("claude-haiku-4-5")).toMatchObject({
      id: "claude-haiku-4-5-20251001",
      type: "model",
      line: "haiku",
    });
    await expect(client.models.retrieve("gpt-0")).rejects.toMatchObject({ status: 404 });
    expect((await client.models.list({ lifecycle: ["retired"] })).data).toEqual([]);
    const page = await client.models.list({ before_id: ids[3] ?? "", limit: 2 });
    expect(page.data.map((model) => model.id)).toEqual(ids.slice(1, 3));
  });
});
