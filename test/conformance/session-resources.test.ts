import Anthropic, { toFile } from "@anthropic-ai/sdk";
import { call, say } from "@sandbox0/testkit";
import { expect } from "vitest";
import { API_KEY, conformanceServer, MODEL, TOOLSET } from "./fixture/conformance-server.ts";
import { refused, refusedAsInvalid, refusedAsUnknown } from "./fixture/refused.ts";
import { message, only, saidBy, type TestSession, textOf } from "./fixture/test-session.ts";
import { verifies } from "./fixture/verifies.ts";

const server = conformanceServer();
const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

const resources = () => server.client.beta.sessions.resources;
const upload = async (content: string | Buffer, name = "data.csv", type = "text/csv") =>
  server.client.files.upload({ file: await toFile(Buffer.from(content), name, { type }) });
/** Past the check of answers, which reads them as text. */
const download = async (id: string) => {
  const client = new Anthropic({ baseURL: server.url, apiKey: API_KEY, maxRetries: 0 });
  return Buffer.from(await (await client.beta.files.download(id)).arrayBuffer()).toString();
};
const filesOf = async (session: TestSession) =>
  (await server.client.beta.files.list({ scope_id: session.id, limit: 1_000 })).data;
const open = (given: NonNullable<Anthropic.Beta.Sessions.SessionCreateParams["resources"]> = []) =>
  server.createSession({ agent: { make: { tools: [TOOLSET] } }, resources: given });

/** Runs a command in one turn; gives what it printed. */
async function bash(session: TestSession, command: string): Promise<string> {
  const marker = server.play(call("bash", { command }), say("Done."));
  await session.send(message(marker));
  const events = await session.rest();
  expect(saidBy(events).at(-1)).toBe("Done.");
  const result = only(events, "agent.tool_result").at(-1);
  return result === undefined ? "" : textOf(result);
}

verifies(
  ["resources.file", "resources.file-path", "resources.uploads-link", "resources.api"],
  "files are where the session reads them, and cannot be written",
  async () => {
    const csv = await upload("a,b\n1,2\n");
    const session = await open([
      { type: "file", file_id: csv.id, mount_path: "data.csv" },
      { type: "file", file_id: csv.id, mount_path: "/mnt/session/uploads/deep/er/data.csv" },
      { type: "file", file_id: csv.id },
    ]);
    const listed = await resources().list(session.id);
    expect(session.created.resources).toEqual(listed.data);
    expect(listed.data.map((resource) => resource.mount_path)).toEqual([
      "/mnt/session/uploads/data.csv",
      "/mnt/session/uploads/deep/er/data.csv",
      `/mnt/session/uploads/${csv.id}`,
    ]);
    const said = await bash(
      session,
      `cat /mnt/session/uploads/data.csv /uploads/deep/er/data.csv /mnt/session/uploads/${csv.id} | grep -c 1,2
       touch /mnt/session/uploads/new; echo x >> /mnt/session/uploads/data.csv; rm -f /mnt/session/uploads/data.csv
       chmod u+w /mnt/session/uploads/data.csv; cat /uploads/data.csv`,
    );
    expect(said).toMatch(/^3\n/);
    expect(said.match(/Read-only file system|Permission denied|Operation not permitted/g)).toHaveLength(4);
    expect(said).toContain("a,b\n1,2");
    // The model was told where they are.
    expect(server.provider.requests.at(-1)?.system).toContain("/mnt/session/uploads/deep/er/data.csv");
    expect(await filesOf(session)).toHaveLength(3);
  },
);

verifies("resources.file-path", "no path leads out, and no two resources are at one place", async () => {
  const { id: file_id } = await upload("x");
  const at = (...paths: string[]) => open(paths.map((mount_path) => ({ type: "file" as const, file_id, mount_path })));
  for (const bad of ["../x", "a/../../../etc/passwd", "/mnt/session/uploads/../outputs/x", "/", "dir/", "a/./b"])
    await refusedAsInvalid(at("good", bad), /^resources\[1\]\.mount_path: /);
  await refusedAsInvalid(at("a", "/mnt/session/uploads/a"), /cannot both be/);
  await refusedAsInvalid(at("a/b", "a"), /inside/);
  const session = await at("/mnt/session/uploads/mnt/session/uploads/x", "/workspace/x");
  expect(session.created.resources.map((resource) => resource.mount_path)).toEqual([
    "/mnt/session/uploads/mnt/session/uploads/x",
    "/mnt/session/uploads/workspace/x",
  ]);
});

verifies(["resources.file-runtime", "resources.api"], "files come and go while the session lives", async () => {
  const one = await upload("one");
  const two = await upload("two");
  const session = await open();
  expect(await bash(session, "ls -A /mnt/session/uploads | wc -l")).toBe("0");
  const added = await resources().add(session.id, { type: "file", file_id: one.id, mount_path: "a" });
  expect(added.file_id).not.toBe(one.id);
  expect(await bash(session, "cat /mnt/session/uploads/a")).toContain("one");
  expect(await resources().retrieve(added.id, { session_id: session.id })).toEqual(added);
  await refusedAsInvalid(resources().update(added.id, { session_id: session.id, authorization_token: "t" }));

  await resources().delete(added.id, { session_id: session.id });
  await refusedAsUnknown(resources().retrieve(added.id, { session_id: session.id }));
  await refusedAsUnknown(server.client.beta.files.retrieveMetadata(added.file_id));
  await resources().add(session.id, { type: "file", file_id: two.id, mount_path: "a" });
  expect(await bash(session, "cat /mnt/session/uploads/a")).toContain("two");
  expect((await session.retrieve()).resources).toHaveLength(1);
});

verifies("resources.file-runtime", "a file that is added while a turn runs is there for its next call", async () => {
  const file = await upload("in the middle of it");
  const session = await open();
  const gate = server.sandboxGate();
  const marker = server.play(
    call("bash", { command: gate.command }),
    call("bash", { command: "cat /mnt/session/uploads/late" }),
    say("Done."),
  );
  await session.send(message(marker));
  await gate.reached();
  await resources().add(session.id, { type: "file", file_id: file.id, mount_path: "late" });
  await gate.open();
  const results = only(await session.rest(), "agent.tool_result");
  expect(textOf(results.at(-1) as never)).toContain("in the middle of it");
});

verifies("resources.limits", "what is too much, or not there", async () => {
  const { id: file_id } = await upload("x");
  const many = (count: number) =>
    Array.from({ length: count }, (_, nth) => ({ type: "file" as const, file_id, mount_path: `d${nth % 9}/f${nth}` }));
  await refusedAsInvalid(open(many(501)), /resources/);
  await refusedAsInvalid(open([{ type: "file", file_id: "file_01x" }]), "File `file_01x` not found.");
  const session = await open(many(500));
  await refusedAsInvalid(resources().add(session.id, { type: "file", file_id, mount_path: "more" }), /at most 500/);
  expect(await bash(session, "find /mnt/session/uploads -type f | wc -l")).toContain("500");
  const store = await server.client.beta.memoryStores.create({ name: "s" });
  const stores = Array.from({ length: 9 }, () => ({ type: "memory_store" as const, memory_store_id: store.id }));
  await refusedAsInvalid(open(stores), /8/);
  await refusedAsInvalid(open([{ type: "memory_store", memory_store_id: "memstore_01x" }]), /not found/);
});

verifies(["resources.repository-token", "resources.repository-url"], "a repository's address and token", async () => {
  const repository = (url: string) => ({ type: "github_repository" as const, url, authorization_token: "ghp_of-the-test" });
  for (const bad of ["https://github.com/o/r.git", "git@github.com:o/r", "http://github.com/o/r", "https://github.com/o"])
    await refusedAsInvalid(server.createSession({ resources: [repository(bad)] }), /url/);
  const session = await server.createSession({ resources: [repository("https://github.com/octo/hello")] });
  const [given] = session.created.resources;
  expect(given).toMatchObject({ type: "github_repository", mount_path: "/workspace/hello" });
  const id = given && "id" in given ? given.id : "";
  const rotated = await resources().update(id, { session_id: session.id, authorization_token: "ghp_another" });
  const shown = JSON.stringify([session.created, rotated, await session.retrieve(), (await resources().list(session.id)).data]);
  expect(shown).not.toContain("ghp_");
  await refusedAsInvalid(resources().delete(id, { session_id: session.id }));
});

verifies(["resources.memory-store", "resources.list-filter"], "a memory store as it was when the session was made", async () => {
  const store = await server.client.beta.memoryStores.create({ name: "User Preferences", description: "likes" });
  const session = await server.createSession({ resources: [{ type: "memory_store", memory_store_id: store.id }] });
  await server.client.beta.memoryStores.update(store.id, { name: "other" });
  const [given] = (await session.retrieve()).resources;
  expect(given).toEqual({
    type: "memory_store",
    memory_store_id: store.id,
    access: "read_write",
    instructions: null,
    name: "User Preferences",
    description: "likes",
    mount_path: "/mnt/memory/user-preferences",
  });
  expect((await server.client.beta.sessions.list({ memory_store_id: store.id })).data.map(({ id }) => id)).toEqual([session.id]);
  const added = resources().add(session.id, { type: "memory_store", memory_store_id: store.id } as never);
  await refusedAsInvalid(added, /only a resource of type `file`/);
  await server.client.beta.memoryStores.archive(store.id);
  await refusedAsInvalid(server.createSession({ resources: [{ type: "memory_store", memory_store_id: store.id }] }), /archived/);
});

verifies(["outputs.listed", "outputs.same-file", "outputs.session-delete"], "in and out again: outputs are files", async () => {
  const csv = await upload("a\n1\n2\n");
  const session = await open([{ type: "file", file_id: csv.id, mount_path: "data.csv" }]);
  const marker = server.play(
    call("bash", {
      command: "awk 'NR > 1 { sum += $1 } END { print sum }' /mnt/session/uploads/data.csv > /mnt/session/outputs/sum.txt",
    }),
    call("write", { file_path: "/mnt/session/outputs/charts/plot.svg", content: "<svg/>" }),
    say("Done."),
  );
  const stream = await session.stream();
  await session.send(message(marker));
  await stream.until((events) => events.some(({ type }) => type === "session.status_idle"));
  // Not a moment later.
  const outputs = new Map(
    (await filesOf(session)).filter(({ downloadable }) => downloadable).map((file) => [file.filename, file]),
  );
  expect([...outputs.keys()].sort()).toEqual(["plot.svg", "sum.txt"]);
  const sum = outputs.get("sum.txt");
  expect(sum).toMatchObject({ mime_type: "text/plain", scope: { type: "session", id: session.id } });
  expect(await download(sum?.id ?? "")).toBe("3\n");
  expect(outputs.get("plot.svg")?.mime_type).toBe("image/svg+xml");

  await bash(session, "echo four > /mnt/session/outputs/sum.txt");
  expect(await download(sum?.id ?? "")).toBe("four\n");
  expect((await filesOf(session)).filter(({ downloadable }) => downloadable)).toHaveLength(2);

  await server.client.beta.sessions.delete(session.id);
  await refusedAsUnknown(server.client.beta.files.retrieveMetadata(sum?.id ?? ""));
  expect((await server.client.files.retrieveMetadata(csv.id)).id).toBe(csv.id);
});

verifies("outputs.inside", "nothing outside is ever listed", async () => {
  const session = await open();
  await bash(
    session,
    `cd /mnt/session/outputs && ln -s /etc/passwd passwd && ln -s / root && ln -s ../uploads up && mkfifo pipe
     printf x > 'a:b?' && printf y > $'new\\nline' && printf z > good.txt && mkdir closed && printf c > closed/c && chmod 000 closed/c`,
  );
  const names = (await filesOf(session)).map(({ filename }) => filename).sort();
  expect(names).toEqual(["a_b_", "c", "good.txt", "new_line"]);
});

verifies("resources.message-files", "files in messages reach the model of each provider", async () => {
  const image = await upload(Buffer.from(PIXEL, "base64"), "p.png", "image/png");
  const text = await upload("The word is rhubarb.", "notes.md", "text/markdown");
  const zip = await upload("PK", "a.zip", "application/zip");
  const block = (type: "image" | "document", file_id: string) => ({ type, source: { type: "file" as const, file_id } });
  for (const model of [MODEL, "gpt-next"]) {
    const session = await server.createSession({ agent: { make: { model } } });
    const marker = server.play(say("Seen."), say("Still."));
    const content = [{ type: "text" as const, text: marker }, block("image", image.id), block("document", text.id)];
    const [sent] = await session.send({ type: "user.message", content });
    // The log has what was sent, not what it stands for.
    expect(sent).toMatchObject({ content });
    expect(saidBy(await session.rest())).toEqual(["Seen."]);
    const body = JSON.stringify(server.requests(marker)[0]?.body);
    expect(body).toContain(PIXEL);
    expect(body).toContain("The word is rhubarb.");
  }
  const session = await server.createSession();
  const send = (...content: ReturnType<typeof block>[]) => session.send({ type: "user.message", content });
  await refusedAsInvalid(send(block("image", text.id)), /^events\[0\]\.content\[0\]\.source\.file_id: .*text\/markdown/);
  await refusedAsInvalid(send(block("document", zip.id)), /application\/zip/);
  await refusedAsInvalid(send(block("document", "file_01x")), "File `file_01x` not found.");
  const initial_events = [{ type: "user.message" as const, content: [block("image", "file_01x")] }];
  await refusedAsInvalid(server.createSession({ initial_events }), /^initial_events\[0\]\.content\[0\]/);
  expect((await refused(send(block("image", zip.id)))).status).toBe(400);
  expect(await session.events()).toEqual([]);
});
