import { createHash } from "node:crypto";
import Anthropic from "@anthropic-ai/sdk";
import type { MemoryListParams } from "@anthropic-ai/sdk/resources/beta/memory-stores/memories";
import { beforeEach, expect } from "vitest";
import { conformanceServer } from "./fixture/conformance-server.ts";
import { refused, refusedAsInvalid, refusedAsUnknown } from "./fixture/refused.ts";
import { verifies } from "./fixture/verifies.ts";

const server = conformanceServer();
const stores = () => server.client.beta.memoryStores;
const memories = () => server.client.beta.memoryStores.memories;
const sha256 = (text: string): string => createHash("sha256").update(text, "utf8").digest("hex");

let storeId: string;
beforeEach(async () => {
  storeId = (await stores().create({ name: "test" })).id;
});
const at = () => ({ memory_store_id: storeId });
const create = (path: string, content: string | null = "") => memories().create(storeId, { path, content });
const expecting = (content: string) => ({ type: "content_sha256" as const, content_sha256: sha256(content) });
const versionCount = async () => (await stores().memoryVersions.list(storeId, { limit: 100 })).data.length;

verifies(
  ["memory.content", "memory.view", "http.id-prefixes"],
  "contents come back as they were, and when asked for",
  async () => {
    const texts = [
      "",
      "plain",
      "e\u0301 is not é",
      "\r\n\t",
      "emoji 🙂",
      "nul \0 inside",
      "x".repeat(102_400),
      "é".repeat(51_200),
    ];
    for (const [index, content] of texts.entries()) {
      const made = await create(`/${index}`, content);
      expect(made).toEqual({
        id: expect.stringMatching(/^mem_01\w+$/),
        type: "memory",
        memory_store_id: storeId,
        path: `/${index}`,
        content: null,
        content_sha256: sha256(content),
        content_size_bytes: Buffer.byteLength(content),
        memory_version_id: expect.stringMatching(/^memver_01\w+$/),
        created_at: expect.stringMatching(/Z$/),
        updated_at: made.created_at,
      });
      expect(await memories().retrieve(made.id, at())).toEqual({ ...made, content });
      expect(await memories().retrieve(made.id, { ...at(), view: "basic" })).toEqual(made);
    }
    const full = await memories().create(storeId, { path: "/full", content: "at once", view: "full" });
    expect(full.content).toBe("at once");
    expect((await memories().update(full.id, { ...at(), path: "/moved", view: "full" })).content).toBe("at once");
    expect((await memories().update(full.id, { ...at(), content: "new", view: "full" })).content).toBe("new");
    expect((await memories().update(full.id, { ...at(), content: "newer" })).content).toBeNull();
    expect((await memories().list(storeId)).data.map((item) => "content" in item && item.content)).toEqual(Array(9).fill(null));
    const [first] = (await memories().list(storeId, { view: "full" })).data;
    expect(first).toMatchObject({ path: "/0", content: "" });
    expect((await create("/null", null)).content_size_bytes).toBe(0);
  },
);

verifies("memory.content", "what is no such text is refused", async () => {
  for (const content of ["x".repeat(102_401), "é".repeat(51_201)]) await refusedAsInvalid(create("/big", content), /content/);
  const post = (body: string | Buffer) =>
    server.request(`/v1/memory_stores/${storeId}/memories`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body,
    });
  for (const body of [
    Buffer.from('{"path":"/latin1","content":"caf\xe9"}', "latin1"),
    String.raw`{"path":"/half","content":"\ud83d"}`,
    '{"path":"/none"}',
    '{"path":"/number","content":5}',
  ])
    expect([body.toString(), (await post(body)).status]).toEqual([body.toString(), 400]);
  expect((await memories().list(storeId)).data).toEqual([]);
});

verifies("memory.paths", "paths", async () => {
  const good = [
    "/a",
    "/A",
    "/a b/c.md",
    "/..a/.b",
    "/日本/é.md",
    `/${"s/".repeat(19)}x`,
    `/${"é".repeat(511)}x`,
    '/"\\',
    "/.../x",
  ];
  for (const path of good) expect((await create(path)).path).toBe(path);
  const memory = await create("/fine");
  for (const path of [
    "",
    "a",
    "/",
    "/a/",
    "//a",
    "/x//y",
    "/.",
    "/x/..",
    "/../x",
    "/./x",
    `/${"s/".repeat(20)}x`,
    `/${"é".repeat(511)}xy`,
    "/nul\0",
    "/bell\u0007",
    "/c1\u0085",
    "/zero\u200bwidth",
    "/soft\u00adhyphen",
    "/rtl\u202e",
    "/line\u2028",
    "/paragraph\u2029",
    "/e\u0301",
    "/half\ud83d",
    "/.anthropic-memory-store",
    "/.anthropic-memory-store/x",
  ]) {
    await refusedAsInvalid(create(path), /path/);
    await refusedAsInvalid(memories().update(memory.id, { ...at(), path }), /path/);
  }
});

verifies("memory.path-conflict", "a path that is taken, or above or below one that is", async () => {
  const file = await create("/notes/todo.md", "1");
  await create("/notes-archive");
  const other = await create("/other");
  const conflicts = {
    "/notes/todo.md": file,
    "/notes": file,
    "/notes/todo.md/x": file,
    "/notes/todo.md/x/y/z": file,
    "/notes-archive/x": { path: "/notes-archive" },
  };
  for (const [path, { path: taken }] of Object.entries(conflicts)) {
    for (const call of [() => create(path), () => memories().update(other.id, { ...at(), path })]) {
      const error = await call().then(
        () => null,
        (caught: unknown) => caught,
      );
      if (!(error instanceof Anthropic.ConflictError)) throw error;
      expect(error.headers.get("x-should-retry")).toBe("false");
      expect((error.error as { error: object }).error).toEqual({
        type: "memory_path_conflict_error",
        message: expect.any(String),
        conflicting_memory_id: expect.stringMatching(taken === file.path ? file.id : /^mem_/),
        conflicting_path: taken,
      });
    }
  }
  await create("/Notes/todo.md");
  await create("/notes/todo.md.bak");
  await create("/notes/tod");
  // A memory is not in its own way.
  expect((await memories().update(file.id, { ...at(), path: "/notes/todo.md/deep" })).path).toBe("/notes/todo.md/deep");
  await create("/notes/todo.md2");
});

verifies(
  ["memory.update", "memory.versions"],
  "an update changes what it names, and makes a version if anything changes",
  async () => {
    const made = await create("/a", "one");
    const renamed = await memories().update(made.id, { ...at(), path: "/b" });
    expect(renamed).toMatchObject({ id: made.id, path: "/b", content_sha256: made.content_sha256, created_at: made.created_at });
    expect(renamed.memory_version_id).not.toBe(made.memory_version_id);
    const both = await memories().update(made.id, { ...at(), path: "/c", content: "two" });
    expect(both).toMatchObject({ id: made.id, path: "/c", content_sha256: sha256("two"), content_size_bytes: 3 });
    expect(await versionCount()).toBe(3);
    for (const nothing of [{}, { content: null, path: null }, { content: "two" }, { path: "/c" }, { path: "/c", content: "two" }])
      expect(await memories().update(made.id, { ...at(), ...nothing })).toEqual(both);
    expect(await versionCount()).toBe(3);
    expect((await memories().retrieve(made.id, at())).content).toBe("two");
    await create("/a", "the old path is free");
    const response = await server.request(`/v1/memory_stores/${storeId}/memories/${made.id}`, {
      method: "PATCH",
      headers: { "content-type": "application/json" },
      body: '{"content":"three"}',
    });
    expect(await response.json()).toMatchObject({ content_sha256: sha256("three") });
    await refusedAsUnknown(memories().update("mem_011111111111111111111111", { ...at(), content: "x" }));
  },
);

verifies("memory.precondition", "a precondition holds, or nothing happens", async () => {
  const made = await create("/a", "one");
  const update = (params: object) => memories().update(made.id, { ...at(), ...params });
  expect((await update({ content: "two", precondition: expecting("one") })).content_sha256).toBe(sha256("two"));
  for (const change of [
    { content: "three" },
    { path: "/b" },
    { content: "three", path: "/b" },
    { content: "two", path: "/b" },
    {},
  ]) {
    const { status, type, headers } = await refused(update({ ...change, precondition: expecting("one") }));
    expect({ status, type, retry: headers.get("x-should-retry") }).toEqual({
      status: 409,
      type: "memory_precondition_failed_error",
      retry: "false",
    });
  }
  const now = await memories().retrieve(made.id, at());
  expect(now).toMatchObject({ content: "two", path: "/a" });
  // The retry of an update whose answer was lost.
  expect(await update({ content: "two", precondition: expecting("one") })).toMatchObject({
    memory_version_id: now.memory_version_id,
  });
  expect(await update({ path: "/a", content: "two", precondition: expecting("none") })).toMatchObject({ path: "/a" });
  // Of the content it has, not of what is at the path it goes to.
  await create("/c", "in the way");
  expect((await update({ path: "/b", precondition: expecting("two") })).path).toBe("/b");
  for (const precondition of [
    { type: "content_sha256" as const },
    { type: "content_sha256" as const, content_sha256: sha256("two").toUpperCase() },
    { type: "other" as "content_sha256", content_sha256: sha256("two") },
  ])
    await refusedAsInvalid(update({ content: "x", precondition }), /precondition/);
  expect(await versionCount()).toBe(4);
});

verifies("memory.precondition-race", "of many updates that expect the same content, one happens", async () => {
  const made = await create("/a", "start");
  let content = "start";
  // Again and again: in the first rounds the writers' connections are still being made, one after the other.
  for (let round = 1; round <= 10; round++) {
    const precondition = expecting(content);
    const writers = Array.from({ length: 12 }, (_, writer) =>
      memories()
        .update(made.id, { ...at(), content: `${round} ${writer}`, precondition })
        .then(
          () => "done",
          (error: unknown) => (error as { type?: string }).type,
        ),
    );
    const outcomes = await Promise.all(writers);
    expect(outcomes.filter((outcome) => outcome === "done")).toHaveLength(1);
    expect(outcomes.filter((outcome) => outcome === "memory_precondition_failed_error")).toHaveLength(11);
    content = (await memories().retrieve(made.id, at())).content ?? "";
    expect(content).toBe(`${round} ${outcomes.indexOf("done")}`);
  }
  expect(await versionCount()).toBe(11);
});

verifies("memory.precondition-race", "an update and a delete of the same content: one happens", async () => {
  const made = await create("/a", "start");
  const update = memories().update(made.id, { ...at(), content: "new", precondition: expecting("start") });
  const remove = memories().delete(made.id, { ...at(), expected_content_sha256: sha256("start") });
  const outcomes = await Promise.allSettled([update, remove]);
  expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  expect(await versionCount()).toBe(2);
});

verifies("memory.path-race", "of many creates that are in each other's way, one happens", async () => {
  const paths = ["/a", "/a", "/a/b", "/a/b/c", "/a", "/a/b"];
  const outcomes = await Promise.allSettled(paths.map((path) => create(path)));
  const made = (await memories().list(storeId)).data.map(({ path }) => path);
  expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(made.length);
  expect(made.filter((path) => made.some((other) => other !== path && other.startsWith(`${path}/`)))).toEqual([]);
  expect(new Set(made).size).toBe(made.length);
  for (const outcome of outcomes)
    if (outcome.status === "rejected") expect((outcome.reason as { type?: string }).type).toBe("memory_path_conflict_error");
});

verifies("memory.delete", "with a precondition, and for good", async () => {
  const made = await create("/a", "one");
  const { status, type } = await refused(memories().delete(made.id, { ...at(), expected_content_sha256: sha256("another") }));
  expect({ status, type }).toEqual({ status: 409, type: "memory_precondition_failed_error" });
  await refusedAsInvalid(memories().delete(made.id, { ...at(), expected_content_sha256: "abc" }), /expected_content_sha256/);
  expect((await memories().retrieve(made.id, at())).content).toBe("one");
  const removed = await memories().delete(made.id, { ...at(), expected_content_sha256: sha256("one") });
  expect(removed).toEqual({ id: made.id, type: "memory_deleted" });
  await refusedAsUnknown(memories().retrieve(made.id, at()));
  await refusedAsUnknown(memories().delete(made.id, at()));
  expect((await create("/a", "again")).id).not.toBe(made.id);
});

verifies(["memory.list", "memory.list-prefix"], "lists are by path, below a prefix, whole or rolled up", async () => {
  const paths = ["/a.md", "/a/b.md", "/a/b/c.md", "/a/d/e.md", "/a/d/f.md", "/ab/x", "/Z", "/é/ü", "/%/_"];
  for (const path of paths) await create(path, path);
  const list = async (query: MemoryListParams) => (await memories().list(storeId, query)).data.map(({ path }) => path);
  const sorted = ["/%/_", "/Z", "/a.md", "/a/b.md", "/a/b/c.md", "/a/d/e.md", "/a/d/f.md", "/ab/x", "/é/ü"];
  expect(await list({})).toEqual(sorted);
  expect(await list({ depth: 0, path_prefix: "/" })).toEqual(sorted);
  expect(await list({ depth: 1 })).toEqual(["/%/", "/Z", "/a.md", "/a/", "/ab/", "/é/"]);
  expect(await list({ path_prefix: "/a/" })).toEqual(sorted.slice(3, 7));
  expect(await list({ path_prefix: "/a/", depth: 1 })).toEqual(["/a/b.md", "/a/b/", "/a/d/"]);
  expect(await list({ path_prefix: "/é/", depth: 1 })).toEqual(["/é/ü"]);
  expect(await list({ path_prefix: "/%/", depth: 1 })).toEqual(["/%/_"]);
  expect(await list({ path_prefix: "/nowhere/" })).toEqual([]);
  const [rolled, file] = (await memories().list(storeId, { path_prefix: "/a/", depth: 1, view: "full" })).data.toReversed();
  expect(rolled).toEqual({ type: "memory_prefix", path: "/a/d/" });
  expect(file).toEqual({ type: "memory_prefix", path: "/a/b/" });
  for (const bad of [{ depth: 2 }, { depth: -1 }, { path_prefix: "/a" }, { path_prefix: "a/" }, { path_prefix: "/\u0000/" }])
    await refusedAsInvalid(memories().list(storeId, bad));
  await refusedAsUnknown(memories().list("memstore_011111111111111111111111"));
});

verifies(["memory.list-pages", "pages.bad-cursor"], "pages: each item once, prefixes count", async () => {
  const paths = Array.from({ length: 25 }, (_, index) => `/${String.fromCharCode(97 + index)}/${'"'.repeat(900)}`);
  await Promise.all([...paths, "/z1", "/z2"].map((path) => create(path, path)));
  const walk = async (query: MemoryListParams) => {
    const seen = [];
    for await (const { path } of memories().list(storeId, query)) seen.push(path);
    return seen;
  };
  const rolled = [...paths.map((path) => path.slice(0, 3)), "/z1", "/z2"];
  for (const limit of [1, 7, 100]) {
    expect(await walk({ limit })).toEqual([...paths, "/z1", "/z2"]);
    expect(await walk({ limit, depth: 1 })).toEqual(rolled);
  }
  expect((await memories().list(storeId)).data).toHaveLength(20);
  expect((await memories().list(storeId, { depth: 1 })).data).toHaveLength(20);
  const full = await memories().list(storeId, { view: "full", limit: 100 });
  expect(full.data).toHaveLength(20);
  expect(await walk({ view: "full" })).toEqual([...paths, "/z1", "/z2"]);
  // What was the last item may be gone when the next page is asked for.
  const { data, next_page: page } = await memories().list(storeId, { limit: 2 });
  const last = data.at(-1);
  if (last?.type === "memory") await memories().delete(last.id, at());
  expect((await memories().list(storeId, { limit: 1, page: page ?? "" })).data[0]?.path).toBe(paths[2]);
  for (const limit of [0, 101]) await refusedAsInvalid(memories().list(storeId, { limit }), /limit/);
  const other = await stores().create({ name: "other" });
  await refusedAsInvalid(memories().list(other.id, { page: page ?? "" }), /page/);
  for (const key of [["\0"], ["x"], [5], ["/a", "/b"], ["/\ud800"], [`/${"x".repeat(2_000)}`]]) {
    const forged = Buffer.from(JSON.stringify([`memories of ${storeId}`, "asc", "next", key])).toString("base64url");
    await refusedAsInvalid(memories().list(storeId, { page: `page_${forged}` }), /page/);
  }
});

verifies("memory.count-max", "2,000 memories a store, also when many are written at once", async () => {
  const lanes = Array.from({ length: 32 }, async (_, lane) => {
    for (let index = lane; index < 1_995; index += 32) await create(`/m/${index}`, String(index));
  });
  await Promise.all(lanes);
  const outcomes = await Promise.allSettled(Array.from({ length: 10 }, (_, index) => create(`/last/${index}`)));
  expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(5);
  await refusedAsInvalid(create("/one-more"), /2000/);
  const [item] = (await memories().list(storeId, { limit: 1 })).data;
  if (item?.type !== "memory") throw new Error("no memory");
  await memories().update(item.id, { ...at(), content: "changed", path: "/renamed" });
  await memories().delete(item.id, at());
  await create("/one-more");
  const seen = [];
  for await (const { path } of memories().list(storeId, { limit: 100 })) seen.push(path);
  expect(new Set(seen).size).toBe(2_000);
});
