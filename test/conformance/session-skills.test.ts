import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { AgentCreateParams } from "@anthropic-ai/sdk/resources/beta/agents/agents";
import { asOffered, call, say } from "@sandbox0/testkit";
import { afterAll, expect } from "vitest";
import { agentOn, VENDOR_HARNESSES } from "../harnesses/vendor-harnesses.ts";
import { conformanceServer, MODEL, TOOLSET } from "./fixture/conformance-server.ts";
import { refusedAsInvalid, refusedAsUnknown } from "./fixture/refused.ts";
import { filesOf, skillMd, zipOf } from "./fixture/skill-files.ts";
import { message, only, saidBy, textOf, type TestSession } from "./fixture/test-session.ts";
import { verifies } from "./fixture/verifies.ts";

/** What the operator of the server of this file provides. */
const published = await mkdtemp(join(tmpdir(), "sandbox0-published-"));
afterAll(() => rm(published, { recursive: true }));
const provide = async (path: string, content: string, mode = 0o644): Promise<void> => {
  await mkdir(join(published, path, ".."), { recursive: true });
  await writeFile(join(published, path), content, { mode });
};

const server = conformanceServer({ SANDBOX0_SKILLS_DIR: published });
const skills = () => server.client.beta.skills;
type Skills = NonNullable<AgentCreateParams["skills"]>;

const script = { content: '#!/bin/sh\necho "ran with $1"\n', mode: 0o100755 };
const upload = async (name: string, description?: string, more: Parameters<typeof zipOf>[0] = {}) =>
  skills().create({ files: await zipOf({ [`${name}/SKILL.md`]: skillMd(name, description), ...more }) });
const open = (agentSkills: Skills, extra: Partial<AgentCreateParams> = {}) =>
  server.createSession({ agent: { make: { tools: [TOOLSET], ...extra, skills: agentSkills } } });
const custom = (skill_id: string, version?: string) => ({ type: "custom" as const, skill_id, ...(version ? { version } : {}) });
const theirs = (skill_id: string, version?: string) => ({
  type: "anthropic" as const,
  skill_id,
  ...(version ? { version } : {}),
});
const bash = (command: string) => asOffered(() => call("bash", { command }));
const read = (file_path: string) => asOffered(() => call("read", { file_path }));

/** Plays the calls in one turn; gives the system prompt that the model had, and what each call answered. */
async function turn(session: TestSession, ...calls: ReturnType<typeof bash>[]): Promise<{ system: string; texts: string[] }> {
  const before = only(await session.events(), "agent.tool_result").length;
  const marker = server.play(...calls, say("Done."));
  await session.send(message(marker));
  const events = await session.rest();
  expect(saidBy(events).at(-1)).toBe("Done.");
  const texts = only(events, "agent.tool_result").slice(before).map(textOf);
  return { system: server.requests(marker)[0]?.system ?? "", texts };
}
const errors = async (session: TestSession): Promise<string[]> =>
  only(await session.events(), "session.error").map(({ error }) => String(error.message));

for (const harness of [{ name: "sandpi", model: MODEL }, ...VENDOR_HARNESSES])
  verifies("skills.in-session", `${harness.name}: a skill is announced, read, and its script run`, async () => {
    const skill = await upload("report-maker", "Makes reports. Use it for every report.", {
      "report-maker/scripts/run.sh": script,
      "report-maker/reference/long.md": "only when needed",
    });
    const agent = harness.name === "sandpi" ? { model: MODEL } : agentOn(harness as (typeof VENDOR_HARNESSES)[number]);
    const session = await open([custom(skill.id)], { ...agent, system: "You are careful." });
    const { system, texts } = await turn(
      session,
      read("/mnt/skills/report-maker/SKILL.md"),
      bash("/mnt/skills/report-maker/scripts/run.sh it; cat /mnt/skills/report-maker/reference/long.md"),
    );
    expect(system).toContain("You are careful.");
    expect(system).toContain("- report-maker (/mnt/skills/report-maker/SKILL.md): Makes reports. Use it for every report.");
    expect(system, "what is in the skill is read when it is needed").not.toContain("# How");
    expect(texts[0]).toContain("# How");
    expect(texts[1]).toContain("ran with it\nonly when needed");
    expect(await errors(session)).toEqual([]);
  });

verifies("skills.in-session", "what a session has of a skill cannot be changed in its sandbox", async () => {
  const skill = await upload("kept", undefined, { "kept/run.sh": script });
  const session = await open([custom(skill.id)]);
  const { texts } = await turn(
    session,
    bash("cd /mnt/skills/kept; find . -printf '%M %p\\n' | sort -k 2; find /mnt/skills -user agent; (echo x > SKILL.md) 2>&1"),
    bash("chmod 777 /mnt/skills/kept/SKILL.md; rm -rf /mnt/skills/kept; touch /mnt/skills/new; ls /mnt/skills /mnt/skills/kept"),
    asOffered(() => call("edit", { file_path: "/mnt/skills/kept/SKILL.md", old_string: "How", new_string: "x" })),
  );
  expect(texts[0]).toContain("drwxr-xr-x .\n-rw-r--r-- ./SKILL.md\n-rwxr-xr-x ./run.sh");
  expect(texts[0]).toMatch(/Read-only file system/);
  expect(texts[1]).toMatch(/\/mnt\/skills:\s*kept\s+\/mnt\/skills\/kept:\s*SKILL\.md\s+run\.sh/);
  expect(texts[2]).toMatch(/read-only/);
});

verifies("skills.late-bound", "a session keeps the version it began with, whatever becomes of it", async () => {
  const first = await upload("follow", "The first.", { "follow/old.txt": "1" });
  const latest = custom(first.id, "latest");
  const [session, pinned] = [await open([latest]), await open([custom(first.id, first.latest_version_id)])];
  const list = bash("cd /mnt/skills/follow && ls && grep description SKILL.md");
  expect((await turn(session, list)).texts[0]).toMatch(/SKILL\.md\s+old\.txt\s+description: The first/);
  const second = await skills().versions.create(first.id, {
    files: await filesOf({ "follow/SKILL.md": skillMd("follow", "The second."), "follow/new.txt": "2" }),
  });
  const later = await turn(session, list);
  expect(later.system).toContain("The first.");
  expect(later.texts[0]).toMatch(/SKILL\.md\s+old\.txt\s+description: The first/);
  expect((await turn(pinned, list)).texts[0]).toContain("The first.");
  const fresh = await turn(await open([latest]), list);
  expect(fresh.system).toContain("The second.");
  expect(fresh.texts[0]).toMatch(/SKILL\.md\s+new\.txt\s+description: The second/);
  // Each named version has a place of its own.
  const both = await open([custom(first.id, second.id), custom(first.id, first.latest_version_id), latest, latest]);
  const { system, texts } = await turn(both, bash("cd /mnt/skills; ls -d * */*.txt"));
  expect(texts[0]?.split("\n").filter(Boolean)).toEqual([
    "follow",
    "follow-2",
    "follow-2/old.txt",
    "follow-3",
    "follow-3/new.txt",
    "follow/new.txt",
  ]);
  expect(system.match(/^- follow/gm)).toHaveLength(3);
  await skills().delete(first.id);
  expect((await turn(pinned, list)).texts[0]).toContain("The first.");
});

verifies("skills.missing", "a skill that is not there is said once, and the session goes on", async () => {
  const gone = await upload("gone");
  const good = await upload("good");
  const agent = await server.createAgent({
    tools: [TOOLSET],
    skills: [custom(gone.id), custom(good.id, "skver_011111111111111111111111"), theirs("nowhere"), custom(good.id)],
  });
  await skills().delete(gone.id);
  const session = await server.createSession({ agent: agent.id });
  const { system, texts } = await turn(session, bash("ls /mnt/skills"));
  expect(texts[0]?.trim()).toBe("good");
  expect(system).not.toContain("gone");
  const [said, ...more] = await errors(session);
  expect(said).toContain("goes on without 3 skills");
  for (const part of [`\`${gone.id}\``, "skver_011111111111111111111111", "`nowhere`", "SANDBOX0_SKILLS_DIR"])
    expect(said).toContain(part);
  expect(more).toEqual([]);
  // It is looked for again.
  await provide("nowhere/SKILL.md", skillMd("nowhere", "Was provided late."));
  expect((await turn(session, bash("ls /mnt/skills"))).texts[0]).toMatch(/good\s+nowhere/);
  expect(await errors(session)).toHaveLength(1);
});

verifies("skills.needs-read", "an agent that cannot read has no skills", async () => {
  const skill = await upload("unread");
  const blind = { ...TOOLSET, configs: [{ name: "read" as const, enabled: false }] };
  const session = await open([custom(skill.id)], { tools: [blind] });
  const { system, texts } = await turn(session, bash("ls /mnt/skills"));
  expect(system).not.toContain("unread");
  expect(texts[0]?.trim()).not.toContain("unread");
});

verifies("skills.published", "what the operator provides under Anthropic's ids is listed, downloaded and used", async () => {
  await provide("xlsx/20250101/SKILL.md", skillMd("xlsx", "Old sheets."));
  await provide("xlsx/20251013/SKILL.md", skillMd("xlsx", "Sheets."));
  await provide("xlsx/20251013/run.sh", script.content, 0o755);
  await provide("claude-api/SKILL.md", "---\nname: claude-api\ndescription: Knows the API.\nlicense: x\n---\n");
  await provide("not-a-skill/readme.md", "x");
  await upload("mine");
  const { data } = await skills().list({ source: "anthropic", limit: 100 });
  expect(data.map(({ id }) => id).sort()).toEqual(expect.arrayContaining(["claude-api", "xlsx"]));
  expect(data.map(({ id }) => id)).not.toContain("not-a-skill");
  const xlsx = data.find(({ id }) => id === "xlsx");
  expect(xlsx).toMatchObject({
    type: "skill",
    display_name: "xlsx",
    latest_version_id: "20251013",
    source: { type: "anthropic" },
  });
  expect(await skills().retrieve("xlsx")).toEqual(xlsx);
  const ids: string[] = [];
  for await (const { id } of skills().list({ limit: 1 })) ids.push(id);
  expect(ids).toEqual(expect.arrayContaining(["xlsx", "claude-api"]));
  expect(ids.filter((id) => id.startsWith("skill_")).length).toBeGreaterThan(0);
  expect(new Set(ids).size).toBe(ids.length);
  const { versions } = skills();
  expect((await versions.list("xlsx", { limit: 1 })).data).toMatchObject([{ id: "20251013", description: "Sheets." }]);
  const all: string[] = [];
  for await (const { id } of versions.list("xlsx", { limit: 1 })) all.push(id);
  expect(all).toEqual(["20251013", "20250101"]);
  expect(await versions.retrieve("latest", { skill_id: "xlsx" })).toMatchObject({
    id: "20251013",
    name: "xlsx",
    skill_id: "xlsx",
  });
  await refusedAsUnknown(versions.retrieve("20240101", { skill_id: "xlsx" }));
  await refusedAsUnknown(skills().retrieve("pptx"));
  await refusedAsInvalid(skills().delete("xlsx"), /published by Anthropic/);
  await refusedAsInvalid(versions.delete("20250101", { skill_id: "xlsx" }), /published by Anthropic/);
  await refusedAsInvalid(
    versions.create("xlsx", { files: await filesOf({ "x/SKILL.md": skillMd("xlsx") }) }),
    /published by Anthropic/,
  );
  const zip = Buffer.from(
    await (await server.client.beta.skills.versions.download("latest", { skill_id: "xlsx" })).arrayBuffer(),
  );
  expect(zip.toString("latin1")).toContain("xlsx/run.sh");

  const session = await open([theirs("xlsx"), theirs("xlsx", "20250101"), theirs("claude-api"), theirs("xlsx", "1")]);
  const { system, texts } = await turn(session, bash("/mnt/skills/xlsx/run.sh x; head -3 /mnt/skills/xlsx-2/SKILL.md"));
  expect(system).toContain("- xlsx (/mnt/skills/xlsx/SKILL.md): Sheets.");
  expect(system).toContain("- claude-api (/mnt/skills/claude-api/SKILL.md): Knows the API.");
  expect(texts[0]).toMatch(/ran with x[\s\S]*Old sheets/);
  expect(await errors(session)).toEqual([expect.stringMatching(/`xlsx` \(version `1`\) is not provided; 20251013, 20250101 is/)]);
});

verifies("skills.published", "what an operator provides is held to what an upload is", async () => {
  await provide("linked/SKILL.md", skillMd("linked"));
  await symlink("/etc/passwd", join(published, "linked/passwd")).catch(() => undefined);
  await provide("mute/SKILL.md", "# No front matter");
  const session = await open([theirs("linked"), theirs("mute"), theirs("../linked")]);
  const { system } = await turn(session, bash("ls /mnt/skills"));
  expect(system).not.toMatch(/linked|mute/);
  const [said] = await errors(session);
  for (const part of [
    /`linked` cannot be used: .*links are not allowed/,
    /`mute` cannot be used: .*front matter/,
    /`\.\.\/linked`/,
  ])
    expect(said).toMatch(part);
  await rm(join(published, "linked"), { recursive: true });
  await rm(join(published, "mute"), { recursive: true });
});
