import { call, say } from "@sandbox0/testkit";
import Anthropic086, { toFile } from "anthropic-sdk-0-86";
import { expect } from "vitest";
import { API_KEY, conformanceServer, TOOLSET } from "./fixture/conformance-server.ts";
import { zipOf } from "./fixture/skill-files.ts";
import { verifies } from "./fixture/verifies.ts";

const server = conformanceServer();

/** The first SDK with managed agents (April 2026): x-api-key, `?beta=true`, 2023-06-01, another list of frame names. */
const oldClient = () => new Anthropic086({ baseURL: server.url, apiKey: API_KEY, maxRetries: 0, fetch: server.wire.fetch });

verifies(["programs.old-sdk", "auth.x-api-key", "http.old-version"], "SDK 0.86.1: every resource it knows", async () => {
  const { agents, environments, sessions } = oldClient().beta;
  const environment = await environments.create({ name: "old" });
  const agent = await agents.create({ name: "old", model: "claude-sonnet-4-6", tools: [TOOLSET] });
  expect(await agents.update(agent.id, { version: 1, system: "s" })).toMatchObject({ version: 2 });
  expect((await agents.list()).data[0]?.id).toBe(agent.id);
  const session = await sessions.create({ agent: { type: "agent", id: agent.id }, environment_id: environment.id });
  expect(session.status).toBe("idle");
  expect((await sessions.list()).data[0]?.id).toBe(session.id);
  expect(await sessions.retrieve(session.id)).toMatchObject({ id: session.id });
  expect(await sessions.archive(session.id)).toMatchObject({ status: "terminated" });
  expect(await sessions.delete(session.id)).toMatchObject({ type: "session_deleted" });
  expect(await environments.delete(environment.id)).toMatchObject({ type: "environment_deleted" });
});

verifies(["programs.old-sdk", "skills.legacy"], "SDK 0.86.1: skills, in the shapes that it knows", async () => {
  const { skills } = oldClient().beta;
  const text = (description: string) => `---\nname: old\ndescription: ${description}\n---\n`;
  const file = await toFile(Buffer.from(text("one")), "old/SKILL.md");
  const skill = await skills.create({ display_title: "Old", files: [file] });
  expect(skill).toMatchObject({ display_title: "Old", source: "custom", latest_version: expect.stringMatching(/^\d{16}$/) });
  // Here this SDK sends no directories: only archives can be new versions.
  await expect(skills.versions.create(skill.id, { files: [file] })).rejects.toThrow("exactly in the top-level folder");
  const second = await skills.versions.create(skill.id, { files: await zipOf({ "old/SKILL.md": text("two") }) });
  expect(second).toMatchObject({ directory: "old", name: "old", description: "two", skill_id: skill.id });
  const seen = [];
  for await (const { version } of skills.versions.list(skill.id, { limit: 1 })) seen.push(version);
  expect(seen).toEqual([second.version, skill.latest_version]);
  expect(await skills.versions.retrieve(second.version, { skill_id: skill.id })).toEqual(second);
  await expect(skills.delete(skill.id)).rejects.toThrow("versions");
  for (const version of seen) await skills.versions.delete(version, { skill_id: skill.id });
  expect(await skills.delete(skill.id)).toMatchObject({ type: "skill_deleted" });
});

verifies(["programs.old-sdk", "stream.old-sdk-frames"], "SDK 0.86.1: its stream shows what the session lists", async () => {
  const { sessions } = oldClient().beta;
  const session = await server.createSession({ agent: { make: { tools: [TOOLSET] } } });
  const stream = await sessions.events.stream(session.id);
  const text = server.play([say("I look."), call("bash", { command: "echo hi" })], say("Done."));
  await sessions.events.send(session.id, { events: [{ type: "user.message", content: [{ type: "text", text }] }] });
  const shown: unknown[] = [];
  for await (const event of stream) {
    if (event.processed_at !== null) shown.push(event);
    if (event.type === "session.status_idle") break;
  }
  expect(shown).toEqual(await session.events());
  const listed: unknown[] = [];
  for await (const event of sessions.events.list(session.id)) listed.push(event);
  expect(listed).toEqual(shown);
});

verifies("stream.old-sdk-frames", "curl with the old headers gets frames by their events' names, as documented", async () => {
  const session = await server.createSession();
  const headers = { "anthropic-version": "2023-06-01" };
  const response = await server.request(`/v1/sessions/${session.id}/events/stream`, { headers });
  await server.client.beta.sessions.archive(session.id);
  await server.client.beta.sessions.delete(session.id);
  const names = [...(await response.text()).matchAll(/^event: (.*)$/gm)].map(([, name]) => name);
  expect(names.slice(-3)).toEqual(["session.thread_status_terminated", "session.status_terminated", "session.deleted"]);
});
