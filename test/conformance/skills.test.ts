import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { promisify } from "node:util";
import { toFile } from "@anthropic-ai/sdk";
import { setupSkills } from "@anthropic-ai/sdk/tools/agent-toolset/node";
import { fromBufferPromise } from "yauzl";
import { afterAll, expect } from "vitest";
import { conformanceServer } from "./fixture/conformance-server.ts";
import { refused, refusedAsInvalid, refusedAsUnknown } from "./fixture/refused.ts";
import { filesOf, skillMd, zipBytes, zipOf } from "./fixture/skill-files.ts";
import { verifies } from "./fixture/verifies.ts";

const server = conformanceServer();
const skills = () => server.client.beta.skills;
const versions = () => server.client.beta.skills.versions;
const directory = await mkdtemp(join(tmpdir(), "sandbox0-skills-"));
afterAll(() => rm(directory, { recursive: true }));

const create = async (files: Record<string, string | Buffer>, display_name?: string) =>
  skills().create({ files: await filesOf(files), ...(display_name === undefined ? {} : { display_name }) });
const simple = (name: string, description?: string) => ({ [`${name}/SKILL.md`]: skillMd(name, description) });
const download = async (skill_id: string, version: string): Promise<Buffer> =>
  Buffer.from(await (await versions().download(version, { skill_id })).arrayBuffer());

/** What an archive holds: contents and modes by path. */
async function unpack(bytes: Buffer): Promise<Record<string, { content: string; mode: number }>> {
  const zip = await fromBufferPromise(bytes, { lazyEntries: true });
  const files: Record<string, { content: string; mode: number }> = {};
  for await (const entry of zip.eachEntry()) {
    const content = await buffer(await zip.openReadStreamPromise(entry));
    files[entry.fileName] = { content: content.toString("latin1"), mode: (entry.externalFileAttributes >>> 16) & 0o777 };
  }
  return files;
}

verifies(["skills.lifecycle", "http.id-prefixes"], "a skill from its creation to its end", async () => {
  const skill = await create(simple("report-maker"), "Reports");
  expect(skill).toEqual({
    id: expect.stringMatching(/^skill_01\w+$/),
    type: "skill",
    display_name: "Reports",
    latest_version_id: expect.stringMatching(/^skver_01\w+$/),
    source: { type: "custom" },
    created_at: expect.stringMatching(/Z$/),
    updated_at: skill.created_at,
  });
  expect(await skills().retrieve(skill.id)).toEqual(skill);
  const other = await create(simple("report-maker"));
  expect(other.display_name).toBe("report-maker");
  expect((await skills().list({ limit: 2 })).data).toEqual([other, skill]);
  expect((await skills().list({ limit: 2, source: "custom" })).data).toEqual([other, skill]);
  expect((await skills().list({ source: "anthropic" })).data).toEqual([]);
  const walked = [];
  for await (const { id } of skills().list({ limit: 1 })) walked.push(id);
  expect(walked.slice(0, 2)).toEqual([other.id, skill.id]);
  for (const limit of [0, 101]) await refusedAsInvalid(skills().list({ limit }), /limit/);
  await refusedAsInvalid(create(simple("a"), "d".repeat(256)), /display_name/);
  await refusedAsInvalid(create(simple("a"), "two\nlines"), /display_name/);
  expect(await skills().delete(skill.id)).toEqual({ id: skill.id, type: "skill_deleted" });
  const at = { skill_id: skill.id };
  for (const gone of [
    () => skills().retrieve(skill.id),
    () => skills().delete(skill.id),
    () => versions().list(skill.id),
    () => versions().retrieve(skill.latest_version_id, at),
    () => versions().download(skill.latest_version_id, at),
    async () => versions().create(skill.id, { files: await filesOf(simple("report-maker")) }),
  ])
    await refusedAsUnknown(gone());
});

verifies("skills.versions", "each version is a snapshot of the same name", async () => {
  const skill = await create({ ...simple("maker", "First."), "maker/old.txt": "old" });
  const first = await versions().retrieve("latest", { skill_id: skill.id });
  expect(first).toEqual({
    id: skill.latest_version_id,
    type: "skill_version",
    skill_id: skill.id,
    name: "maker",
    description: "First.",
    created_at: skill.created_at,
  });
  const files = await filesOf({ "elsewhere/SKILL.md": skillMd("maker", "Second.") });
  const second = await versions().create(skill.id, { files });
  expect(second).toMatchObject({ name: "maker", description: "Second." });
  expect(await versions().retrieve("latest", { skill_id: skill.id })).toEqual(second);
  expect((await skills().retrieve(skill.id)).latest_version_id).toBe(second.id);
  expect((await versions().list(skill.id)).data).toEqual([second, first]);
  const walked = [];
  for await (const version of versions().list(skill.id, { limit: 1 })) walked.push(version);
  expect(walked).toEqual([second, first]);
  expect(Object.keys(await unpack(await download(skill.id, second.id)))).toEqual(["maker/SKILL.md"]);
  expect(Object.keys(await unpack(await download(skill.id, first.id)))).toEqual(["maker/SKILL.md", "maker/old.txt"]);
  const renamed = await filesOf(simple("other"));
  await refusedAsInvalid(versions().create(skill.id, { files: renamed }), /maker/);
  const at = { skill_id: skill.id };
  expect(await versions().delete(second.id, at)).toEqual({ id: second.id, type: "skill_version_deleted" });
  expect((await skills().retrieve(skill.id)).latest_version_id).toBe(first.id);
  await refusedAsInvalid(versions().delete(first.id, at), /last version/);
  await refusedAsInvalid(versions().delete("latest", at), /last version/);
  await refusedAsUnknown(versions().retrieve(second.id, at));
  await refusedAsUnknown(versions().retrieve("123", at));
});

verifies("skills.versions", "of deletes and uploads that race, one version is left and the order is one", async () => {
  const skill = await create(simple("racer"));
  const uploads = await Promise.all(
    Array.from({ length: 5 }, async (_, index) =>
      versions().create(skill.id, { files: await filesOf(simple("racer", `Version ${index}.`)) }),
    ),
  );
  const all = (await versions().list(skill.id)).data;
  expect(new Set(all.map(({ id }) => id))).toEqual(new Set([skill.latest_version_id, ...uploads.map(({ id }) => id)]));
  expect((await skills().retrieve(skill.id)).latest_version_id).toBe(all[0]?.id);
  const remove = (ids: string[]) => Promise.allSettled(ids.map((id) => versions().delete(id, { skill_id: skill.id })));
  await remove(all.slice(2).map(({ id }) => id));
  // Again and again: of the last two, both to be deleted at once, one stays.
  for (let round = 1; round <= 10; round++) {
    const ids = (await versions().list(skill.id)).data.map(({ id }) => id);
    expect(ids).toHaveLength(2);
    const outcomes = await remove([...ids, ...ids]);
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    await versions().create(skill.id, { files: await filesOf(simple("racer", `Round ${round}.`)) });
  }
});

verifies(["skills.download", "skills.zip"], "files come back as they were", async () => {
  const binary = Buffer.from(Array.from({ length: 512 }, (_, index) => index % 256));
  const skill = await create({
    ...simple("packed"),
    "packed/bin/data.bin": binary,
    "packed/docs/é日本.md": "text",
    "packed/empty.txt": "",
    "packed/archive.zip": "PK\u0003\u0004 is not looked into",
  });
  const bytes = await download(skill.id, skill.latest_version_id);
  expect(bytes.subarray(0, 4).toString("latin1")).toBe("PK\u0003\u0004");
  const files = await unpack(bytes);
  expect(Object.keys(files).sort()).toEqual(
    ["packed/SKILL.md", "packed/archive.zip", "packed/bin/data.bin", "packed/docs/é日本.md", "packed/empty.txt"].sort(),
  );
  expect(files["packed/bin/data.bin"]?.content).toBe(binary.toString("latin1"));
  const response = await server.request(`/v1/skills/${skill.id}/versions/latest/content`);
  expect(response.headers.get("content-type")).toBe("application/zip");
  expect(response.headers.get("content-disposition")).toContain("packed.zip");
  expect(Number(response.headers.get("content-length"))).toBe((await response.arrayBuffer()).byteLength);
});

verifies("skills.zip", "an archive, with its folder or without", async () => {
  const script = { content: "#!/bin/sh\n", mode: 0o100755 };
  const wrapped = await skills().create({
    files: await zipOf({
      "folder/SKILL.md": skillMd("zipped"),
      "folder/run.sh": script,
      "__MACOSX/folder/._SKILL.md": "junk",
      "folder/.DS_Store": "junk",
    }),
  });
  const bare = await skills().create({ files: await zipOf({ "SKILL.md": skillMd("zipped"), "scripts/run.sh": script }) });
  const unpacked = await unpack(await download(wrapped.id, "latest"));
  expect(unpacked).toEqual({
    "zipped/SKILL.md": { content: skillMd("zipped"), mode: 0o644 },
    "zipped/run.sh": { content: script.content, mode: 0o755 },
  });
  expect(Object.keys(await unpack(await download(bare.id, "latest")))).toEqual(["zipped/SKILL.md", "zipped/scripts/run.sh"]);
  const unnamed = await zipOf({ "from-folder/SKILL.md": "---\ndescription: d\n---" }, "x.bin");
  expect((await skills().create({ files: unnamed })).display_name).toBe("from-folder");
  // What was downloaded can be uploaded.
  const again = await toFile(await download(wrapped.id, "latest"), "again.zip");
  expect(await unpack(await download((await skills().create({ files: [again] })).id, "latest"))).toEqual(unpacked);
});

verifies("skills.top-folder", "one top folder, with SKILL.md in it", async () => {
  const observed = /SKILL\.md must be exactly in the top-level folder/;
  const md = skillMd("s");
  for (const files of [{ "SKILL.md": md }, { "s/readme.md": "x" }, { "s/inner/SKILL.md": md }, { "s/skill.md": md }]) {
    await refusedAsInvalid(create(files), observed);
  }
  await refusedAsInvalid(create({ "s/SKILL.md": md, "t/x": "x" }), /same top-level folder/);
  await refusedAsInvalid(skills().create({ files: await zipOf({ "a/b/SKILL.md": md }) }), observed);
  await refusedAsInvalid(skills().create({ files: await zipOf({ "a/x": "", "b/SKILL.md": md }) }), /top-level folder/);
});

verifies("skills.front-matter", "what SKILL.md must say", async () => {
  const named = (name: string) => ({ "dir/SKILL.md": `---\nname: ${name}\ndescription: d\n---\n` });
  const text = (md: string | Buffer) => ({ "dir/SKILL.md": md });
  for (const name of ["a", "9-lives", "n".repeat(64)]) expect((await create(named(name))).display_name).toBe(name);
  expect((await create(text("---\ndescription: d\n---"))).display_name).toBe("dir");
  expect((await create(text("\uFEFF---\r\nname: crlf\r\ndescription: d\r\n---\r\nx"))).display_name).toBe("crlf");
  const folded = await create(
    text("---\nname: folded\ndescription: >\n  one\n  two\nlicense: MIT\nmetadata: {a: [1]}\n---\n---\n"),
  );
  expect(await versions().retrieve("latest", { skill_id: folded.id })).toMatchObject({ description: "one two" });
  const longest = "d".repeat(1_024);
  const long = await create(simple("long", longest));
  expect((await versions().retrieve("latest", { skill_id: long.id })).description).toBe(longest);
  for (const name of [
    "Upper",
    "under_score",
    "sp ace",
    "n".repeat(65),
    '""',
    "-x",
    "my-claude",
    "anthropic-x",
    "é",
    "[a]",
    "5",
    "../x",
  ])
    await refusedAsInvalid(create(named(name)), /SKILL\.md\.name/);
  for (const [md, about] of [
    ["", /front matter/],
    ["# No front matter", /front matter/],
    ["---\nname: a\ndescription: d\n", /front matter/],
    ["---\n---\n", /mapping/],
    ["---\n- a\n---\n", /mapping/],
    ["---\nname: a\n---\n", /description/],
    ["---\nname: a\ndescription: ''\n---\n", /description/],
    ["---\nname: a\ndescription: [x]\n---\n", /description/],
    [`---\nname: a\ndescription: ${"d".repeat(1_025)}\n---\n`, /description/],
    ['---\nname: a\ndescription: "nul \\0"\n---\n', /description/],
    ["---\nname: a\ndescription: b: c\n---\n", /YAML/],
    ["---\nname: a\nname: b\ndescription: c\n---\n", /YAML/],
    [
      "---\na: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n---\n",
      /YAML/,
    ],
    [Buffer.from("---\nname: a\ndescription: caf\xe9\n---\n", "latin1"), /UTF-8/],
    [Buffer.concat([Buffer.from(skillMd("a")), Buffer.alloc(1024 * 1024, "x")]), /1048576/],
  ] as [string | Buffer, RegExp][])
    await refusedAsInvalid(create(text(md)), about);
});

verifies(["skills.hostile", "skills.limits"], "what an upload must not do", async () => {
  const md = skillMd("s");
  const before = (await skills().list({ limit: 100 })).data.length;
  for (const path of [
    "s/../../etc/passwd",
    "s//x",
    "s/./x",
    "s/a\\b",
    "/s/x",
    "s/x/",
    `s/${"x".repeat(256)}`,
    `s/${"d/".repeat(40)}x`,
  ])
    expect([path, await refusedAsInvalid(create({ "s/SKILL.md": md, [path]: "x" }))]).toEqual([
      path,
      expect.stringMatching(/path|folder/),
    ]);
  await refusedAsInvalid(create({ "s/SKILL.md": md, "s/a": "x", "s/a/b": "x" }), /file and a directory/);
  const twice = [...(await filesOf({ "s/SKILL.md": md, "s/a": "1" })), ...(await filesOf({ "s/a": "2" }))];
  await refusedAsInvalid(skills().create({ files: twice }), /twice/);
  await refusedAsInvalid(skills().create({ files: [] }), /files/);
  const many = Object.fromEntries(Array.from({ length: 2_001 }, (_, index) => [`s/${index}`, ""]));
  await refusedAsInvalid(create({ ...many, "s/SKILL.md": md }), /2000 files/);
  for (const [path, entry] of Object.entries({
    link: { content: "/etc/passwd", mode: 0o120777 },
    device: { content: "", mode: 0o060644 },
    fifo: { content: "", mode: 0o010644 },
  }))
    await refusedAsInvalid(skills().create({ files: await zipOf({ "s/SKILL.md": md, [`s/${path}`]: entry }) }), /neither a file/);
  const good = await zipBytes({ "s/SKILL.md": md, "s/aaaaaaaa": { content: Buffer.alloc(100_000, "long ".repeat(9)) } });
  const patched = (from: string, to: string): Buffer => Buffer.from(good.toString("latin1").replaceAll(from, to), "latin1");
  for (const path of ["../../aa", "/aaaaaaa", "s\\..\\..a".padEnd(10, "a"), "C:/aaaaaa"]) {
    const name = path.padEnd(10, "a").slice(0, 10);
    await refusedAsInvalid(
      skills().create({ files: [await toFile(patched("s/aaaaaaaa", name), "s.zip")] }),
      /path|fileName|file name/i,
    );
  }
  const broken = (change: (bytes: Buffer) => void): Buffer => {
    const copy = Buffer.from(good);
    change(copy);
    return copy;
  };
  const central = good.indexOf("PK\u0001\u0002", good.indexOf("PK\u0001\u0002") + 4, "latin1");
  const local = good.indexOf("PK\u0003\u0004", 4, "latin1");
  for (const bytes of [
    Buffer.alloc(0),
    good.subarray(0, good.length / 2),
    Buffer.from("PK\u0003\u0004", "latin1"),
    broken((copy) => copy.writeUInt16LE(1, central + 8)),
    broken((copy) => copy.writeUInt16LE(99, central + 10)),
    broken((copy) => copy.writeUInt32LE(7, central + 16)),
    broken((copy) => copy.writeUInt32LE(1_000, central + 24)),
    broken((copy) => copy.writeUInt32LE(200_000, central + 24)),
    broken((copy) => copy.fill(0xff, local + 60, local + 90)),
  ])
    await refusedAsInvalid(skills().create({ files: [await toFile(bytes, "s.zip")] }), /files/);
  expect((await skills().list({ limit: 100 })).data).toHaveLength(before);
});

verifies(["skills.limits", "skills.hostile"], "what is too large, packed or unpacked", async () => {
  const big = Buffer.alloc(16 * 1024 * 1024);
  const tooLarge = { status: 413, type: "request_too_large" };
  expect(await refused(create({ ...simple("s"), "s/a": big, "s/b": big }))).toMatchObject(tooLarge);
  const zeroes = { content: big };
  const bomb = await zipOf({ "s/SKILL.md": skillMd("s"), "s/a": zeroes, "s/b": zeroes });
  expect(bomb[0]?.size).toBeLessThan(100_000);
  expect(await refused(skills().create({ files: bomb }))).toMatchObject(tooLarge);
  // An archive that says less than it holds.
  const [file] = await zipOf({ "s/SKILL.md": skillMd("s"), "s/a": zeroes });
  const lying = Buffer.from((await file?.arrayBuffer()) ?? new ArrayBuffer(0));
  const central = lying.lastIndexOf("PK\u0001\u0002", undefined, "latin1");
  lying.writeUInt32LE(10, central + 24);
  await refusedAsInvalid(skills().create({ files: [await toFile(lying, "s.zip")] }), /zip archive/);
  const just = await create({ ...simple("s"), "s/a": Buffer.alloc(29 * 1024 * 1024) });
  expect((await unpack(await download(just.id, "latest")))["s/a"]?.content).toHaveLength(29 * 1024 * 1024);
});

verifies("skills.isolation", "another workspace sees nothing of it", async () => {
  const response = await server.request("/sandbox0/v1/api_keys", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ name: "stranger", workspace: "elsewhere" }),
  });
  const stranger = server.clientOf(((await response.json()) as { key: string }).key).beta.skills;
  const skill = await create(simple("ours"));
  const at = { skill_id: skill.id };
  const files = await filesOf(simple("ours"));
  for (const call of [
    () => stranger.retrieve(skill.id),
    () => stranger.delete(skill.id),
    () => stranger.versions.create(skill.id, { files }),
    () => stranger.versions.list(skill.id),
    () => stranger.versions.retrieve(skill.latest_version_id, at),
    () => stranger.versions.download(skill.latest_version_id, at),
    () => stranger.versions.delete(skill.latest_version_id, at),
  ])
    await refusedAsUnknown(call());
  expect((await stranger.list()).data).toEqual([]);
  const theirs = await stranger.create({ files: await filesOf(simple("theirs")) });
  await refusedAsUnknown(stranger.versions.download(skill.latest_version_id, { skill_id: theirs.id }));
});

verifies("skills.legacy", "the shapes before", async () => {
  const legacy = { headers: { "anthropic-beta": "skills-2025-10-02" } };
  const json = async (path: string, init: RequestInit = {}) => {
    const response = await server.request(path, { ...init, ...legacy });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };
  const form = new FormData();
  form.append("display_title", "Old");
  form.append("files[]", new Blob([skillMd("old")]), "old/SKILL.md");
  const { body: skill } = await json("/v1/skills", { method: "POST", body: form });
  expect(skill).toEqual({
    id: expect.stringMatching(/^skill_/),
    type: "skill",
    display_title: "Old",
    latest_version: expect.stringMatching(/^\d{16}$/),
    source: "custom",
    created_at: expect.any(String),
    updated_at: expect.any(String),
  });
  const url = `/v1/skills/${String(skill.id)}`;
  const { body: list } = await json("/v1/skills?limit=1");
  expect(list).toEqual({ data: [skill], has_more: true, next_page: expect.any(String) });
  const number = String(skill.latest_version);
  const { body: version } = await json(`${url}/versions/${number}`);
  expect(version).toMatchObject({ type: "skill_version", version: number, directory: "old", name: "old" });
  expect((await json(`${url}/versions`)).body).toEqual({ data: [version], has_more: false, next_page: null });
  expect(await json(url, { method: "DELETE" })).toMatchObject({ status: 400 });
  const deleted = await json(`${url}/versions/${number}`, { method: "DELETE" });
  expect(deleted.body).toEqual({ id: number, type: "skill_version_deleted" });
  expect((await json(url)).body).toMatchObject({ latest_version: null });
  await refusedAsUnknown(skills().retrieve(String(skill.id)));
  expect((await skills().list({ limit: 100 })).data.map(({ id }) => id)).not.toContain(skill.id);
  expect((await json(url, { method: "DELETE" })).body).toEqual({ id: skill.id, type: "skill_deleted" });
});

verifies("skills.worker", "the worker's own code finds the skill of a session, and unpacks it", async () => {
  const skill = await skills().create({
    files: await zipOf({ "w/SKILL.md": skillMd("worked"), "w/run.sh": { content: "#!/bin/sh\n", mode: 0o100755 } }),
  });
  const session = await server.createSession({
    agent: { make: { tools: [{ type: "agent_toolset_20260401" }], skills: [{ type: "custom", skill_id: skill.id }] } },
  });
  const retrieved = await server.client.beta.sessions.retrieve(session.id);
  expect(retrieved.agent.skills).toEqual([{ type: "custom", skill_id: skill.id, version: skill.latest_version_id }]);
  const cleanup = await setupSkills({ client: server.client, session: retrieved, workdir: directory });
  const unpacked = join(directory, "skills", "worked");
  expect((await readdir(unpacked)).sort()).toEqual(["SKILL.md", "run.sh"]);
  expect(await readFile(join(unpacked, "SKILL.md"), "utf8")).toBe(skillMd("worked"));
  expect((await stat(join(unpacked, "run.sh"))).mode & 0o777).toBe(0o755);
  await promisify(execFile)(join(unpacked, "run.sh"));
  await cleanup();
});

verifies("agents.skills", "an agent keeps the version that was the newest, until it is asked for the newest again", async () => {
  const skill = await create(simple("followed"));
  const other = await create(simple("pinned"));
  const { agents } = server.client.beta;
  const unpinned = { type: "custom" as const, skill_id: skill.id };
  const unknown = { type: "custom" as const, skill_id: "skill_011111111111111111111111" };
  const pinned = { type: "custom" as const, skill_id: other.id, version: "latest" };
  const agent = await server.createAgent({ skills: [unpinned, pinned, unknown] });
  const first = { ...unpinned, version: skill.latest_version_id };
  expect(agent.skills).toEqual([first, pinned, { ...unknown, version: "latest" }]);
  const next = await versions().create(skill.id, { files: await filesOf(simple("followed")) });
  expect((await agents.retrieve(agent.id)).skills[0]).toEqual(first);
  expect((await agents.update(agent.id, { name: "renamed" })).skills[0]).toEqual(first);
  const updated = await agents.update(agent.id, { skills: [unpinned] });
  expect(updated).toMatchObject({ version: 3, skills: [{ ...unpinned, version: next.id }] });
  expect((await agents.update(agent.id, { skills: [unpinned] })).version).toBe(3);
  const session = await server.createSession({
    agent: {
      type: "agent_with_overrides",
      id: agent.id,
      skills: [
        { ...unpinned, version: first.version },
        { ...pinned, version: null },
      ],
    },
  });
  expect(session.created.agent.skills).toEqual([first, { ...pinned, version: other.latest_version_id }]);
});
