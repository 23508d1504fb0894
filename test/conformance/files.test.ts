import { randomBytes } from "node:crypto";
import Anthropic, { toFile } from "@anthropic-ai/sdk";
import { Anthropic as OldAnthropic, toFile as oldToFile } from "anthropic-sdk-0-86";
import { expect } from "vitest";
import { API_KEY, conformanceServer } from "./fixture/conformance-server.ts";
import { refused, refusedAsInvalid, refusedAsUnknown } from "./fixture/refused.ts";
import { verifies } from "./fixture/verifies.ts";

const server = conformanceServer({ SANDBOX0_UPLOADS_DOWNLOADABLE: "true" });
const strict = conformanceServer();

const upload = async (content: string | Buffer = "hello", name: string | undefined = "a.txt", type = "text/plain") =>
  server.client.files.upload({ file: await toFile(Buffer.from(content), name, { type }) });
/** Past the check of answers, which reads them as text. */
const raw = () => new Anthropic({ baseURL: server.url, apiKey: API_KEY, maxRetries: 0 });
const countAll = async () => (await server.client.files.list({ limit: 1_000 })).data.length;

verifies(
  ["files.upload", "files.retrieve", "files.download"],
  "a file goes in and comes out, through both namespaces",
  async () => {
    const content = randomBytes(3_000_000);
    for (const files of [server.client.files, server.client.beta.files]) {
      const file = await files.upload({ file: await toFile(content, "data.bin", { type: "application/x-data" }) });
      expect(file).toMatchObject({
        type: "file",
        filename: "data.bin",
        mime_type: "application/x-data",
        size_bytes: content.length,
        expires_at: null,
      });
      expect(await files.retrieveMetadata(file.id)).toEqual(file);
      const response = await raw().files.download(file.id);
      expect(Buffer.from(await response.arrayBuffer()).equals(content)).toBe(true);
    }
    await refusedAsUnknown(server.client.files.retrieveMetadata("file_01unknown"));
    expect((await refused(server.client.files.delete("file_01unknown"))).message).toBe("File `file_01unknown` not found.");
  },
);

verifies(["files.upload"], "a file of no bytes", async () => {
  expect((await upload("", "empty")).size_bytes).toBe(0);
});

verifies(["files.name", "files.bad-name"], "names", async () => {
  const named = async (name: string) => {
    const form = new FormData();
    form.append("file", new File(["x"], name, { type: "text/csv" }));
    return server.request("/v1/files", { method: "POST", body: form });
  };
  for (const [given, kept] of [
    ["../../etc/passwd", "passwd"],
    ["a/b/c.csv", "c.csv"],
    ["", "unnamed.csv"],
  ] as const) {
    expect(await (await named(given)).json()).toMatchObject({ filename: kept });
  }
  const before = await countAll();
  for (const bad of ["..", "a:b", "a|b", "a*", "tab\there", "x".repeat(256)]) {
    const response = await named(bad);
    expect([bad, response.status]).toEqual([bad, 400]);
  }
  expect(await countAll()).toBe(before);
});

verifies("files.expiry", "expires_in_seconds", async () => {
  const { files } = server.client;
  const file = await toFile(Buffer.from("x"), "x");
  for (const expires_in_seconds of [3_600, 7_776_000]) {
    const { created_at, expires_at } = await files.upload({ file, expires_in_seconds });
    expect(Date.parse(expires_at ?? "") - Date.parse(created_at)).toBe(expires_in_seconds * 1_000);
  }
  for (const expires_in_seconds of [0, 3_599, 7_776_001, 3_600.5])
    await refusedAsInvalid(files.upload({ file, expires_in_seconds }), "expires_in_seconds");
});

verifies("files.too-large", "one byte more than 500 MB, which nobody needs to send", async () => {
  const chunk = Buffer.alloc(1024 * 1024);
  let sent = 0;
  async function* body(): AsyncGenerator<Uint8Array, void, undefined> {
    yield Buffer.from('--X\r\ncontent-disposition: form-data; name="file"; filename="big"\r\n\r\n');
    for (; sent < 2_000; sent += 1) yield chunk;
  }
  const before = await countAll();
  const response = await fetch(`${server.url}/v1/files`, {
    method: "POST",
    headers: { authorization: `Bearer ${API_KEY}`, "content-type": "multipart/form-data; boundary=X" },
    body: ReadableStream.from(body()),
    duplex: "half",
  } as RequestInit);
  expect([response.status, await response.json()]).toMatchObject([413, { error: { type: "request_too_large" } }]);
  expect(sent).toBeGreaterThanOrEqual(500);
  expect(sent).toBeLessThan(2_000);
  expect(await countAll()).toBe(before);
});

verifies("files.broken-form", "no form, half a form, no file", async () => {
  const post = (body: string, type = "multipart/form-data; boundary=X") =>
    server.request("/v1/files", { method: "POST", headers: { "content-type": type }, body });
  const head = '--X\r\ncontent-disposition: form-data; name="file"; filename="x"\r\n\r\nhello';
  const before = await countAll();
  for (const [body, type] of [
    ["{}", "application/json"],
    ["hello"],
    [head],
    [`${head}\r\n--X`],
    ["--X--\r\n"],
    [`${head.replace('"file"', '"other"')}\r\n--X--\r\n`],
  ] as [string, string?][]) {
    const response = await post(body, type);
    expect([body, response.status, await response.json()]).toMatchObject([
      body,
      400,
      { error: { type: "invalid_request_error" } },
    ]);
  }
  expect(await countAll()).toBe(before);
});

verifies(["files.list", "files.delete"], "page by page, newest first, without what was deleted", async () => {
  const { files } = server.client;
  const made: string[] = [];
  for (let i = 0; i < 5; i += 1) made.unshift((await upload(`${i}`)).id);
  const first = await files.list({ limit: 2 });
  expect(first.data.map(({ id }) => id)).toEqual(made.slice(0, 2));
  const all: string[] = [];
  for await (const file of files.list({ limit: 2 })) all.push(file.id);
  expect(all.slice(0, 5)).toEqual(made);
  expect(new Set(all).size).toBe(all.length);
  const [gone = ""] = made;
  expect(await files.delete(gone)).toEqual({ id: gone, type: "file_deleted" });
  await refusedAsUnknown(files.delete(gone));
  expect((await files.list()).data.map(({ id }) => id)).not.toContain(gone);
  for (const query of [{ limit: 0 }, { limit: 1_001 }, { page: "page_forged" }]) await refusedAsInvalid(files.list(query));
});

verifies("files.list-ids", "a page of exactly these", async () => {
  const { files } = server.client;
  const [one, two] = [await upload(), await upload()];
  const page = await files.list({ ids: [one.id, two.id, one.id, "file_01unknown"] });
  expect(page.data.map(({ id }) => id).sort()).toEqual([one.id, two.id].sort());
  expect(page.next_page).toBeNull();
  await refusedAsInvalid(files.list({ ids: Array.from({ length: 101 }, (_, i) => `file_${i}`) }), "ids");
  await refusedAsInvalid(files.list({ ids: [one.id], limit: 1 }), "ids");
});

verifies("files.list-scope", "a session that left nothing, and what is no session", async () => {
  const session = await server.createSession();
  const { files } = server.client.beta;
  await upload();
  expect((await files.list({ scope_id: session.id, betas: ["managed-agents-2026-04-01"] })).data).toEqual([]);
  await refusedAsInvalid(files.list({ scope_id: "file_01x" }), "scope_id");
});

verifies("files.legacy", "the shape of before", async () => {
  const made: string[] = [];
  for (let i = 0; i < 3; i += 1) made.unshift((await upload(`legacy ${i}`)).id);
  const get = async (path: string) => {
    const response = await server.request(path, { headers: { "anthropic-beta": "files-api-2025-04-14" } });
    return (await response.json()) as { data: { id: string }[]; has_more: boolean; first_id: string; last_id: string };
  };
  const first = await get("/v1/files?limit=2");
  expect(first).toMatchObject({ has_more: true, first_id: made[0], last_id: made[1] });
  expect(first).not.toHaveProperty("next_page");
  expect(first.data[0]).not.toHaveProperty("expires_at");
  expect(await get(`/v1/files?limit=1&after_id=${made[1]}`)).toMatchObject({ first_id: made[2] });
  expect(await get(`/v1/files?limit=1&before_id=${made[1]}`)).toMatchObject({ first_id: made[0], has_more: false });
  expect(await get(`/v1/files/${made[0]}`)).not.toHaveProperty("expires_at");
});

verifies("files.old-sdk", "SDK 0.86 and its beta header", async () => {
  const client = new OldAnthropic({ baseURL: server.url, apiKey: API_KEY, maxRetries: 0 });
  const betas = ["files-api-2025-04-14"];
  const file = await client.beta.files.upload({ file: await oldToFile(Buffer.from("from the past"), "old.txt"), betas });
  expect(file.filename).toBe("old.txt");
  const all: string[] = [];
  for await (const each of client.beta.files.list({ limit: 2, betas })) all.push(each.id);
  expect(all[0]).toBe(file.id);
  expect(all).toHaveLength(await countAll());
  expect(await (await client.beta.files.download(file.id, { betas })).text()).toBe("from the past");
  expect(await client.beta.files.delete(file.id, { betas })).toEqual({ id: file.id, type: "file_deleted" });
});

verifies("files.workspace", "nothing of it elsewhere", async () => {
  const response = await server.request("/sandbox0/v1/api_keys", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ name: "stranger", workspace: "elsewhere" }),
  });
  const { key } = (await response.json()) as { key: string };
  const { files } = server.clientOf(key);
  const { id } = await upload("mine");
  expect((await files.list()).data).toEqual([]);
  expect((await files.list({ ids: [id] })).data).toEqual([]);
  for (const call of [() => files.retrieveMetadata(id), () => files.download(id), () => files.delete(id)])
    await refusedAsUnknown(call());
  expect(await server.client.files.retrieveMetadata(id)).toMatchObject({ id });
});

verifies(
  ["files.not-downloadable", "files.uploads-downloadable"],
  "what was uploaded comes back only if the operator says so",
  async () => {
    expect((await upload()).downloadable).toBe(true);
    const { files } = strict.client;
    const file = await files.upload({ file: await toFile(Buffer.from("x"), "x") });
    expect(file.downloadable).toBe(false);
    expect(await refused(files.download(file.id))).toMatchObject({ status: 400, code: "file_not_downloadable" });
  },
);
