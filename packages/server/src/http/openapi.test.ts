import { OPERATION_NAMES, OPERATIONS } from "@sandbox0/protocol";
import { Validator } from "@seriousme/openapi-schema-validator";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestServer, type TestServer } from "./http-server.fixture.ts";
import { BUILT_OPERATIONS } from "./routes/unbuilt.ts";

interface Document {
  openapi: string;
  paths: Record<string, Record<string, { operationId: string; responses: Record<string, unknown> }>>;
  components: { schemas: Record<string, unknown> };
}

let server: TestServer;
let document: Document;
beforeAll(async () => {
  server = await startTestServer();
  document = (await server.request("GET", "/openapi.json", { anonymous: true })).body as unknown as Document;
});
afterAll(() => server.close());

/** `{session_id}` and `:id` are the same place. */
const placeless = (path: string): string => path.replaceAll(/\{\w+\}|:\w+/g, "{}");
const operations = () =>
  Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, request: `${method.toUpperCase()} ${path}`, ...operation })),
  );

test("it is a valid OpenAPI document of version 3.1", async () => {
  const validator = new Validator();
  const { valid, errors } = await validator.validate(document as unknown as Record<string, unknown>);
  expect(errors).toBeUndefined();
  expect([valid, validator.version, document.openapi]).toEqual([true, "3.1", "3.1.0"]);
});

test("it has every route of the server, and no other", () => {
  // The console's pages and files are no part of the API.
  const served = server.routes().filter((route) => !/^\w+ \/console\b/.test(route));
  const described = operations().map(({ request }) => placeless(request));
  expect(described.toSorted()).toEqual(served.map(placeless).toSorted());
  expect(described.length).toBeGreaterThan(OPERATION_NAMES.length);
});

test("every operation of the official API has its own name, path and method", () => {
  for (const name of OPERATION_NAMES) {
    const [method, path] = OPERATIONS[name];
    const operation = document.paths[path]?.[method.toLowerCase()];
    expect(operation?.operationId).toBe(name);
    expect(Object.keys(operation?.responses ?? {}).includes("200"), name).toBe(BUILT_OPERATIONS.has(name));
  }
  const ids = operations().map(({ operationId }) => operationId);
  expect(new Set(ids).size).toBe(ids.length);
});

test("every reference leads to something, and every component is needed", () => {
  const references = new Set(
    [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/(\w+)\/([\w.]+)"/g)].map(
      ([, kind, name]) => `${kind}/${name}`,
    ),
  );
  const components = Object.entries(document.components as Record<string, Record<string, unknown>>)
    .filter(([kind]) => kind !== "securitySchemes")
    .flatMap(([kind, entries]) => Object.keys(entries).map((name) => `${kind}/${name}`));
  expect([...references].filter((reference) => !components.includes(reference))).toEqual([]);
  expect(components.filter((component) => !references.has(component))).toEqual([]);
  expect(JSON.stringify(document)).not.toMatch(/"\$(?:defs|id|schema)"/);
});

test("it is cached by its content", async () => {
  const first = await fetch(`${server.url}/openapi.json`);
  expect(first.headers.get("cache-control")).toBe("public, max-age=300");
  const etag = first.headers.get("etag") ?? "";
  const again = await fetch(`${server.url}/openapi.json`, { headers: { "if-none-match": etag } });
  expect([again.status, await again.text(), again.headers.get("etag")]).toEqual([304, "", etag]);
  const changed = await fetch(`${server.url}/openapi.json`, { headers: { "if-none-match": '"other"' } });
  expect(changed.status).toBe(200);
});
