import { lookup } from "node:dns/promises";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import Anthropic from "@anthropic-ai/sdk";
import { createScriptedProvider, type ScriptedProvider } from "@sandbox0/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startServerProcess, type ServerProcess } from "../crash/server-process.ts";
import { type HostileSession, startHostileSession } from "./stage/hostile-session.ts";

/** The registries that the package managers of this machine are set up for; their configuration says which. */
const run = promisify(execFile);
const KEY = "key-of-the-install-tests";
const TIMEOUT_MS = 300_000;
let provider: ScriptedProvider;
let server: ServerProcess;
let session: HostileSession;
let dir: string;
let registry: string;

/** Where a network hands out registries at addresses that are not of the public Internet, an operator opens those. */
async function addressesOf(urls: readonly string[]): Promise<string[]> {
  const found = await Promise.all(urls.map((url) => lookup(new URL(url).hostname, { all: true })));
  return [...new Set(found.flat().map(({ address }) => address))];
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "sandbox0-installs-"));
  registry = (await run("npm", ["config", "get", "registry"])).stdout.trim();
  provider = await createScriptedProvider();
  server = await startServerProcess({
    SANDBOX0_DATA_DIR: dir,
    SANDBOX0_API_KEY: KEY,
    SANDBOX0_SANDBOX: "bubblewrap",
    ANTHROPIC_API_KEY: "scripted",
    ANTHROPIC_BASE_URL: provider.url,
    SANDBOX0_EGRESS_ALLOW_PRIVATE: (await addressesOf([registry])).join(","),
  });
  const client = new Anthropic({ baseURL: server.url, apiKey: KEY, maxRetries: 0 });
  session = await startHostileSession(provider, client, {
    networking: { type: "limited", allowed_hosts: [], allow_package_managers: true },
  });
});

afterAll(async () => {
  server.signal("SIGTERM");
  await server.exited;
  await provider.close();
  await rm(dir, { recursive: true, force: true });
});

test("curl", async () => {
  expect(await session.bash(`curl -sS -o /dev/null -w '%{http_code}' ${registry}is-number`, TIMEOUT_MS)).toBe("200");
});

test("npm installs", async () => {
  const install = "cd /workspace && npm install --no-audit --no-fund is-number@7.0.0 && node -p 'require(\"is-number\")(7)'";
  expect(await session.bash(install, TIMEOUT_MS)).toMatch(/true$/);
});

test("pip installs", async () => {
  const install =
    "python3 -m pip install --quiet --target /workspace/py six && PYTHONPATH=/workspace/py python3 -c 'import six; print(six.PY3)'";
  expect(await session.bash(install, TIMEOUT_MS)).toMatch(/True$/);
});

test("what is no registry is closed", async () => {
  expect(await session.bash("curl -sS https://example.com/ 2>&1")).toMatch(/403/);
});
