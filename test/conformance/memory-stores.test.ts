import { expect } from "vitest";
import { conformanceServer } from "./fixture/conformance-server.ts";
import { refused, refusedAsInvalid, refusedAsUnknown } from "./fixture/refused.ts";
import { verifies } from "./fixture/verifies.ts";

const server = conformanceServer();
const stores = () => server.client.beta.memoryStores;
const memories = () => server.client.beta.memoryStores.memories;
const versions = () => server.client.beta.memoryStores.memoryVersions;

verifies(["memory.store-lifecycle", "http.id-prefixes"], "a store from its creation to its end", async () => {
  const store = await stores().create({ name: "Team notes", metadata: { a: "1", b: "2" } });
  expect(store).toEqual({
    id: expect.stringMatching(/^memstore_01\w+$/),
    type: "memory_store",
    name: "Team notes",
    description: "",
    metadata: { a: "1", b: "2" },
    created_at: expect.stringMatching(/Z$/),
    updated_at: store.created_at,
    archived_at: null,
  });
  const { id } = store;
  const updated = await stores().update(id, { name: null, description: "What we know", metadata: { a: null, c: "3" } });
  expect(updated).toMatchObject({ name: "Team notes", description: "What we know", metadata: { b: "2", c: "3" } });
  expect(await stores().update(id, { description: null, metadata: null })).toEqual(updated);
  expect(await stores().update(id, { name: "New", description: "" })).toMatchObject({ name: "New", description: "" });
  const changed = await stores().retrieve(id);
  await memories().create(id, { path: "/a", content: "a" });
  expect(await stores().retrieve(id)).toEqual(changed);
  expect(await stores().delete(id)).toEqual({ id, type: "memory_store_deleted" });
  for (const gone of [
    () => stores().retrieve(id),
    () => stores().update(id, {}),
    () => stores().archive(id),
    () => stores().delete(id),
    () => memories().list(id),
    () => memories().create(id, { path: "/b", content: "" }),
    () => versions().list(id),
  ])
    await refusedAsUnknown(gone());
});

verifies(["memory.store-limits", "metadata.limits"], "names, descriptions and metadata", async () => {
  const longest = { name: "n".repeat(255), description: "d".repeat(1_024) };
  const store = await stores().create(longest);
  expect(store).toMatchObject(longest);
  expect((await stores().create(longest)).id).not.toBe(store.id);
  for (const bad of [
    { name: "" },
    { name: "n".repeat(256) },
    { name: "line\nbreak" },
    { name: "\u0085" },
    { name: "n", description: "d".repeat(1_025) },
    { name: "n", metadata: { "": "v" } },
    { name: "n", metadata: { ["k".repeat(65)]: "v" } },
    { name: "n", metadata: { k: "v".repeat(513) } },
    { name: "n", metadata: Object.fromEntries(Array.from({ length: 17 }, (_, index) => [`${index}`, "v"])) },
  ]) {
    await refusedAsInvalid(stores().create(bad));
    await refusedAsInvalid(stores().update(store.id, { ...bad }));
  }
  await refusedAsInvalid(stores().create({} as { name: string }), "name: Field required");
});

verifies(["memory.store-filters", "pages.cursor-outside"], "lists are newest first, and filtered", async () => {
  const made = [];
  for (const name of ["one", "two", "three"]) made.unshift(await stores().create({ name }));
  const [three, two, one] = made;
  await stores().archive(two?.id ?? "");
  const since = { "created_at[gte]": one?.created_at ?? "" };
  const names = async (query: object) => (await stores().list({ ...since, ...query })).data.map(({ name }) => name);
  expect(await names({})).toEqual(["three", "one"]);
  expect(await names({ include_archived: true })).toEqual(["three", "two", "one"]);
  const until = await names({ "created_at[lte]": one?.created_at ?? "", include_archived: true });
  expect(until).toContain("one");
  const walked = [];
  for await (const { name } of stores().list({ ...since, limit: 1 })) walked.push(name);
  expect(walked).toEqual(["three", "one"]);
  const { next_page: page } = await stores().list({ ...since, limit: 1 });
  const later = new Date(Date.parse(three?.created_at ?? "") + 60_000).toISOString();
  await refusedAsInvalid(stores().list({ page: page ?? "", "created_at[gte]": later }), /page|cursor/i);
});

verifies("memory.archived", "an archived store can be read, emptied and deleted, and nothing else", async () => {
  const { id } = await stores().create({ name: "old" });
  const kept = await memories().create(id, { path: "/kept", content: "kept" });
  const other = await memories().create(id, { path: "/other", content: "other" });
  const archived = await stores().archive(id);
  expect(archived.archived_at).toMatch(/Z$/);
  expect(archived.updated_at).toBe(archived.archived_at);
  expect(await stores().archive(id)).toEqual(archived);
  for (const write of [
    () => stores().update(id, { name: "new" }),
    () => memories().create(id, { path: "/new", content: "" }),
    () => memories().update(kept.id, { memory_store_id: id, content: "changed" }),
    () => memories().update(kept.id, { memory_store_id: id, content: "kept" }),
  ])
    await refusedAsInvalid(write(), /archived/);
  expect(await memories().retrieve(kept.id, { memory_store_id: id })).toMatchObject({ content: "kept" });
  expect(await memories().delete(other.id, { memory_store_id: id })).toEqual({ id: other.id, type: "memory_deleted" });
  const redacted = await versions().redact(other.memory_version_id, { memory_store_id: id });
  expect(redacted.redacted_at).toMatch(/Z$/);
  expect((await versions().list(id)).data).toHaveLength(3);
  await stores().delete(id);
  await refusedAsUnknown(stores().retrieve(id));
});

verifies(["memory.isolation", "auth.foreign-id"], "another workspace, and another store, see nothing of it", async () => {
  const response = await server.request("/sandbox0/v1/api_keys", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ name: "stranger", workspace: "elsewhere" }),
  });
  const stranger = server.clientOf(((await response.json()) as { key: string }).key).beta.memoryStores;
  const { id } = await stores().create({ name: "ours" });
  const memory = await memories().create(id, { path: "/secret", content: "secret" });
  const at = { memory_store_id: id };
  for (const call of [
    () => stranger.retrieve(id),
    () => stranger.update(id, { name: "mine" }),
    () => stranger.archive(id),
    () => stranger.delete(id),
    () => stranger.memories.list(id),
    () => stranger.memories.create(id, { path: "/mine", content: "" }),
    () => stranger.memories.retrieve(memory.id, at),
    () => stranger.memories.update(memory.id, { ...at, content: "mine" }),
    () => stranger.memories.delete(memory.id, at),
    () => stranger.memoryVersions.list(id),
    () => stranger.memoryVersions.retrieve(memory.memory_version_id, at),
    () => stranger.memoryVersions.redact(memory.memory_version_id, at),
  ])
    await refusedAsUnknown(call());
  const theirs = await stranger.create({ name: "theirs" });
  expect((await stranger.list()).data.map((store) => store.id)).toEqual([theirs.id]);
  const wrong = { memory_store_id: theirs.id };
  for (const call of [
    () => stranger.memories.retrieve(memory.id, wrong),
    () => stranger.memories.update(memory.id, { ...wrong, content: "mine" }),
    () => stranger.memories.delete(memory.id, wrong),
    () => stranger.memoryVersions.retrieve(memory.memory_version_id, wrong),
    () => stranger.memoryVersions.redact(memory.memory_version_id, wrong),
  ])
    await refusedAsUnknown(call());
  expect((await stranger.memoryVersions.list(theirs.id, { memory_id: memory.id })).data).toEqual([]);
  expect(await memories().retrieve(memory.id, at)).toMatchObject({ content: "secret", path: "/secret" });
  const { status } = await refused(memories().retrieve(memory.id, wrong));
  expect(status).toBe(404);
});
