import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Anthropic from "@anthropic-ai/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type CommandLine, startCommandLine } from "./command-line.fixture.ts";

const API_KEY = "test-key-of-the-operator";

let root: string;
let server: CommandLine;
let url = "";
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "sandbox0-cli-snapshots-"));
  server = startCommandLine(["serve"], {
    SANDBOX0_DATA_DIR: root,
    SANDBOX0_PORT: "0",
    SANDBOX0_API_KEY: API_KEY,
    SANDBOX0_ROLES: "api",
  });
  url = (await server.waitFor(/^sandbox0 listening on (http:\/\/\S+)$/m))[1] ?? "";
});
afterAll(async () => {
  server.child.kill("SIGTERM");
  await server.ended;
  rmSync(root, { recursive: true, force: true });
});

const sessions = (...argv: string[]) => startCommandLine(["sessions", ...argv, "--url", url, "--api-key", API_KEY]).ended;

test("a snapshot is made, listed, forked from and restored to", async () => {
  const { beta } = new Anthropic({ baseURL: url, apiKey: API_KEY, maxRetries: 0 });
  const agent = await beta.agents.create({ name: "a", model: "claude-sonnet-5-5" });
  const environment = await beta.environments.create({ name: "e", config: { type: "cloud" } });
  const { id } = await beta.sessions.create({ agent: agent.id, environment_id: environment.id, title: "first" });

  const made = await sessions("snapshot", id, "--name", "before");
  expect([made.code, made.stderr]).toEqual([0, ""]);
  const snapshotId = made.stdout.trim();
  expect(snapshotId).toMatch(/^snap_\w+$/);
  expect((await sessions("snapshots", id)).stdout).toMatch(new RegExp(`${snapshotId} .* before\n$`));
  expect(JSON.parse((await sessions("snapshots", id, "--json")).stdout)).toMatchObject([{ id: snapshotId, name: "before" }]);

  const forked = await sessions("fork", id, "--snapshot", snapshotId, "--title", "second");
  expect([forked.code, forked.stderr]).toEqual([0, ""]);
  expect(await beta.sessions.retrieve(forked.stdout.trim())).toMatchObject({ title: "second", status: "idle" });
  const restored = await sessions("restore", id, snapshotId);
  expect([restored.code, restored.stdout, restored.stderr]).toEqual([0, `${id}\n`, ""]);

  const unknown = await sessions("restore", id, "snap_none");
  expect([unknown.code, unknown.stderr]).toEqual([1, expect.stringContaining("Snapshot `snap_none` not found")]);
  const both = await sessions("fork", id, "--snapshot", "a", "--event", "b");
  expect([both.code, both.stderr]).toEqual([2, expect.stringContaining("not both")]);
});
