import { Anthropic, toFile } from "@anthropic-ai/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type TestServer, startTestServer } from "./http-server.fixture.ts";

/** Resources of sessions as the API has them; what the sandbox sees of them is tested where it is given. */
type Params = NonNullable<Parameters<Anthropic["beta"]["sessions"]["create"]>[0]["resources"]>;

let server: TestServer;
let client: Anthropic;
let agentId: string;
let environmentId: string;

beforeAll(async () => {
  server = await startTestServer({ files: { uploadsDownloadable: false } });
  client = server.client();
  agentId = (await client.beta.agents.create({ name: "a", model: "m" })).id;
  environmentId = (await client.beta.environments.create({ name: "e" })).id;
});
afterAll(async () => {
  await server.close();
  expect(server.bugs).toEqual([]);
});

const upload = async (content: string, name = "data.csv") =>
  client.beta.files.upload({ file: await toFile(Buffer.from(content), name) });
const create = (resources: Params = []) =>
  client.beta.sessions.create({ agent: agentId, environment_id: environmentId, resources });
const createFailing = async (resources: object[]): Promise<string> => {
  const body = { agent: agentId, environment_id: environmentId, resources };
  const { status, body: answer } = await server.request("POST", "/v1/sessions", { body });
  expect(status).toBe(400);
  expect(answer.error?.type).toBe("invalid_request_error");
  return answer.error?.message ?? "";
};

test("a file is a copy of the session's own, in its list of files, and goes with the session", async () => {
  const original = await upload("a,b\n1,2\n");
  const session = await create([
    { type: "file", file_id: original.id, mount_path: "data.csv" },
    { type: "file", file_id: original.id },
  ]);
  const [first, second] = session.resources;
  expect(first).toMatchObject({
    type: "file",
    id: expect.stringMatching(/^sesrsc_01/),
    mount_path: "/mnt/session/uploads/data.csv",
  });
  expect(second).toMatchObject({ mount_path: `/mnt/session/uploads/${original.id}` });
  const ids = session.resources.map((resource) => (resource.type === "file" ? resource.file_id : ""));
  expect(new Set([original.id, ...ids]).size).toBe(3);
  expect(await client.beta.sessions.retrieve(session.id)).toMatchObject({ resources: session.resources });

  const scoped = await client.beta.files.list({ scope_id: session.id });
  expect(scoped.data.map(({ id }) => id).sort()).toEqual([...ids].sort());
  expect(scoped.data[0]).toMatchObject({
    filename: "data.csv",
    size_bytes: 8,
    downloadable: false,
    scope: { type: "session", id: session.id },
  });

  // The original may go: the copy is another file.
  await client.beta.files.delete(original.id);
  expect((await client.beta.files.retrieveMetadata(ids[0] ?? "")).size_bytes).toBe(8);
  await client.beta.sessions.delete(session.id);
  for (const id of ids) await expect(client.beta.files.retrieveMetadata(id)).rejects.toThrow(Anthropic.NotFoundError);
});

test("files are added, listed in pages, retrieved and removed", async () => {
  const file = await upload("x");
  const session = await create();
  const added = [];
  for (const name of ["a", "b", "c"])
    added.push(await client.beta.sessions.resources.add(session.id, { type: "file", file_id: file.id, mount_path: name }));
  expect((await client.beta.sessions.resources.list(session.id)).data).toEqual(added);
  const listed = [];
  for await (const resource of client.beta.sessions.resources.list(session.id, { limit: 2 })) listed.push(resource);
  expect(listed).toEqual(added);
  const [a, b] = added;
  expect(await client.beta.sessions.resources.retrieve(a?.id ?? "", { session_id: session.id })).toEqual(a);
  const before = await client.beta.sessions.retrieve(session.id);
  expect(await client.beta.sessions.resources.delete(b?.id ?? "", { session_id: session.id })).toEqual({
    id: b?.id,
    type: "session_resource_deleted",
  });
  await expect(client.beta.files.retrieveMetadata(b?.file_id ?? "")).rejects.toThrow(Anthropic.NotFoundError);
  await expect(client.beta.sessions.resources.delete(b?.id ?? "", { session_id: session.id })).rejects.toThrow(
    Anthropic.NotFoundError,
  );
  const after = await client.beta.sessions.retrieve(session.id);
  expect(after.resources).toEqual([added[0], added[2]]);
  expect(Date.parse(after.updated_at)).toBeGreaterThanOrEqual(Date.parse(before.updated_at));
  // Who deletes the copy has unmounted it.
  await client.beta.files.delete(a?.file_id ?? "");
  expect((await client.beta.sessions.resources.list(session.id)).data).toEqual([added[2]]);
});

test("a repository's token goes in, is rotated, and never comes out", async () => {
  const session = await create([
    {
      type: "github_repository",
      url: "https://github.com/octo/hello",
      authorization_token: "ghp_secret1",
      checkout: { type: "branch", name: "main" },
    },
    { type: "github_repository", url: "https://git.example.com:8443/team/tools.git", mount_path: "/workspace/deps/tools" },
  ]);
  const [hello, tools] = session.resources;
  expect(hello).toMatchObject({
    url: "https://github.com/octo/hello",
    mount_path: "/workspace/hello",
    checkout: { type: "branch", name: "main" },
  });
  expect(tools).toMatchObject({ mount_path: "/workspace/deps/tools" });
  const id = hello && "id" in hello ? hello.id : "";
  const other = tools && "id" in tools ? tools.id : "";
  expect(await server.vaults.tokens.open(id)).toBe("ghp_secret1");
  expect(await server.vaults.tokens.open(other)).toBeNull();
  const updated = await client.beta.sessions.resources.update(id, { session_id: session.id, authorization_token: "ghp_secret2" });
  expect(updated).toMatchObject({ id, url: "https://github.com/octo/hello" });
  expect(await server.vaults.tokens.open(id)).toBe("ghp_secret2");
  expect(JSON.stringify([session, updated, await client.beta.sessions.retrieve(session.id)])).not.toContain("ghp_");

  const { rewrapped } = await server.vaults.api.rotateKey(undefined);
  expect(rewrapped).toBeGreaterThanOrEqual(1);
  expect(await server.vaults.tokens.open(id)).toBe("ghp_secret2");
  const { rows } = await server.db.query<{ text: string }>("select t::text as text from session_resource_tokens t");
  expect(rows.map(({ text }) => text).join()).not.toContain(Buffer.from("ghp_secret").toString("hex"));
  await expect(client.beta.sessions.resources.delete(id, { session_id: session.id })).rejects.toThrow(
    /stays for as long as its session/,
  );
  await client.beta.sessions.delete(session.id);
  expect(await server.vaults.tokens.open(id)).toBeNull();
});

test("a memory store is there as it was when the session was made, and finds its sessions", async () => {
  const store = await client.beta.memoryStores.create({ name: "User Preferences", description: "likes" });
  const same = await client.beta.memoryStores.create({ name: "user preferences" });
  const session = await create([
    { type: "memory_store", memory_store_id: store.id, access: "read_only", instructions: "Look here first." },
    { type: "memory_store", memory_store_id: same.id },
  ]);
  await client.beta.memoryStores.update(store.id, { name: "Other", description: "other" });
  expect((await client.beta.sessions.retrieve(session.id)).resources).toEqual([
    {
      type: "memory_store",
      memory_store_id: store.id,
      access: "read_only",
      instructions: "Look here first.",
      name: "User Preferences",
      description: "likes",
      mount_path: "/mnt/memory/user-preferences",
    },
    {
      type: "memory_store",
      memory_store_id: same.id,
      access: "read_write",
      instructions: null,
      name: "user preferences",
      description: "",
      mount_path: "/mnt/memory/user-preferences-2",
    },
  ]);
  expect((await client.beta.sessions.list({ memory_store_id: same.id })).data.map(({ id }) => id)).toEqual([session.id]);
  expect((await client.beta.sessions.list({ memory_store_id: "memstore_1" })).data).toEqual([]);
  await client.beta.memoryStores.archive(store.id);
  expect(await createFailing([{ type: "memory_store", memory_store_id: store.id }])).toMatch(/archived/);
  expect((await client.beta.sessions.retrieve(session.id)).resources).toHaveLength(2);
});

test("what cannot be given is refused by name, and nothing is stored", async () => {
  const file = await upload("x");
  const store = await client.beta.memoryStores.create({ name: "s" });
  const count = async () => (await server.db.query("select from sessions")).rowCount;
  const before = await count();
  const memory = { type: "memory_store", memory_store_id: store.id };
  const mounted = (mount_path: string) => ({ type: "file", file_id: file.id, mount_path });
  const repository = (url: string, more: object = {}) => ({ type: "github_repository", url, ...more });
  const cases: [object[], RegExp][] = [
    [[{ type: "file", file_id: "file_1" }], /^resources\[0\]\.file_id: File `file_1` not found\.$/],
    [[mounted("a"), mounted("../../etc/passwd")], /^resources\[1\]\.mount_path: must not contain/],
    [[mounted("a"), mounted("/mnt/session/uploads/a")], /two resources cannot both be at/],
    [[mounted("a/b"), mounted("a")], /inside/],
    [[mounted("a\u0000b")], /NUL|control/],
    [[{ type: "memory_store", memory_store_id: "memstore_1" }], /not found/],
    [[memory, memory], /there twice/],
    [Array.from({ length: 9 }, () => memory), /At most 8 memory stores/],
    [Array.from({ length: 501 }, (_, at) => mounted(`f${at}`)), /^resources: /],
    [[repository("https://github.com/octo/hello.git")], /without \.git/],
    [[repository("https://github.com/octo")], /<owner>/],
    [[repository("git@github.com:octo/hello")], /https/],
    [[repository("http://github.com/octo/hello")], /https/],
    [[repository("https://u:p@github.com/octo/hello")], /credentials/],
    [[repository("https://github.com/octo/hello?x=1")], /query/],
    [[repository("https://git.example.com/")], /name of a repository/],
    [[repository("https://github.com/octo/hello", { mount_path: "/etc" })], /must be below \/workspace/],
    [[repository("https://github.com/octo/hello", { authorization_token: "a b" })], /authorization_token/],
    [[repository("https://github.com/octo/hello"), repository("https://github.com/other/hello")], /cannot both be/],
  ];
  for (const [resources, message] of cases) expect(await createFailing(resources), JSON.stringify(resources[0])).toMatch(message);
  expect(await count()).toBe(before);

  const session = await create([{ type: "file", file_id: file.id, mount_path: "a" }]);
  const path = `/v1/sessions/${session.id}/resources`;
  const add = (body: object) => server.request("POST", path, { body });
  expect((await add(memory)).body.error?.message).toMatch(/only a resource of type `file` can be added/);
  expect((await add(mounted("a/b"))).body.error?.message).toMatch(/inside/);
  expect((await add({ type: "file", file_id: "file_1" })).status).toBe(400);
  const { id = "" } = (await client.beta.sessions.resources.list(session.id)).data[0] as { id?: string };
  expect((await server.request("POST", `${path}/${id}`, { body: { authorization_token: "t" } })).body.error?.message).toMatch(
    /nothing else can be updated/,
  );
  await client.beta.sessions.archive(session.id);
  expect((await add(mounted("b"))).body.error?.message).toMatch(/archived/);
  expect((await server.request("DELETE", `${path}/${id}`)).status).toBe(400);
  expect((await server.request("GET", `/v1/sessions/sesn_1/resources`)).status).toBe(404);
});

test("500 files at once, and not one more", async () => {
  const file = await upload("x");
  const session = await create(
    Array.from({ length: 500 }, (_, at) => ({ type: "file" as const, file_id: file.id, mount_path: `d${at % 7}/f${at}` })),
  );
  expect(session.resources).toHaveLength(500);
  expect(session.resources[499]).toMatchObject({ mount_path: "/mnt/session/uploads/d2/f499" });
  await expect(
    client.beta.sessions.resources.add(session.id, { type: "file", file_id: file.id, mount_path: "one-more" }),
  ).rejects.toThrow(/at most 500/);
});

test("another workspace's files, stores and sessions are unknown", async () => {
  const file = await upload("x");
  const session = await create([{ type: "file", file_id: file.id }]);
  const { id = "" } = session.resources[0] as { id?: string };
  const admin = { workspaceId: server.workspaceId, keyId: "test", admin: true };
  const { key } = await server.apiKeys.create(admin, { name: "k", workspace: "other" });
  const other = server.client({ apiKey: key });
  const agent = await other.beta.agents.create({ name: "a", model: "m" });
  const environment = await other.beta.environments.create({ name: "e" });
  await expect(
    other.beta.sessions.create({
      agent: agent.id,
      environment_id: environment.id,
      resources: [{ type: "file", file_id: file.id }],
    }),
  ).rejects.toThrow(/not found/);
  await expect(other.beta.sessions.resources.list(session.id)).rejects.toThrow(Anthropic.NotFoundError);
  await expect(other.beta.sessions.resources.retrieve(id, { session_id: session.id })).rejects.toThrow(Anthropic.NotFoundError);
  await expect(other.beta.sessions.resources.delete(id, { session_id: session.id })).rejects.toThrow(Anthropic.NotFoundError);
});
