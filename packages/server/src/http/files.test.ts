import { createHash, randomBytes } from "node:crypto";
import { readdir } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { type Anthropic, APIError, toFile } from "@anthropic-ai/sdk";
import { until } from "@sandbox0/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expireFiles } from "../resources/files/expire-files.ts";
import { insertFile } from "../store/files.ts";
import { TEST_KEY, type TestServer, startTestServer } from "./http-server.fixture.ts";

const FILE_BYTES_MAX = 3_000_000;
const WORKSPACE_BYTES_MAX = 20_000_000;
const LEGACY = { "anthropic-beta": "x-1,files-api-2025-04-14" };

let server: TestServer;
let client: Anthropic;

beforeAll(async () => {
  server = await startTestServer({ files: { fileBytesMax: FILE_BYTES_MAX, workspaceBytesMax: WORKSPACE_BYTES_MAX } });
  client = server.client();
});
afterAll(async () => {
  expect(server.bugs.splice(0)).toEqual([]);
  await server.close();
});

const upload = async (content: Buffer | string = "hello", name = "a.txt", params: { expires_in_seconds?: number } = {}) =>
  client.beta.files.upload({ file: await toFile(Buffer.from(content), name), ...params });
/** A key of a workspace of its own. */
const keyOf = (workspace: string) =>
  server.apiKeys.create({ keyId: "test", workspaceId: server.workspaceId, admin: true }, { name: workspace, workspace });
const staged = (): Promise<string[]> => readdir(join(server.blobsDir, "staging"));
const countFiles = async (): Promise<number> => (await server.db.query("select 1 from files")).rowCount;

const callsOn = ({ files }: Anthropic, id: string): (() => Promise<unknown>)[] => [
  () => files.retrieveMetadata(id),
  () => files.download(id),
  () => files.delete(id),
];

async function refused(call: Promise<unknown>): Promise<{ status: number; type: string; message: string; code?: string }> {
  const error = await call.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  if (!(error instanceof APIError) || error.status === undefined) throw new Error(`not refused: ${String(error)}`);
  const { error: inner } = error.error as { error: { type: string; message: string; details?: { error_code: string } } };
  const code = inner.details === undefined ? {} : { code: inner.details.error_code };
  return { status: error.status, type: inner.type, message: inner.message, ...code };
}

interface Part {
  disposition: string;
  type?: string;
  content?: string;
}
const form = (parts: readonly Part[], end = "--X--\r\n"): Buffer =>
  Buffer.from(
    parts
      .map(({ disposition, type, content = "hello" }) => {
        const typed = type === undefined ? "" : `Content-Type: ${type}\r\n`;
        return `--X\r\nContent-Disposition: form-data; ${disposition}\r\n${typed}\r\n${content}\r\n`;
      })
      .join("") + end,
  );
const FORM_TYPE = "multipart/form-data; boundary=X";
const post = (body: Buffer, headers: Record<string, string> = {}) =>
  server.request("POST", "/v1/files", { body, headers: { "content-type": FORM_TYPE, ...headers } });
const postParts = (...parts: Part[]) => post(form(parts));

describe("an uploaded file", () => {
  test("is described, listed, downloaded and deleted", async () => {
    const content = randomBytes(1_000_000);
    const file = await client.beta.files.upload({ file: await toFile(content, "data.csv", { type: "text/csv" }) });
    expect(file).toEqual({
      id: expect.stringMatching(/^file_01/),
      type: "file",
      filename: "data.csv",
      mime_type: "text/csv",
      size_bytes: content.length,
      created_at: expect.stringMatching(/Z$/),
      downloadable: true,
      expires_at: null,
    });
    expect(await client.files.retrieveMetadata(file.id)).toEqual(file);
    expect((await client.files.list()).data[0]).toEqual(file);
    const response = await client.files.download(file.id);
    expect(Buffer.from(await response.arrayBuffer()).equals(content)).toBe(true);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "content-type": "text/csv",
      "content-length": "1000000",
      "content-disposition": "attachment; filename*=UTF-8''data.csv",
      "x-content-type-options": "nosniff",
      "request-id": expect.stringMatching(/^req_/),
    });
    expect(await client.files.delete(file.id)).toEqual({ id: file.id, type: "file_deleted" });
    for (const call of callsOn(client, file.id))
      expect(await refused(call())).toEqual({
        status: 404,
        type: "not_found_error",
        message: `File \`${file.id}\` not found.`,
      });
  });

  test("may be empty", async () => {
    const file = await upload("", "empty");
    expect(file.size_bytes).toBe(0);
    expect((await (await client.files.download(file.id)).arrayBuffer()).byteLength).toBe(0);
  });

  test("says what its content is, in a header of our own", async () => {
    const { id } = await upload("abc");
    const { response } = await client.beta.files.retrieveMetadata(id).withResponse();
    const sha256 = createHash("sha256").update("abc").digest("hex");
    expect(response.headers.get("sandbox0-content-sha256")).toBe(sha256);
  });

  test("of the same content as another is a file of its own", async () => {
    const [one, two] = [await upload("same", "one"), await upload("same", "two")];
    await client.files.delete(one.id);
    expect(await (await client.files.download(two.id)).text()).toBe("same");
  });

  test("is nobody's in another workspace", async () => {
    const file = await upload();
    const { key } = await keyOf("elsewhere");
    const stranger = server.client({ apiKey: key });
    expect((await stranger.files.list()).data).toEqual([]);
    expect((await stranger.files.list({ ids: [file.id] })).data).toEqual([]);
    for (const call of callsOn(stranger, file.id)) expect((await refused(call())).status).toBe(404);
    expect(await client.files.retrieveMetadata(file.id)).toEqual(file);
  });
});

describe("names and types", () => {
  test.each([
    ['filename="/etc/passwd"', "passwd"],
    ['filename="../../../etc/shadow"', "shadow"],
    ['filename="C:\\\\Users\\\\me\\\\report.pdf"', "report.pdf"],
    ['filename="naïve ünïcode 文件.txt"', "naïve ünïcode 文件.txt"],
    ['filename="%2e%2e%2fx"', "%2e%2e%2fx"],
    ['filename=""', "unnamed.txt"],
    ['filename="dir/"', "unnamed.txt"],
    ["x=y", "unnamed.txt"],
    [`filename="${"ü".repeat(255)}"`, "ü".repeat(255)],
  ])("%s", async (disposition, filename) => {
    const { status, body } = await postParts({ disposition: `name="file"; ${disposition}`, type: "text/plain" });
    expect([status, body.filename]).toEqual([200, filename]);
  });

  test.each([
    'filename=".."',
    'filename="a/.."',
    'filename="."',
    'filename="a:b"',
    'filename="a|b"',
    'filename="a\tb"',
    'filename="a\u0085b"',
    'filename="what?"',
    `filename="${"x".repeat(256)}"`,
  ])("%s is refused before anything is stored", async (disposition) => {
    const before = await countFiles();
    const { status, body } = await postParts({ disposition: `name="file"; ${disposition}` });
    expect([status, body.error?.type, body.error?.message]).toEqual([
      400,
      "invalid_request_error",
      expect.stringMatching(/^file: The filename must/),
    ]);
    expect([await countFiles(), await staged()]).toEqual([before, []]);
  });

  test("the type is what the client says, without parameters, if it is one", async () => {
    const typeOf = async (type?: string) =>
      (await postParts({ disposition: 'name="file"; filename="x"', ...(type === undefined ? {} : { type }) })).body.mime_type;
    expect(await typeOf("Text/HTML; charset=utf-8")).toBe("text/html");
    expect(await typeOf("nonsense")).toBe("application/octet-stream");
    expect(await typeOf()).toBe("text/plain");
    const { body } = await postParts({ disposition: 'name="file"', type: "image/png" });
    expect(body.filename).toBe("unnamed.png");
  });
});

describe("a form that is none", () => {
  const file: Part = { disposition: 'name="file"; filename="x"' };
  test.each<[string, () => Promise<{ status: number; body: { error?: { message: string } } }>, number, RegExp]>([
    ["no file", () => postParts({ disposition: 'name="other"' }), 400, /^file: Field required/],
    ["an empty form", () => post(Buffer.from("--X--\r\n")), 400, /^file: Field required/],
    ["two files", () => postParts(file, file), 400, /only one file/],
    ["a file elsewhere", () => postParts({ disposition: 'name="other"; filename="x"' }), 400, /^other: no file/],
    ["cut off within a file", () => post(form([file], "").subarray(0, -4)), 400, /not a valid multipart form/],
    ["without its end", () => post(form([file], "")), 400, /not a valid multipart form/],
    ["no form at all", () => post(Buffer.from("hello")), 400, /not a valid multipart form/],
    ["nothing", () => post(Buffer.alloc(0)), 400, /^file: Field required/],
    ["no boundary", () => post(form([file]), { "content-type": "multipart/form-data" }), 400, /^content-type: must be/],
    ["an odd boundary", () => post(form([file]), { "content-type": "multipart/form-data; x=y" }), 400, /not a valid multipart/],
    ["JSON", () => post(Buffer.from("{}"), { "content-type": "application/json" }), 400, /^content-type: must be/],
    ["compressed", () => post(form([file]), { "content-encoding": "gzip" }), 400, /^content-encoding/],
    ["a part without a name", () => postParts({ disposition: "x=y" }), 400, /^file: Field required/],
    ["a prototype", () => postParts({ disposition: 'name="__proto__"' }, file), 400, /not a valid multipart form/],
    ["too many parts", () => postParts(...Array.from({ length: 17 }, (_, i) => ({ disposition: `name="x${i}"` }))), 400, /parts/],
    ["a long text", () => postParts({ disposition: 'name="x"', content: "x".repeat(5_000) }, file), 400, /^x: must have at most/],
    [
      "JSON for text",
      () => postParts({ disposition: 'name="x"', type: "application/json", content: "{}" }, file),
      400,
      /^x: must be text/,
    ],
    ["long headers", () => postParts({ disposition: `name="file"; filename="${"x".repeat(100_000)}"` }), 400, /./],
    [
      "expiry in words",
      () => postParts(file, { disposition: 'name="expires_in_seconds"', content: "soon" }),
      400,
      /^expires_in_seconds/,
    ],
    [
      "expiry too soon",
      () => postParts(file, { disposition: 'name="expires_in_seconds"', content: "3599" }),
      400,
      /^expires_in_seconds/,
    ],
    [
      "expiry too late",
      () => postParts({ disposition: 'name="expires_in_seconds"', content: "7776001" }, file),
      400,
      /^expires_in_seconds/,
    ],
  ])("%s", async (_name, call, status, message) => {
    const before = await countFiles();
    const answer = await call();
    expect(answer).toMatchObject({
      status,
      body: { error: { type: "invalid_request_error", message: expect.stringMatching(message) } },
    });
    expect([await countFiles(), await staged()]).toEqual([before, []]);
  });
});

describe("too much", () => {
  test("of one file: 413, told before all of it was sent, and nothing is left", async () => {
    const exact = await upload(Buffer.alloc(FILE_BYTES_MAX));
    await client.files.delete(exact.id);
    expect(await refused(upload(Buffer.alloc(FILE_BYTES_MAX + 1)))).toMatchObject({ status: 413, type: "request_too_large" });
    let sent = 0;
    const body = async function* () {
      yield form([{ disposition: 'name="file"; filename="x"', content: "" }], "");
      for (; sent < 1_000; sent += 1) yield Buffer.alloc(100_000);
    };
    // A client that does not say how much it will send, and would send 100 MB.
    const response = await fetch(`${server.url}/v1/files`, {
      method: "POST",
      headers: { "x-api-key": TEST_KEY, "content-type": FORM_TYPE },
      body: ReadableStream.from(body()),
      duplex: "half",
    } as RequestInit);
    expect([response.status, await response.json()]).toMatchObject([413, { error: { type: "request_too_large" } }]);
    expect(sent).toBeLessThan(1_000);
    expect(await staged()).toEqual([]);
  });

  test("of all files: storage_quota_exceeded, and again room when one is deleted", async () => {
    const other = server.client({ apiKey: (await keyOf("full")).key });
    const put = async () => other.files.upload({ file: await toFile(randomBytes(2_900_000), "big") });
    const files = [];
    for (let i = 0; i < 6; i += 1) files.push(await put());
    const full = { status: 400, type: "invalid_request_error", code: "storage_quota_exceeded" };
    expect(await refused(put())).toMatchObject(full);
    expect(await staged()).toEqual([]);
    await other.files.delete(files[0]?.id ?? "");
    // Of two at once, one finds room.
    const outcomes = await Promise.allSettled([put(), put()]);
    expect(outcomes.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    expect(await upload()).toHaveProperty("id");
  });
});

test("an upload that its client gives up leaves nothing", async () => {
  const before = await countFiles();
  const head = `POST /v1/files HTTP/1.1\r\nhost: x\r\nx-api-key: ${TEST_KEY}\r\ncontent-type: ${FORM_TYPE}\r\ncontent-length: 2000000\r\n\r\n`;
  const { port } = new URL(server.url);
  const socket = connect(Number(port), "127.0.0.1");
  socket.write(head);
  socket.write(form([{ disposition: 'name="file"; filename="x"', content: "x".repeat(500_000) }], ""));
  await until(async () => (await staged()).length === 1);
  socket.destroy();
  await until(async () => (await staged()).length === 0);
  expect(await countFiles()).toBe(before);
});

describe("expiry", () => {
  test("the content goes, the metadata stays for 30 days", async () => {
    const file = await upload("for an hour", "a", { expires_in_seconds: 3_600 });
    expect(Date.parse(file.expires_at ?? "") - Date.parse(file.created_at)).toBe(3_600_000);
    expect(await (await client.files.download(file.id)).text()).toBe("for an hour");
    const expire = (age: string) =>
      server.db.query(`update files set expires_at = now() - $2::interval where id = $1`, [file.id, age]);
    await expire("1 second");
    const expired = { status: 404, type: "not_found_error", code: "file_expired" };
    expect(await refused(client.files.download(file.id))).toMatchObject(expired);
    await expireFiles(server.db);
    expect((await server.db.query("select sha256 from files where id = $1", [file.id])).rows).toEqual([{ sha256: null }]);
    expect(await refused(client.files.download(file.id))).toMatchObject(expired);
    expect(await client.files.retrieveMetadata(file.id)).toMatchObject({ filename: "a", size_bytes: 11 });
    await expire("29 days");
    await expireFiles(server.db);
    expect(await client.files.retrieveMetadata(file.id)).toMatchObject({ filename: "a" });
    await expire("31 days");
    await expireFiles(server.db);
    expect((await refused(client.files.retrieveMetadata(file.id))).status).toBe(404);
  });
});

describe("lists", () => {
  let mine: Anthropic;
  const ids: string[] = [];
  let sessionId: string;
  let scopedId: string;

  beforeAll(async () => {
    const { key, workspace_id: workspaceId } = await keyOf("lists");
    mine = server.client({ apiKey: key });
    for (let i = 0; i < 5; i += 1) ids.unshift((await mine.files.upload({ file: await toFile(Buffer.from(`${i}`), `${i}`) })).id);
    const agent = await mine.beta.agents.create({ name: "a", model: "claude-sonnet-5-5" });
    const environment = await mine.beta.environments.create({ name: "e" });
    sessionId = (await mine.beta.sessions.create({ agent: agent.id, environment_id: environment.id })).id;
    const { rows } = await server.db.query<{ sha256: string }>("select sha256 from files where id = $1", [ids[0]]);
    scopedId = "file_011111111111111111111111";
    await insertFile(server.db, workspaceId, {
      id: scopedId,
      sessionId,
      filename: "out.txt",
      mimeType: "text/plain",
      sizeBytes: 1,
      sha256: rows[0]?.sha256 ?? null,
      downloadable: true,
      createdAt: new Date(),
      expiresAt: null,
    });
  });
  const idsOf = ({ data }: { data: { id: string }[] }) => data.map(({ id }) => id);

  test("newest first, page by page", async () => {
    const all: string[] = [];
    for await (const file of mine.files.list({ limit: 2 })) all.push(file.id);
    expect(all).toEqual([scopedId, ...ids]);
    expect((await refused(mine.files.list({ page: "page_nonsense" }))).status).toBe(400);
    for (const limit of [0, 1_001]) expect((await refused(mine.files.list({ limit }))).status).toBe(400);
  });

  test("by ids: one page, unknown ones left out, not with limit or page", async () => {
    const wanted = [ids[1] ?? "", ids[3] ?? "", ids[1] ?? "", "file_unknown"];
    const page = await mine.files.list({ ids: wanted });
    expect([idsOf(page), page.next_page]).toEqual([[ids[1], ids[3]], null]);
    const many = Array.from({ length: 100 }, (_, i) => `file_${i}`);
    expect((await mine.files.list({ ids: [...many, ...many] })).data).toEqual([]);
    expect((await refused(mine.files.list({ ids: [...many, "file_x"] }))).message).toMatch(/^ids: /);
    expect((await refused(mine.files.list({ ids: wanted, limit: 5 }))).message).toMatch(/^ids: /);
  });

  test("by session: its files, with their scope, which go with it", async () => {
    const { data } = await mine.beta.files.list({ scope_id: sessionId });
    expect(data).toEqual([
      expect.objectContaining({ id: scopedId, scope: { type: "session", id: sessionId }, downloadable: true }),
    ]);
    expect((await mine.beta.files.list({ scope_id: "sesn_01unknown" })).data).toEqual([]);
    expect((await client.beta.files.list({ scope_id: sessionId })).data).toEqual([]);
    expect((await refused(mine.beta.files.list({ scope_id: ids[0] ?? "" }))).message).toMatch(/^scope_id: /);
    const shown = server.request("GET", `/v1/files/${scopedId}`, { headers: LEGACY });
    expect((await shown).status).toBe(404);
  });

  test("in the older shape: by ids, both ways, without expires_at", async () => {
    const legacy = mine.withOptions({ defaultHeaders: LEGACY });
    const get = async (query: string) =>
      (await legacy.get(`/v1/files?${query}`)) as {
        data: { id: string }[];
        has_more: boolean;
        first_id: string;
        last_id: string;
      };
    const first = await get("limit=2");
    expect(first).toMatchObject({ has_more: true, first_id: scopedId, last_id: ids[0] });
    expect(first.data[0]).not.toHaveProperty("expires_at");
    expect(await get(`limit=2&after_id=${ids[0]}`)).toMatchObject({ has_more: true, first_id: ids[1], last_id: ids[2] });
    expect(await get(`limit=2&after_id=${ids[2]}`)).toMatchObject({ has_more: false, first_id: ids[3], last_id: ids[4] });
    expect(await get(`limit=2&before_id=${ids[2]}`)).toMatchObject({ has_more: true, first_id: ids[0], last_id: ids[1] });
    expect(await get(`limit=2&before_id=${ids[0]}`)).toMatchObject({ has_more: false, first_id: scopedId, last_id: scopedId });
    expect(await get(`limit=2&after_id=${ids[4]}`)).toEqual({ data: [], has_more: false, first_id: null, last_id: null });
    expect(await get(`scope_id=${sessionId}`)).toMatchObject({ has_more: false, first_id: scopedId });
    expect((await refused(get("after_id=file_unknown"))).message).toMatch(/^after_id: /);
    expect((await refused(get(`after_id=${ids[0]}&before_id=${ids[1]}`))).status).toBe(400);
    expect(await legacy.get(`/v1/files/${ids[0]}`)).not.toHaveProperty("expires_at");
    expect(await legacy.files.upload({ file: await toFile(Buffer.from("x"), "x") })).not.toHaveProperty("expires_at");
    await mine.beta.sessions.delete(sessionId);
    expect((await refused(mine.files.retrieveMetadata(scopedId))).status).toBe(404);
  });
});

test("uploads cannot be downloaded unless the operator allows it", async () => {
  const strict = await startTestServer({ files: { uploadsDownloadable: false } });
  try {
    const file = await strict.client().files.upload({ file: await toFile(Buffer.from("x"), "x") });
    expect(file.downloadable).toBe(false);
    expect(await refused(strict.client().files.download(file.id))).toMatchObject({ status: 400, code: "file_not_downloadable" });
  } finally {
    await strict.close();
  }
});
