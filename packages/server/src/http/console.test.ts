import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliCompressSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestServer, type TestServer } from "./http-server.fixture.ts";

const INDEX = "<!doctype html><title>Console</title>";
const SCRIPT = "export const console = 1;";

let dir: string;
let server: TestServer;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "sandbox0-console-"));
  server = await startTestServer({ consoleDir: join(dir, "dist") });
});
afterAll(async () => {
  await server.close();
  await rm(dir, { recursive: true, force: true });
});

const get = (path: string, encoding = "identity") => fetch(server.url + path, { headers: { "accept-encoding": encoding } });

test("before it is built: a sentence that says how; then the built files, without a new start", async () => {
  const before = await get("/console");
  expect([before.status, await before.text()]).toEqual([503, expect.stringContaining("make setup")]);

  await mkdir(join(dir, "dist/assets"), { recursive: true });
  await writeFile(join(dir, "dist/index.html"), INDEX);
  await writeFile(join(dir, "dist/assets/main-1a2b.js"), SCRIPT);
  await writeFile(join(dir, "dist/assets/main-1a2b.js.br"), brotliCompressSync(SCRIPT));
  await writeFile(join(dir, "secret.txt"), "outside");

  for (const path of ["/console", "/console/", "/console/sessions/sesn_1/events", "/console/a.b"]) {
    const answer = await get(path);
    expect([answer.status, await answer.text(), answer.headers.get("cache-control")]).toEqual([200, INDEX, "no-cache"]);
    expect(answer.headers.get("content-type")).toBe("text/html; charset=utf-8");
  }
});

test("no inline script, no other server, no frame, no sniffing, no referrer", async () => {
  const { headers } = await get("/console");
  expect(headers.get("content-security-policy")).toBe(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  );
  expect(headers.get("x-content-type-options")).toBe("nosniff");
  expect(headers.get("referrer-policy")).toBe("no-referrer");
});

test("hashed files are kept for ever, and sent compressed to who takes it", async () => {
  const plain = await get("/console/assets/main-1a2b.js");
  expect(plain.headers.get("cache-control")).toBe("public, max-age=31536000, immutable");
  expect([plain.headers.get("content-encoding"), await plain.text()]).toEqual([null, SCRIPT]);
  const small = await get("/console/assets/main-1a2b.js", "gzip, br;q=1");
  expect([small.headers.get("content-encoding"), await small.text()]).toEqual(["br", SCRIPT]);
  expect(small.headers.get("vary")).toContain("accept-encoding");
});

test("a file of an older build is a 404, not a page", async () => {
  expect((await get("/console/assets/main-old.js")).status).toBe(404);
});

test.each(["/console/..%2fsecret.txt", "/console/%2e%2e/secret.txt", "/console/assets/..%2f..%2f..%2fsecret.txt"])(
  "nothing outside of the build is served: %s",
  async (path) => {
    expect(await (await get(path)).text()).not.toContain("outside");
  },
);
