import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { call, say } from "@sandbox0/testkit";
import { expect, test } from "vitest";
import { conformanceServer, TOOLSET } from "../conformance/fixture/conformance-server.ts";
import { message, only, type TestSession, textOf } from "../conformance/fixture/test-session.ts";

/**
 * The server reads and writes the directories of memory stores as its own user, while the session does there what it likes:
 * nothing of the host may be read through them, and nothing outside of them written or removed.
 */
const server = conformanceServer();
const ROUNDS = 8;
const CANARY = "canary-of-the-host";

async function bash(session: TestSession, command: string): Promise<string> {
  await session.send(message(server.play(call("bash", { command }), say("Done."))));
  const result = only(await session.rest(), "agent.tool_result").at(-1);
  return textOf(result ?? {});
}

async function openWith(storeId: string, access: "read_write" | "read_only" = "read_write"): Promise<TestSession> {
  return server.createSession({
    agent: { make: { tools: [TOOLSET] } },
    resources: [{ type: "memory_store", memory_store_id: storeId, access }],
  });
}

/** All that was ever in the store. */
async function texts(storeId: string): Promise<string> {
  let all = "";
  for await (const version of server.client.beta.memoryStores.memoryVersions.list(storeId, { view: "full" }))
    all += `${version.path} ${version.content}\n`;
  return all;
}

test("directories that turn into links while memories are read from them and put into them lead nowhere", async () => {
  const { memoryStores } = server.client.beta;
  const { memories } = memoryStores;
  const { id } = await memoryStores.create({ name: "notes" });
  const secret = join(server.dataDir, "secret");
  await mkdir(secret);
  for (const name of ["own", "theirs", "kept"]) await writeFile(join(secret, name), CANARY);
  const masterKeys = (await readFile(join(server.dataDir, "master-keys.json"), "utf8")).match(/[A-Za-z0-9+/=]{32,}/g) ?? [];
  expect(masterKeys.length).toBeGreaterThan(0);
  const { id: theirs } = await memories.create(id, { path: "/dir/theirs", content: "0" });
  const session = await openWith(id);
  await bash(
    session,
    `cd /mnt/memory/notes; ln -s ${secret}/kept link; ln -s ${server.dataDir} host; ln -s /proc/self/root proc; ln -s .. up
     nohup bash -c 'cd /mnt/memory/notes; until test -e /workspace/stop; do
       mv dir aside; ln -sfn ${secret} dir; rm -f dir; mv aside dir; echo harmless > dir/own
       ln -sf ${secret}/own file; rm -f file; echo harmless > file
     done' >/dev/null 2>&1 &`,
  );
  for (let round = 1; round <= ROUNDS; round++) {
    // The session may have moved it, or deleted it.
    await memories.update(theirs, { memory_store_id: id, content: `${round}` }).catch(() => undefined);
    await memories.create(id, { path: `/dir/new${round}`, content: "new" }).catch(() => undefined);
    await bash(session, `echo ${round} > /mnt/memory/notes/round`);
  }
  await bash(session, "touch /workspace/stop; sleep 0.2; rm -rf /mnt/memory/notes/*");
  const all = await texts(id);
  expect(all).toContain("harmless");
  for (const never of [CANARY, ...masterKeys]) expect(all).not.toContain(never);
  expect((await readdir(secret)).sort()).toEqual(["kept", "own", "theirs"]);
  for (const name of ["own", "theirs", "kept"]) expect(await readFile(join(secret, name), "utf8")).toBe(CANARY);
});

test("a read-only store, other stores, and what the host keeps of them are out of reach", async () => {
  const { memoryStores } = server.client.beta;
  const { id } = await memoryStores.create({ name: "rules" });
  const { id: foreign } = await memoryStores.create({ name: "foreign" });
  await memoryStores.memories.create(id, { path: "/rule", content: "as it was" });
  await memoryStores.memories.create(foreign, { path: "/secret", content: CANARY });
  const other = await openWith(foreign);
  expect(await bash(other, "cat /mnt/memory/foreign/secret")).toBe(CANARY);
  const session = await openWith(id, "read_only");
  const said = await bash(
    session,
    `cd /mnt/memory/rules; mount -o remount,rw .; mount -o remount,rw /mnt/memory/rules; chmod 777 . rule; mv rule moved; rm -f rule
     echo x > rule; echo x >> rule; ln -f rule /workspace/hard && echo x > /workspace/hard; touch -d 2020-01-01 rule; truncate -s 0 rule
     for f in /proc/self/fd/* /proc/self/root /proc/1/root; do echo x > $f/mnt/memory/rules/rule; done
     unshare -r mount --bind /workspace /mnt/memory/rules; ls -A /mnt/memory /mnt/memory/rules/..; ls /mnt/memory/rules/../../..; find / -name state.json -path '*memory*'
     cat ${server.dataDir}/sandbox/memory/*/*/files/*; cat /mnt/memory/rules/rule`,
  );
  expect(said).toMatch(/as it was$/);
  expect(said).not.toContain(CANARY);
  expect(said).not.toMatch(/^\S*state\.json$/m);
  expect(await texts(id)).toBe("/rule as it was\n");
  expect(await bash(await openWith(id), "cat /mnt/memory/rules/rule")).toBe("as it was");
});
