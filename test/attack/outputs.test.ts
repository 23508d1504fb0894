import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import Anthropic from "@anthropic-ai/sdk";
import { call, say } from "@sandbox0/testkit";
import { expect, test } from "vitest";
import { API_KEY, conformanceServer, TOOLSET } from "../conformance/fixture/conformance-server.ts";
import { message, type TestSession } from "../conformance/fixture/test-session.ts";

/**
 * The server reads what a session leaves as outputs, as the server's own user: whatever the session puts there, and swaps
 * while it is read, must not lead to a file of the host.
 */
const server = conformanceServer();
const ROUNDS = 6;
const CANARY = "canary-of-the-host";

async function bash(session: TestSession, command: string): Promise<void> {
  await session.send(message(server.play(call("bash", { command }), say("Done."))));
  await session.rest();
}

/** What anybody can get of the session's files, and their names. */
async function everything(session: TestSession): Promise<{ names: string[]; contents: string }> {
  const client = new Anthropic({ baseURL: server.url, apiKey: API_KEY, maxRetries: 0 });
  const names: string[] = [];
  let contents = "";
  for await (const file of client.beta.files.list({ scope_id: session.id, limit: 1_000 })) {
    names.push(file.filename);
    if (file.downloadable) contents += `${await (await client.beta.files.download(file.id)).text()}\n`;
  }
  return { names, contents };
}

test("files and directories that turn into links while they are read lead nowhere", async () => {
  const secretDir = join(server.dataDir, "secret");
  const secrets = [join(server.dataDir, "master-keys.json"), join(server.dataDir, "a-secret")];
  await writeFile(secrets[1] ?? "", CANARY);
  const masterKeys = (await readFile(secrets[0] ?? "", "utf8")).match(/[A-Za-z0-9+/=]{32,}/g) ?? [];
  expect(masterKeys.length).toBeGreaterThan(0);
  const session = await server.createSession({ agent: { make: { tools: [TOOLSET] } } });
  // Of this session's own making: both are what they seem only some of the time.
  await bash(
    session,
    `cd /mnt/session/outputs && mkdir -p real && echo harmless > real/a-secret && echo harmless > real/master-keys.json
     ln -s ${secrets[1]} link; ln -s ${server.dataDir} dir; ln -s ${secretDir} none; ln -s /proc/self/root proc
     nohup bash -c 'while :; do
       ln -sfn ${server.dataDir} swapped; rm -f swapped; cp -r real swapped; rm -rf swapped
       ln -sf ${secrets[1]} file; rm -f file; echo harmless > file
     done' >/dev/null 2>&1 &`,
  );
  for (let round = 0; round < ROUNDS; round++) await bash(session, `echo ${round} > /mnt/session/outputs/round`);
  const { names, contents } = await everything(session);
  expect(names).toEqual(expect.arrayContaining(["round", "a-secret", "master-keys.json"]));
  for (const never of ["link", "dir", "none", "proc"]) expect(names).not.toContain(never);
  expect(contents).toContain("harmless");
  for (const secret of [CANARY, ...masterKeys]) expect(contents).not.toContain(secret);
  await bash(session, "pkill -f swapped; rm -rf /mnt/session/outputs/*");
});

test("the mounted files of a session stay as they were, whatever it does to them", async () => {
  const file = await server.client.files.upload({ file: new File(["as it was"], "f") });
  const other = await server.client.files.upload({ file: new File(["another"], "g") });
  const session = await server.createSession({
    agent: { make: { tools: [TOOLSET] } },
    resources: [{ type: "file", file_id: file.id, mount_path: "d/f" }],
  });
  await bash(
    session,
    `cd /mnt/session/uploads; chmod -R 777 . ; echo x > d/f; mv d e; ln -s /etc d2; rm -rf d; mount -o remount,rw . ; mkdir d3
     ln -f d/f /workspace/hard && echo x >> /workspace/hard; cat d/f > /mnt/session/outputs/copy`,
  );
  // Added where the session may have tried to leave a trap.
  const { resources } = server.client.beta.sessions;
  await resources.add(session.id, { type: "file", file_id: other.id, mount_path: "d2/passwd" });
  await bash(session, "cat /mnt/session/uploads/d/f /mnt/session/uploads/d2/passwd > /mnt/session/outputs/copy");
  expect((await everything(session)).contents).toBe("as it wasanother\n");
});
