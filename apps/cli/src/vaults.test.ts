import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Anthropic from "@anthropic-ai/sdk";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { type CommandLine, startCommandLine } from "./command-line.fixture.ts";

const API_KEY = "test-key-of-the-operator";

let root: string;
const running: CommandLine[] = [];
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "sandbox0-cli-vaults-"));
});
afterEach(async () => {
  const left = running.splice(0);
  for (const { child } of left) child.kill("SIGTERM");
  await Promise.all(left.map(({ ended }) => ended));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

async function startServer(
  dataDir: string,
  extra: Readonly<Record<string, string>> = {},
): Promise<{ url: string; client: Anthropic }> {
  const server = startCommandLine(["serve"], {
    SANDBOX0_DATA_DIR: join(root, dataDir),
    SANDBOX0_PORT: "0",
    SANDBOX0_API_KEY: API_KEY,
    SANDBOX0_ROLES: "api",
    ...extra,
  });
  running.push(server);
  const url = (await server.waitFor(/^sandbox0 listening on (http:\/\/\S+)$/m))[1] ?? "";
  return { url, client: new Anthropic({ baseURL: url, apiKey: API_KEY, maxRetries: 0 }) };
}
async function stopServers(): Promise<void> {
  const left = running.splice(0);
  for (const { child } of left) child.kill("SIGTERM");
  for (const { ended } of left) expect((await ended).code).toBe(0);
}

/** Whether a server can work with the vault: a new secret is sealed with its data key. */
const addSecret = (client: Anthropic, vaultId: string, host: string) =>
  client.beta.vaults.credentials.create(vaultId, {
    auth: { type: "static_bearer", mcp_server_url: `https://${host}`, token: "canary-token" },
  });
const rotate = (url: string, argv: readonly string[] = [], environment: Readonly<Record<string, string>> = {}) =>
  startCommandLine(["vaults", "rotate-key", "--url", url, "--api-key", API_KEY, ...argv], environment).ended;

test("with a key file: the key is made, all servers of the directory go on, and so does the next start", async () => {
  const [one, two] = [await startServer("file"), await startServer("file")];
  const { id } = await one.client.beta.vaults.create({ display_name: "v" });
  await addSecret(two.client, id, "a.example.com");
  const { code, stdout, stderr } = await rotate(one.url);
  expect({ code, stdout, stderr }).toEqual({
    code: 0,
    stdout: expect.stringMatching(/^master key mk_[0-9a-f]{16}, 1 vaults are under it now\n$/),
    stderr: "",
  });
  await addSecret(two.client, id, "b.example.com");
  const file = join(root, "file", "master-keys.json");
  const keys = JSON.parse(readFileSync(file, "utf8")) as string[];
  expect(keys).toHaveLength(2);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  for (const key of keys) expect(stdout).not.toContain(key);
  await stopServers();
  const again = await startServer("file");
  await addSecret(again.client, id, "c.example.com");
  expect(JSON.parse((await rotate(again.url, ["--json"])).stdout)).toMatchObject({ rewrapped: 1, unreadable: [] });
});

test("with SANDBOX0_MASTER_KEY: the new key is given, and needed from then on", async () => {
  const [old, next] = [randomBytes(32).toString("base64"), randomBytes(32).toString("hex")];
  const { url, client } = await startServer("configured", { SANDBOX0_MASTER_KEY: old });
  const { id } = await client.beta.vaults.create({ display_name: "v" });
  const refused = await rotate(url);
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("SANDBOX0_MASTER_KEY") });
  expect(await rotate(url, ["--new-key", "short"])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("new_key: must be 32 bytes"),
  });
  expect(await rotate(url, ["--new-key", `file:${join(root, "none")}`])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("cannot be read"),
  });
  const file = join(root, "next-key");
  writeFileSync(file, `${next}\n`);
  const done = await rotate(url, [], { SANDBOX0_NEW_MASTER_KEY: `file:${file}` });
  expect(done).toMatchObject({ code: 0, stderr: expect.stringContaining("before its next start") });
  expect(done.stdout + done.stderr).not.toContain(next);
  await addSecret(client, id, "a.example.com");
  await stopServers();
  const again = await startServer("configured", { SANDBOX0_MASTER_KEY: next });
  await addSecret(again.client, id, "b.example.com");
  await stopServers();
  const wrong = startCommandLine(["serve"], {
    SANDBOX0_DATA_DIR: join(root, "configured"),
    SANDBOX0_PORT: "0",
    SANDBOX0_API_KEY: API_KEY,
    SANDBOX0_ROLES: "api",
    SANDBOX0_MASTER_KEY: randomBytes(32).toString("hex"),
  });
  const { code, stderr } = await wrong.ended;
  expect(code).toBe(1);
  expect(stderr).toMatch(/The server cannot start: The vaults of this database are encrypted under the master key mk_/);
});

test("a key of a tenant may not", async () => {
  const { url, client } = await startServer("tenant");
  const { key } = await client.post<{ key: string }>("/sandbox0/v1/api_keys", { body: { name: "tenant", workspace: "tenant" } });
  const { code, stderr } = await startCommandLine(["vaults", "rotate-key", "--url", url, "--api-key", key]).ended;
  expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining("Only an admin key may rotate the master key") });
});
