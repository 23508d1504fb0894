import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SessionMemoryStores } from "@anthropic-ai/sdk/tools/agent-toolset/node";
import { afterAll, expect } from "vitest";
import { conformanceServer } from "./fixture/conformance-server.ts";
import { verifies } from "./fixture/verifies.ts";

const server = conformanceServer();
const directory = await mkdtemp(join(tmpdir(), "sandbox0-memory-"));
afterAll(() => rm(directory, { recursive: true }));

verifies("memory.worker", "the worker's own code keeps the directories of two sessions and the store in step", async () => {
  const { memoryStores } = server.client.beta;
  const { id } = await memoryStores.create({ name: "shared" });
  await memoryStores.memories.create(id, { path: "/notes/plan.md", content: "plan" });
  for (let index = 0; index < 24; index++)
    await memoryStores.memories.create(id, { path: `/many/${index}`, content: `${index}` });
  const session = await server.client.beta.sessions.retrieve((await server.createSession()).id);
  const open = async (name: string) => {
    const mount_path = join(directory, name);
    const client = server.client.withOptions({ logLevel: "off" });
    // Its timer would call it every few seconds; left out of its types.
    const stores = new SessionMemoryStores(client, { workdir: directory }) as SessionMemoryStores & {
      syncAll(final: boolean): Promise<void>;
    };
    await stores.download({ ...session, resources: [{ type: "memory_store", memory_store_id: id, mount_path }] });
    return {
      sync: () => stores.syncAll(false),
      finish: () => stores.finish(),
      read: (path: string) => readFile(join(mount_path, path), "utf8").catch(() => null),
      async write(path: string, text: string | Buffer) {
        await mkdir(join(mount_path, path, ".."), { recursive: true });
        await writeFile(join(mount_path, path), text);
      },
      remove: (path: string) => rm(join(mount_path, path)),
    };
  };
  const stored = async (path: string) => {
    for await (const item of memoryStores.memories.list(id, { view: "full" }))
      if (item.type === "memory" && item.path === path) return item.content;
    return null;
  };
  const [first, second] = [await open("first"), await open("second")];
  expect([await first.read("notes/plan.md"), await second.read("many/23")]).toEqual(["plan", "23"]);

  await first.write("notes/plan.md", "plan of the first");
  await first.write("new/é.md", "new");
  await first.sync();
  expect([await stored("/notes/plan.md"), await stored("/new/é.md")]).toEqual(["plan of the first", "new"]);
  // Both changed it: the store's content wins.
  await second.write("notes/plan.md", "plan of the second");
  await second.write("too-big", "x".repeat(102_401));
  await second.write("binary", Buffer.from([0xff, 0xfe]));
  await second.sync();
  expect([await second.read("notes/plan.md"), await second.read("new/é.md")]).toEqual(["plan of the first", "new"]);
  expect([await stored("/too-big"), await stored("/binary")]).toEqual([null, null]);

  await second.write("notes/plan.md", "plan of both");
  await second.remove("many/0");
  await second.finish();
  await first.sync();
  expect([await first.read("notes/plan.md"), await first.read("many/0"), await stored("/many/0")]).toEqual([
    "plan of both",
    null,
    null,
  ]);
  const { data } = await memoryStores.memoryVersions.list(id, { operation: "deleted" });
  expect(data.map(({ path }) => path)).toEqual(["/many/0"]);
});
