import type { MemoryVersionListParams } from "@anthropic-ai/sdk/resources/beta/memory-stores/memory-versions";
import { beforeEach, expect } from "vitest";
import { API_KEY, conformanceServer } from "./fixture/conformance-server.ts";
import { refusedAsInvalid, refusedAsUnknown } from "./fixture/refused.ts";
import { verifies } from "./fixture/verifies.ts";

const server = conformanceServer();
const memories = () => server.client.beta.memoryStores.memories;
const versions = () => server.client.beta.memoryStores.memoryVersions;

let storeId: string;
beforeEach(async () => {
  storeId = (await server.client.beta.memoryStores.create({ name: "test" })).id;
});
const at = () => ({ memory_store_id: storeId });
const list = async (query: MemoryVersionListParams = {}) => (await versions().list(storeId, query)).data;
const operations = async (query: MemoryVersionListParams) => (await list(query)).map(({ operation }) => operation);

/** A memory that was made, changed, renamed and deleted. */
async function live(path = "/a") {
  const { id } = await memories().create(storeId, { path, content: "one" });
  await memories().update(id, { ...at(), content: "two" });
  await memories().update(id, { ...at(), path: `${path}-renamed` });
  await memories().delete(id, at());
  return id;
}

verifies("memory.versions", "every change is there, the last first, also when the memory is not", async () => {
  const id = await live();
  const full = await list({ view: "full" });
  const common = {
    type: "memory_version",
    memory_id: id,
    memory_store_id: storeId,
    created_by: { type: "api_actor", api_key_id: expect.any(String) },
    redacted_at: null,
  };
  expect(full.map(({ id: version, created_at, ...rest }) => rest)).toEqual([
    { ...common, operation: "deleted", path: "/a-renamed", content: null, content_sha256: null, content_size_bytes: null },
    ...[
      { operation: "modified", path: "/a-renamed", content: "two" },
      { operation: "modified", path: "/a", content: "two" },
      { operation: "created", path: "/a", content: "one" },
    ].map((version) => ({
      ...common,
      ...version,
      content_sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
      content_size_bytes: 3,
    })),
  ]);
  const basic = await list();
  expect(basic).toEqual(full.map((version) => ({ ...version, content: null })));
  for (const version of full) {
    expect(await versions().retrieve(version.id, at())).toEqual(version);
    expect(await versions().retrieve(version.id, { ...at(), view: "basic" })).toEqual({ ...version, content: null });
  }
  await refusedAsUnknown(versions().retrieve("memver_011111111111111111111111", at()));
});

verifies(["memory.version-filters", "memory.versions", "pages.cursor-outside"], "filters and pages", async () => {
  const first = await live("/first");
  const second = await live("/second");
  const [newest] = await list();
  const key = newest?.created_by?.type === "api_actor" ? newest.created_by.api_key_id : "";
  expect(await operations({ memory_id: first })).toEqual(["deleted", "modified", "modified", "created"]);
  expect((await list({ operation: "created" })).map(({ memory_id }) => memory_id)).toEqual([second, first]);
  expect(await list({ api_key_id: key })).toHaveLength(8);
  for (const nobody of [
    { api_key_id: "apikey_x" },
    { session_id: key },
    { service_account_id: key },
    { api_key_id: key, session_id: "s" },
  ])
    expect(await list(nobody)).toEqual([]);
  const all = await list({ limit: 100 });
  const time = newest?.created_at ?? "";
  expect((await list({ "created_at[gte]": time })).map(({ id }) => id)).toContain(newest?.id);
  expect(await list({ "created_at[lte]": time })).toHaveLength(8);
  const later = new Date(Date.parse(time) + 1).toISOString();
  expect(await list({ "created_at[gte]": later })).toEqual([]);
  for (const query of [{ limit: 3 }, { limit: 1 }, { limit: 3, view: "full" as const }]) {
    const seen = [];
    for await (const { id } of versions().list(storeId, query)) seen.push(id);
    expect(seen).toEqual(all.map(({ id }) => id));
  }
  const { next_page: page } = await versions().list(storeId, { limit: 1 });
  await refusedAsInvalid(versions().list(storeId, { page: page ?? "", "created_at[gte]": later }), /cursor/i);
  for (const limit of [0, 101]) await refusedAsInvalid(versions().list(storeId, { limit }), /limit/);
});

verifies("memory.versions", "of another key, by that key; and a page with contents has 20", async () => {
  const response = await server.request("/sandbox0/v1/api_keys", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: '{"name":"second"}',
  });
  const { id: keyId, key } = (await response.json()) as { id: string; key: string };
  expect(key).not.toBe(API_KEY);
  const second = server.clientOf(key).beta.memoryStores;
  const { id } = await memories().create(storeId, { path: "/a", content: "0" });
  for (let index = 1; index <= 24; index++) await second.memories.update(id, { ...at(), content: String(index) });
  expect(await list({ api_key_id: keyId, limit: 100 })).toHaveLength(24);
  expect(await list({ limit: 100, view: "full" })).toHaveLength(20);
  expect(await list()).toHaveLength(20);
});

verifies("memory.redact", "takes out what it said, never of the current version", async () => {
  const id = (await memories().create(storeId, { path: "/a", content: "canary" })).id;
  const updated = await memories().update(id, { ...at(), content: "clean" });
  const [head, old] = await list({ view: "full" });
  if (!head || !old) throw new Error("there are two versions");
  expect(head.id).toBe(updated.memory_version_id);
  await refusedAsInvalid(versions().redact(head.id, at()), /current version/);
  const redacted = await versions().redact(old.id, at());
  expect(redacted).toEqual({
    ...old,
    path: null,
    content: null,
    content_sha256: null,
    content_size_bytes: null,
    redacted_at: expect.stringMatching(/Z$/),
    redacted_by: old.created_by,
  });
  expect(await versions().redact(old.id, at())).toEqual(redacted);
  expect(await versions().retrieve(old.id, at())).toEqual(redacted);
  expect(JSON.stringify(await list({ view: "full" }))).not.toContain("canary");
  expect((await memories().retrieve(id, at())).content).toBe("clean");
  await memories().delete(id, at());
  const [deletion] = await list();
  for (const { id: version } of [head, deletion ?? head]) expect((await versions().redact(version, at())).path).toBeNull();
  await refusedAsUnknown(versions().redact("memver_011111111111111111111111", at()));
});

verifies("memory.redact", "a redaction and an update that race leave a current version that can be read", async () => {
  const { id, memory_version_id: version } = await memories().create(storeId, { path: "/a", content: "one" });
  const outcomes = await Promise.allSettled([memories().update(id, { ...at(), path: "/b" }), versions().redact(version, at())]);
  expect(outcomes[0]?.status).toBe("fulfilled");
  expect(await memories().retrieve(id, at())).toMatchObject({ path: "/b", content: "one" });
});
